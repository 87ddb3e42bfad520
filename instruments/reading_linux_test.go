package instruments

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	gopsutilmem "github.com/shirou/gopsutil/v3/mem"
	"go.opentelemetry.io/otel/metric/noop"
)

// BenchmarkRead is what a collector's part of a tick costs on this machine.
func BenchmarkRead(b *testing.B) {
	for _, collector := range everyCollector() {
		b.Run(collector.Name(), func(b *testing.B) {
			h := NewHost("/")
			b.ReportAllocs()
			for seq := uint64(1); b.Loop(); seq++ {
				// A collector that this machine lacks costs its look all the same.
				_, err := collector.Read(b.Context(), h, Tick{Seq: seq, Interval: time.Second})
				if err != nil && !errors.Is(err, ErrUnsupported) {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReport is what it costs to hand a collector's reading to OpenTelemetry,
// whose own part is left out.
func BenchmarkReport(b *testing.B) {
	for _, collector := range everyCollector() {
		b.Run(collector.Name(), func(b *testing.B) {
			h := NewHost("/")
			var reading Reading
			for seq := range uint64(2) {
				var err error
				reading, err = collector.Read(b.Context(), h, Tick{Seq: seq + 1, Interval: time.Second})
				if errors.Is(err, ErrUnsupported) {
					b.Skip("this machine lacks it")
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			in, err := NewInstruments(collector, noop.NewMeterProvider().Meter(""), Hostmetrics)
			if err != nil {
				b.Fatal(err)
			}
			at := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				in.Report(noop.Observer{}, reading, at)
			}
		})
	}
}

// BenchmarkMeminfo puts our read of /proc/meminfo beside gopsutil's.
func BenchmarkMeminfo(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		h := NewHost("/")
		var pools memoryPools
		b.ReportAllocs()
		for seq := uint64(1); b.Loop(); seq++ {
			if _, err := h.memory(b.Context(), Tick{Seq: seq}, &pools); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gopsutil", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := gopsutilmem.VirtualMemoryWithContext(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestEveryCollectorReadsThisMachine reads the machine the test runs on: what it
// reports must be declared, have as many values as keys, and be of its kind.
func TestEveryCollectorReadsThisMachine(t *testing.T) {
	h := NewHost("/")
	for _, collector := range everyCollector() {
		declared := map[*Metric]bool{}
		for _, m := range collector.Metrics() {
			declared[m] = true
		}
		for seq := range uint64(2) {
			r, err := collector.Read(context.Background(), h, Tick{Time: time.Now(), Seq: seq + 1, Interval: time.Second})
			if errors.Is(err, ErrUnsupported) && strings.Contains("pressure cgroup custom disk conntrack schedstat sensors", collector.Name()) {
				continue // Not every machine has these.
			}
			if err != nil {
				t.Errorf("%s: %v", collector.Name(), err)
				continue
			}
			seen := map[string]bool{}
			Visit(r, func(m *Metric, v float64, values []string) {
				point := fmt.Sprint(m.Name, m.Semconv, values)
				switch {
				case !declared[m]:
					t.Errorf("%s is reported but not among the metrics of %s", point, collector.Name())
				case len(values) != len(m.Keys):
					t.Errorf("%s has %d values for %d keys", point, len(values), len(m.Keys))
				case seen[point]:
					t.Errorf("%s is reported twice", point)
				case v < 0 && !isSigned(m) && m != timexOffset && m != timexZone && m != timexPulse:
					t.Errorf("%s is %v", point, v)
				case m.Unit == "1" && v > 1+1e-9 && m != cgroupCPUUsage:
					t.Errorf("%s is a share of %v", point, v)
				}
				seen[point] = true
			})
		}
	}
}

// TestMemoryAgreesWithGopsutil: an independent reader of the same file sees the
// same memory; what changes between the two looks is small.
func TestMemoryAgreesWithGopsutil(t *testing.T) {
	h := NewHost("/")
	ours, err := h.memory(context.Background(), Tick{Seq: 1}, &memoryPools{})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := gopsutilmem.VirtualMemory()
	if err != nil {
		t.Fatal(err)
	}
	if ours.Total != theirs.Total {
		t.Errorf("the total is %d, gopsutil has %d", ours.Total, theirs.Total)
	}
	for _, c := range []struct {
		name         string
		ours, theirs uint64
	}{
		{"available", ours.Available, theirs.Available},
		{"free", ours.Free, theirs.Free},
		{"buffers", ours.Buffers, theirs.Buffers},
		{"cached", ours.Cached, theirs.Cached},
		{"reclaimable slabs", ours.SlabReclaimable, theirs.Sreclaimable},
		{"unreclaimable slabs", ours.SlabUnreclaimable, theirs.Sunreclaim},
		{"inactive", ours.Inactive, theirs.Inactive},
	} {
		if difference := max(c.ours, c.theirs) - min(c.ours, c.theirs); difference > ours.Total/50 {
			t.Errorf("%s is %d, gopsutil has %d", c.name, c.ours, c.theirs)
		}
	}
}
