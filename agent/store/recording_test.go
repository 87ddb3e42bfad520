package store_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
)

// bytesPerSample returns the size of a tier's blocks, including the index, per
// sample.
func bytesPerSample(tb testing.TB, dir string, tier *store.Tier) (bytes float64, samples uint64) {
	tb.Helper()
	var size int64
	for _, b := range storetest.Blocks(tb, dir, tier.Name()) {
		size += b.Bytes
		samples += b.Samples
	}
	return float64(size) / float64(samples), samples
}

// recorder is a store with its own clock, fed by a recording.
type recorder struct {
	*store.Store
	*storetest.Recording
	clock *storetest.Clock
	dir   string
}

// noon is a time on the edge of every default bucket but none of a block.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func record(tb testing.TB, copies int) *recorder {
	tb.Helper()
	r := &recorder{Recording: storetest.NewRecording(tb, copies), clock: storetest.NewClock(noon), dir: tb.TempDir()}
	r.open(tb)
	return r
}

func (r *recorder) open(tb testing.TB) {
	tb.Helper()
	r.Store = storetest.OpenStore(tb, store.Options{
		Dir: r.dir, Tiers: store.Defaults().Tiers, Labels: labels.FromStrings("host_name", "h"), Clock: r.clock.Judge(),
	})
}

// next returns the reading of the next second.
func (r *recorder) next(tb testing.TB) store.Reading {
	tb.Helper()
	r.clock.Set(r.clock.Now().Add(time.Second))
	return r.Read(tb, r.clock.Now())
}

func (r *recorder) tick(tb testing.TB) {
	tb.Helper()
	if err := r.Append(r.next(tb)); err != nil {
		tb.Fatal(err)
	}
}

// TestBytesPerSample: recorded readings take at most 1.2 bytes a sample after
// compaction, including the index.
func TestBytesPerSample(t *testing.T) {
	r := record(t, 1)
	for range 3*3600 + 120 {
		r.tick(t)
	}
	r.Maintain(t.Context())
	size, samples := bytesPerSample(t, r.dir, r.Tiers()[0])
	t.Logf("%.3f bytes a sample, of %d samples of %d series", size, samples, len(r.Series))
	if !(size <= 1.2) || samples < 1_000_000 {
		t.Errorf("%.3f bytes a sample of %d samples, want at most 1.2", size, samples)
	}
}

func BenchmarkAppend(b *testing.B) {
	r := record(b, 5)
	b.ReportMetric(float64(len(r.Series)), "series")
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		reading := r.next(b)
		b.StartTimer()
		if err := r.Append(reading); err != nil {
			b.Fatal(err)
		}
	}
}

// resident returns the resident memory of this process.
func resident(tb testing.TB) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Skip("not measured: the resident memory is read from /proc, which is not here")
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				tb.Fatal(err)
			}
			return kb << 10
		}
	}
	return 0
}

// walBytes returns the size of the finest tier's WAL.
func walBytes(tb testing.TB, dir string) (bytes int64) {
	tb.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "tiers", "1s", "wal", "*"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, path := range segments {
		info, err := os.Stat(path)
		if err != nil {
			tb.Fatal(err)
		}
		bytes += info.Size()
	}
	return bytes
}

// BenchmarkHours feeds seven hours of about 800 series, in the long version a day,
// and reports memory, disk use and the time to reopen.
func BenchmarkHours(b *testing.B) {
	hours := 7
	if os.Getenv("SYSOTEL_TEST_SOAK") != "" {
		hours = 24
	}
	for b.Loop() {
		before := resident(b)
		r := record(b, 5)
		for i := range hours * 3600 {
			r.tick(b)
			if i%60 == 0 {
				r.Maintain(b.Context())
			}
		}
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		size, _ := bytesPerSample(b, r.dir, r.Tiers()[0])
		b.ReportMetric(size, "B/sample")
		b.ReportMetric(float64(len(r.Series)), "series")
		b.ReportMetric(float64(stats.HeapAlloc)/(1<<20), "heap-MiB")
		b.ReportMetric(float64(resident(b)-before)/(1<<20), "rss-MiB")
		b.ReportMetric(float64(r.Size())/(1<<20), "disk-MiB")
		b.ReportMetric(float64(walBytes(b, r.dir))/(1<<20), "wal-MiB")
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		r.open(b)
		b.ReportMetric(time.Since(start).Seconds(), "open-s")
	}
}
