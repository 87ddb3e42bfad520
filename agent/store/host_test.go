package store

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// host has synthetic readings: most counters are constant, the others grow by whole
// jiffies, packets and pages. Recorded readings are in recording_test.go.
type host struct {
	rng     *rand.Rand
	series  []*Series
	next    []func() float64
	reading Reading
}

func newHost(n int) *host {
	h := &host{rng: rand.New(rand.NewPCG(7, 7))}
	add := func(s *Series, next func() float64) {
		h.series, h.next = append(h.series, s), append(h.next, next)
	}
	for i := range n {
		id := fmt.Sprintf("device-%d", i)
		switch i % 10 {
		case 0, 1: // CPU time of an idle state: about 100 jiffies a second.
			v := float64(h.rng.IntN(1e7))
			add(counter("system_cpu_time_seconds", id), func() float64 { v += float64(95 + h.rng.IntN(6)); return v / 100 })
		case 2: // CPU time of a state that is seldom entered.
			v := float64(h.rng.IntN(1e5))
			add(counter("system_cpu_time_seconds", id), func() float64 {
				if h.rng.IntN(10) == 0 {
					v++
				}
				return v / 100
			})
		case 3, 4, 5: // Counters of devices and errors that stand still.
			v := float64(h.rng.IntN(1e6))
			add(counter("system_network_errors", id), func() float64 { return v })
		case 6: // Bytes of an interface with little traffic.
			v := float64(h.rng.IntN(1e9))
			add(counter("system_network_io_bytes", id), func() float64 {
				if h.rng.IntN(3) == 0 {
					v += float64(h.rng.IntN(20) * 66)
				}
				return v
			})
		case 7: // Memory of a state, in pages; steps now and then.
			v := float64(h.rng.IntN(1 << 20))
			add(gauge("system_memory_usage_bytes", id), func() float64 {
				if h.rng.IntN(4) == 0 {
					v += float64(h.rng.IntN(64) - 32)
				}
				return v * 4096
			})
		case 8: // The size of a filesystem, the number of CPUs, a limit.
			v := float64(h.rng.IntN(1 << 30))
			add(gauge("system_filesystem_limit_bytes", id), func() float64 { return v * 4096 })
		case 9: // A load average, a count of processes.
			v := 200.0
			add(gauge("system_processes_count", id), func() float64 {
				if h.rng.IntN(5) == 0 {
					v = math.Max(150, v+float64(h.rng.IntN(5)-2))
				}
				return v
			})
		}
	}
	return h
}

// read returns the next reading; it reuses the previous one.
func (h *host) read(at time.Time) Reading {
	if h.reading.Collectors == nil {
		h.reading.Collectors = make([]CollectorReading, 10)
	}
	h.reading.Time = at
	each := (len(h.series) + 9) / 10
	for f := range h.reading.Collectors {
		collector := &h.reading.Collectors[f]
		collector.Collector, collector.Taken, collector.Samples = "collector"+strconv.Itoa(f), at, collector.Samples[:0]
		for i := f * each; i < min(len(h.series), (f+1)*each); i++ {
			collector.Samples = append(collector.Samples, Sample{h.series[i], h.next[i]()})
		}
	}
	return h.reading
}
