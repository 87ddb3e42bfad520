package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock returns the time since boot, including suspend. That clock cannot be
// set.
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

// synced reports whether the kernel says that a time server sets the clock. Setting
// it by hand takes that back. It is false where the kernel does not tell.
func synced() bool {
	var state unix.Timex
	_, err := unix.Adjtimex(&state)
	return err == nil && state.Status&unix.STA_UNSYNC == 0
}
