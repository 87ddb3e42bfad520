package store

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock tells the time since boot, suspend included. Nobody sets that clock.
func bootClock() func() time.Duration {
	start := time.Now()
	return func() time.Duration {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
			return time.Since(start)
		}
		return time.Duration(ts.Nano())
	}
}
