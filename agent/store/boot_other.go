//go:build !linux

package store

import "time"

// bootClock returns the time since the start by the monotonic clock, which cannot
// be set.
func bootClock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// bootID is empty: which boot it is, is not known.
func bootID() string { return "" }
