package store

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recording is what a machine with two busy cores told in ten minutes, a line a
// second: the text of /proc/stat, meminfo, diskstats, net/dev, loadavg and a part
// of vmstat. Counters are written as differences, gauges where they changed. It
// goes on for ever: after ten minutes it begins anew, counters going on.
type recording struct {
	series []*Series
	lines  [][]string
	at     int
	value  []float64
	out    Reading
}

// newRecording reads the recording, with as many series of each as copies says.
func newRecording(tb testing.TB, copies int) *recording {
	tb.Helper()
	f, err := os.Open("storetest/testdata/readings.csv.gz")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	r := &recording{}
	lines := bufio.NewScanner(unzipped)
	lines.Scan()
	names := strings.Split(lines.Text(), ",")
	for lines.Scan() {
		r.lines = append(r.lines, strings.Split(lines.Text(), ","))
	}
	if err := lines.Err(); err != nil || len(r.lines) != 600 {
		tb.Fatalf("%d lines in the recording (%v)", len(r.lines), err)
	}
	r.value = make([]float64, len(names))
	for n := range copies {
		for _, name := range names {
			kind, id, _ := strings.Cut(name, ":")
			metric, instance, _ := strings.Cut(id, ".")
			if kind == "counter" {
				r.series = append(r.series, counter(metric, fmt.Sprintf("%s-%d", instance, n)))
			} else {
				r.series = append(r.series, gauge(metric, fmt.Sprintf("%s-%d", instance, n)))
			}
		}
	}
	return r
}

// read makes the next reading, in place of the one before.
func (r *recording) read(tb testing.TB, at time.Time) Reading {
	cells := r.lines[r.at%len(r.lines)]
	for i, cell := range cells {
		if cell == "" {
			continue
		}
		v, err := strconv.ParseFloat(cell, 64)
		if err != nil {
			tb.Fatal(err)
		}
		switch {
		case r.series[i].Kind == Gauge:
			r.value[i] = v
		case r.at > 0 && r.at%len(r.lines) == 0: // The first line has the totals.
		default:
			// As a division of whole numbers gives it, without the errors of a sum.
			r.value[i] = math.Round((r.value[i]+v)*1e6) / 1e6
		}
	}
	r.at++
	if r.out.Families == nil {
		r.out.Families = []FamilyReading{{Family: "recorded"}}
	}
	f := &r.out.Families[0]
	r.out.Time, f.Taken, f.Samples = at, at, f.Samples[:0]
	for i, one := range r.series {
		f.Samples = append(f.Samples, Sample{one, r.value[i%len(r.value)]})
	}
	return r.out
}

// bytesPerSample is what the blocks of a tier take, index included.
func bytesPerSample(t *Tier) (bytes float64, samples uint64) {
	var size int64
	for _, b := range t.db.Blocks() {
		size += sizeOf(b.Dir())
		samples += b.Meta().Stats.NumSamples
	}
	return float64(size) / float64(samples), samples
}

// TestBytesPerSample: really recorded readings take at most 1.2 bytes a sample
// after compaction, index included.
func TestBytesPerSample(t *testing.T) {
	m := newMachine(noon)
	s := openStore(t, m.options(t, t.TempDir()))
	r := newRecording(t, 1)
	for range 3*3600 + 120 {
		m.pass(time.Second)
		s.mustAppend(t, r.read(t, m.now()))
	}
	s.Maintain(t.Context())
	size, samples := bytesPerSample(s.tiers[0])
	t.Logf("%.3f bytes a sample, of %d samples of %d series", size, samples, len(r.series))
	if !(size <= 1.2) || samples < 1_000_000 {
		t.Errorf("%.3f bytes a sample of %d samples, want at most 1.2", size, samples)
	}
}

func BenchmarkAppend(b *testing.B) {
	m := newMachine(noon)
	s := openStore(b, m.options(b, b.TempDir()))
	r := newRecording(b, 5)
	b.ReportMetric(float64(len(r.series)), "series")
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		m.pass(time.Second)
		reading := r.read(b, m.now())
		b.StartTimer()
		if err := s.Append(reading); err != nil {
			b.Fatal(err)
		}
	}
}

// resident is the memory of this process, as the kernel counts it.
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

// BenchmarkHours feeds seven hours of about 800 series, in the long form a day,
// and tells what the store takes in memory and on disk, and how long it takes to
// open it again.
func BenchmarkHours(b *testing.B) {
	hours := 7
	if soak() {
		hours = 24
	}
	for b.Loop() {
		before := resident(b)
		m := newMachine(noon)
		s := openStore(b, m.options(b, b.TempDir()))
		r := newRecording(b, 5)
		for i := range hours * 3600 {
			m.pass(time.Second)
			if err := s.Append(r.read(b, m.now())); err != nil {
				b.Fatal(err)
			}
			if i%60 == 0 {
				s.Maintain(b.Context())
			}
		}
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		size, _ := bytesPerSample(s.tiers[0])
		b.ReportMetric(size, "B/sample")
		b.ReportMetric(float64(len(r.series)), "series")
		b.ReportMetric(float64(stats.HeapAlloc)/(1<<20), "heap-MiB")
		b.ReportMetric(float64(resident(b)-before)/(1<<20), "rss-MiB")
		b.ReportMetric(float64(s.Size())/(1<<20), "disk-MiB")
		b.ReportMetric(float64(sizeOf(filepath.Join(s.tiers[0].dir, "wal")))/(1<<20), "wal-MiB")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		openStore(b, m.options(b, s.options.Dir))
		b.ReportMetric(time.Since(start).Seconds(), "open-s")
	}
}
