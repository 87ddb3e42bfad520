// Package heaptest measures what a component keeps in memory of names that come from
// outside and go again: processes, devices, labels. Whatever takes such names has a
// bound, and a test that gives it far more of them.
//
// Only tests import it.
package heaptest

import (
	"runtime"
	"testing"
)

// Bound fails the test if the live heap is more than limit bytes larger after feed
// than before. The component that feed fills must be made before the call, and be in
// use after it, or it would not be counted.
func Bound(tb testing.TB, limit int64, feed func()) {
	tb.Helper()
	before := live()
	feed()
	grown := live() - before
	tb.Logf("%.2f MB more are alive, at most %.2f are allowed", float64(grown)/1e6, float64(limit)/1e6)
	if grown > limit {
		tb.Errorf("%d bytes more are alive after it, want at most %d", grown, limit)
	}
}

// live is the size of what is reachable.
func live() int64 {
	// What the first collection finalizes or drops from a pool is freed by the second.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
