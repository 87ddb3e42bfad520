//go:build !linux

package clock

import "time"

// bootClock returns the time since the start by the monotonic clock, which cannot
// be set.
func bootClock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// synced is known on Linux only.
func synced() bool { return false }
