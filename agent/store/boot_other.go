//go:build !linux

package store

import "time"

// bootClock tells the time since the start by the monotonic clock, which nobody
// sets.
func bootClock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}
