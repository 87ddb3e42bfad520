package records

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"time"
)

// BenchmarkTick measures one tick of 250 processes, including writing.
func BenchmarkTick(b *testing.B) {
	for _, processes := range []int{250, 10_000} {
		b.Run(strconv.Itoa(processes), func(b *testing.B) {
			r := open(b, b.TempDir())
			m := newMachine(1, processes)
			readings := make([]ProcessReading, 60)
			for i := range readings {
				readings[i] = m.tick()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				reading := readings[i%len(readings)]
				reading.Time = epoch.Add(time.Duration(i+1) * time.Second)
				r.AddProcesses(reading)
				if i%5 == 0 {
					if err := r.Flush(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// year fills every tier like a year does.
func year(t testing.TB, r *Records) time.Time {
	t.Helper()
	model := busy(t)
	end := epoch.Add(365 * day)
	for _, tier := range r.tiers {
		fill(t, r, tier, end.Add(-tier.Retention), end, model)
	}
	r.mu.Lock()
	r.newest = end.UnixMilli()
	r.mu.Unlock()
	return end
}

// TestYear: a year of records has a bounded size, opens at once, and any query
// reads a bounded number of records.
func TestYear(t *testing.T) {
	dir := t.TempDir()
	r, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	end := year(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	r = open(t, dir)
	opened := time.Since(begin)
	if r.Bytes() > 150<<20 {
		t.Errorf("a year takes %d bytes", r.Bytes())
	}
	begin = time.Now()
	reading := steady(end.Unix() + 7)
	r.AddProcesses(reading)
	t.Logf("a year is %.1f MB, opened in %s, gone on with in %s", float64(r.Bytes())/1e6, opened, time.Since(begin))
	begin = time.Now()
	r.inspect(t.Context())
	t.Logf("looking for damage takes %s", time.Since(begin))
	for _, back := range []time.Duration{5 * time.Minute, time.Hour, 6 * time.Hour, day, 7 * day, 30 * day, 365 * day} {
		for _, shift := range []time.Duration{0, 17*time.Hour + 23*time.Minute + 42*time.Second} {
			var times []time.Duration
			for range 5 {
				begin := time.Now()
				p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: end.Add(-back - shift), End: end.Add(-shift), Order: ByCPU, Top: 20})
				if err != nil {
					t.Fatal(err)
				}
				times = append(times, time.Since(begin))
				if len(p.Rows) != 20 {
					t.Errorf("%s back: %d rows", back, len(p.Rows))
				}
			}
			slices.Sort(times)
			t.Logf("%s, %s ago: median %s, slowest of 5 %s", back, shift, times[2], times[4])
		}
	}
	begin = time.Now()
	if _, err := r.ProcessesAt(t.Context(), end.Add(-100*day)); err != nil {
		t.Fatal(err)
	}
	t.Logf("a moment 100 days ago: %s", time.Since(begin))
}

// TestMemory logs the memory of records; the whole agent has 50 MB.
func TestMemory(t *testing.T) {
	before := resident(t)
	r := open(t, t.TempDir())
	opened := resident(t)
	m := newMachine(1, 250)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	for range 3700 {
		r.AddProcesses(m.tick())
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	flush(t, r)
	hour := resident(t)
	p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: epoch.Add(time.Hour), Order: ByCPU, Top: 20})
	if err != nil || p.Covered != time.Hour {
		t.Fatalf("%v, %v", p, err)
	}
	t.Logf("resident: %.1f MB before, %.1f MB more when open, %.1f MB more after an hour of ticks, %.1f MB more after a query", before, opened-before, hour-before, resident(t)-before)
	if grown := hour - before; grown > 30 {
		t.Errorf("the records take %.1f MB", grown)
	}
}

// resident returns the resident memory in MB after a garbage collection.
func resident(t testing.TB) float64 {
	t.Helper()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil { // Not Linux: what Go itself holds.
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return float64(s.Sys-s.HeapReleased) / 1e6
	}
	pages, err := strconv.Atoi(string(bytes.Fields(text)[1]))
	if err != nil {
		t.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / 1e6
}
