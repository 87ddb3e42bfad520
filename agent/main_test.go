package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestCollectorOfALargeHeap: however much is alive, garbage is collected only after
// half as much has been allocated, so that the collector takes a bounded share of the
// processor. Half a gigabyte is ten times what an agent has.
func TestCollectorOfALargeHeap(t *testing.T) {
	percent, processors := debug.SetGCPercent(100), runtime.GOMAXPROCS(0)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		runtime.GOMAXPROCS(processors)
	})
	limitRuntime()
	const size, times = 512 << 20, 4
	alive := make([]byte, size)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var garbage []byte
	for range times * size >> 20 {
		garbage = make([]byte, 1<<20)
	}
	runtime.ReadMemStats(&after)
	if n := after.NumGC - before.NumGC; n == 0 || n > 2*times+2 {
		t.Errorf("%d collections for %d times what is alive", n, times)
	}
	runtime.KeepAlive(alive)
	runtime.KeepAlive(garbage)
}
