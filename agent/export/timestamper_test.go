package export

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sysotel/instruments"
)

var (
	boot, agentStart = at("06:00:00"), at("11:59:58")

	kernelBytes    = &instruments.Metric{Name: "kernel.bytes", Kind: instruments.Counter, Integer: true}
	kernelTime     = &instruments.Metric{Name: "kernel.time", Kind: instruments.Counter}
	agentTicks     = &instruments.Metric{Name: "agent.ticks", Kind: instruments.Counter, Integer: true, Start: instruments.SinceAgent}
	memoryUsage    = &instruments.Metric{Name: "memory.usage", Kind: instruments.UpDownCounter, Integer: true}
	temperature    = &instruments.Metric{Name: "temperature", Kind: instruments.Gauge}
	stampedMetrics = []*instruments.Metric{kernelBytes, kernelTime, agentTicks, memoryUsage, temperature}
)

func testTimestamper(delta bool) *timestamper {
	return newTimestamper(starts{boot: boot, agent: agentStart}, stampedMetrics, instruments.Hostmetrics, delta)
}

// collected is what the SDK collects: points with its own times, and the
// helper point of each scope.
func collected(scopes ...metricdata.ScopeMetrics) *metricdata.ResourceMetrics {
	return &metricdata.ResourceMetrics{ScopeMetrics: scopes}
}

func scope(name string, at time.Time, metrics ...metricdata.Metrics) metricdata.ScopeMetrics {
	return metricdata.ScopeMetrics{Scope: instrumentation.Scope{Name: name}, Metrics: append([]metricdata.Metrics{{
		Name: instruments.ReadingTimeName,
		Data: metricdata.Gauge[float64]{DataPoints: []metricdata.DataPoint[float64]{{Value: float64(at.UnixMilli()) / 1000}}},
	}}, metrics...)}
}

// values are points by the value of the attribute device.
type values[N int64 | float64] map[string]N

func (v values[N]) points() (dps []metricdata.DataPoint[N]) {
	now := time.Now() // The SDK's own clock, which must not be seen in the result.
	for device, n := range v {
		dps = append(dps, metricdata.DataPoint[N]{Attributes: attribute.NewSet(attribute.String("device", device)), StartTime: now, Time: now, Value: n})
	}
	return dps
}

func counter[N int64 | float64](m *instruments.Metric, v values[N]) metricdata.Metrics {
	return metricdata.Metrics{Name: m.Name, Data: metricdata.Sum[N]{
		Temporality: metricdata.CumulativeTemporality, IsMonotonic: m.Kind == instruments.Counter, DataPoints: v.points(),
	}}
}

func gauge(m *instruments.Metric, v values[float64]) metricdata.Metrics {
	return metricdata.Metrics{Name: m.Name, Data: metricdata.Gauge[float64]{DataPoints: v.points()}}
}

// written writes a collection in a form that a test can compare: metric and
// device to value, start and time, with the temporality of sums.
func written(c collection) map[string]string {
	out := map[string]string{}
	put := func(name string, attributes attribute.Set, temporality string, value any, start, at time.Time) {
		device, _ := attributes.Value("device")
		key := name + " " + device.AsString()
		if _, twice := out[key]; twice {
			key += " AGAIN"
		}
		if value == nil {
			out[key] = "gone at " + at.UTC().Format("15:04:05")
			return
		}
		from := "-"
		if !start.IsZero() {
			from = start.UTC().Format("15:04:05")
		}
		out[key] = fmt.Sprintf("%s%v from %s to %s", temporality, value, from, at.UTC().Format("15:04:05"))
	}
	short := map[metricdata.Temporality]string{metricdata.CumulativeTemporality: "", metricdata.DeltaTemporality: "+"}
	for _, r := range c {
		for _, m := range r.scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					put(m.Name, p.Attributes, short[d.Temporality], p.Value, p.StartTime, p.Time)
				}
			case metricdata.Sum[float64]:
				for _, p := range d.DataPoints {
					put(m.Name, p.Attributes, short[d.Temporality], p.Value, p.StartTime, p.Time)
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					put(m.Name, p.Attributes, "", p.Value, p.StartTime, p.Time)
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					put(m.Name, p.Attributes, short[d.Temporality], p.Count, p.StartTime, p.Time)
				}
			}
		}
		for _, e := range r.ended {
			put(e.name, e.attributes, "", nil, time.Time{}, r.at)
		}
	}
	return out
}

// wantPoints stamps and compares: "metric device" and what is written of it, in turns.
func wantPoints(t *testing.T, s *timestamper, rm *metricdata.ResourceMetrics, want ...string) {
	t.Helper()
	got := written(s.apply(rm))
	for i := 0; i < len(want); i += 2 {
		if got[want[i]] != want[i+1] {
			t.Errorf("%s: %q, want %q", want[i], got[want[i]], want[i+1])
		}
		delete(got, want[i])
	}
	for key, value := range got {
		t.Errorf("%s: %q is not wanted", key, value)
	}
}

type (
	ints   = values[int64]
	floats = values[float64]
)

// setClock is a clock that tests set.
type setClock struct {
	now  time.Time
	boot time.Duration
}

func (c *setClock) Now() time.Time      { return c.now }
func (c *setClock) Boot() time.Duration { return c.boot }

// TestStartsFollowTheClock: a counter's start is as long ago as it was, by whatever clock
// its time is, and is never after it.
func TestStartsFollowTheClock(t *testing.T) {
	for _, delta := range []bool{false, true} {
		s := testTimestamper(delta)
		clock := &setClock{at("12:00:00"), 6 * time.Hour}
		s.clock, s.zero = clock, zeroOf(clock)
		n := int64(0)
		read := func(by time.Duration, want ...string) {
			t.Helper()
			n += 10
			clock.boot += time.Second
			clock.now = clock.now.Add(time.Second + by)
			wantPoints(t, s, collected(scope("f", clock.now, counter(kernelBytes, ints{"sda": n}), counter(agentTicks, ints{"": n}), counter(memoryUsage, ints{"": 5}))), want...)
		}
		if delta {
			read(0, "memory.usage ", "5 from 06:00:00 to 12:00:01")
			read(-8*time.Hour, "kernel.bytes sda", "+10 from 04:00:01 to 04:00:02", "agent.ticks ", "+10 from 04:00:01 to 04:00:02", "memory.usage ", "5 from 22:00:00 to 04:00:02")
			continue
		}
		read(0, "kernel.bytes sda", "10 from 06:00:00 to 12:00:01", "agent.ticks ", "10 from 11:59:58 to 12:00:01", "memory.usage ", "5 from 06:00:00 to 12:00:01")
		// A clock that ran ahead is set right, to before what it took for the boot.
		read(-8*time.Hour, "kernel.bytes sda", "20 from 22:00:00 to 04:00:02", "agent.ticks ", "20 from 03:59:58 to 04:00:02", "memory.usage ", "5 from 22:00:00 to 04:00:02")
		// A small step needs nothing.
		read(20*time.Second, "kernel.bytes sda", "30 from 22:00:00 to 04:00:23", "agent.ticks ", "30 from 03:59:58 to 04:00:23", "memory.usage ", "5 from 22:00:00 to 04:00:23")
		// A counter that was reset after a step counts since then.
		n = -10
		read(time.Hour, "kernel.bytes sda", "0 from 05:00:43 to 05:00:24", "agent.ticks ", "0 from 05:00:43 to 05:00:24", "memory.usage ", "5 from 23:00:20 to 05:00:24")
	}
}

func TestEachReadingOnce(t *testing.T) {
	s := testTimestamper(false)
	reading := func(clock string, n int64) metricdata.ScopeMetrics {
		return scope("f", at(clock), counter(kernelBytes, ints{"sda": n}), gauge(temperature, floats{"sda": 40}))
	}
	wantPoints(t, s, collected(reading("12:00:00", 7)),
		"kernel.bytes sda", "7 from 06:00:00 to 12:00:00", "temperature sda", "40 from - to 12:00:00")
	wantPoints(t, s, collected(reading("12:00:00", 7)))
	wantPoints(t, s, collected())
	wantPoints(t, s, collected(reading("12:00:00", 7)))
	wantPoints(t, s, collected(reading("12:00:01", 8)),
		"kernel.bytes sda", "8 from 06:00:00 to 12:00:01", "temperature sda", "40 from - to 12:00:01")
	// A collector with a new reading does not bring along one without.
	wantPoints(t, s, collected(reading("12:00:01", 8), scope("g", at("12:00:01"), counter(agentTicks, ints{"": 2}))),
		"agent.ticks ", "2 from 11:59:58 to 12:00:01")
	// The clock was set back: the reading is new all the same.
	wantPoints(t, s, collected(reading("11:00:02", 9)),
		"kernel.bytes sda", "9 from 06:00:00 to 11:00:02", "temperature sda", "40 from - to 11:00:02")
	// A scope without the helper point has no time and is not sent.
	wantPoints(t, s, collected(metricdata.ScopeMetrics{Metrics: []metricdata.Metrics{counter(kernelBytes, ints{"sda": 10})}}))
}

func TestStartTimes(t *testing.T) {
	s := testTimestamper(false)
	all := func(clock string, n int64) *metricdata.ResourceMetrics {
		return collected(scope("f", at(clock), counter(kernelBytes, ints{"sda": n}), counter(kernelTime, floats{"cpu0": float64(n)}),
			counter(agentTicks, ints{"": n}), counter(memoryUsage, ints{"used": n})))
	}
	wantPoints(t, s, all("12:00:00", 50),
		"kernel.bytes sda", "50 from 06:00:00 to 12:00:00", "kernel.time cpu0", "50 from 06:00:00 to 12:00:00",
		"agent.ticks ", "50 from 11:59:58 to 12:00:00", "memory.usage used", "50 from 06:00:00 to 12:00:00")
	// What goes back was reset after the reading before; what may fall only fell.
	wantPoints(t, s, all("12:00:01", 3),
		"kernel.bytes sda", "3 from 12:00:00 to 12:00:01", "kernel.time cpu0", "3 from 12:00:00 to 12:00:01",
		"agent.ticks ", "3 from 12:00:00 to 12:00:01", "memory.usage used", "3 from 06:00:00 to 12:00:01")
	wantPoints(t, s, all("12:00:02", 4),
		"kernel.bytes sda", "4 from 12:00:00 to 12:00:02", "kernel.time cpu0", "4 from 12:00:00 to 12:00:02",
		"agent.ticks ", "4 from 12:00:00 to 12:00:02", "memory.usage used", "4 from 06:00:00 to 12:00:02")
}

func TestDelta(t *testing.T) {
	s := testTimestamper(true)
	all := func(clock string, n int64) *metricdata.ResourceMetrics {
		return collected(scope("f", at(clock), counter(kernelBytes, ints{"sda": n}), counter(kernelTime, floats{"cpu0": float64(n) / 2}),
			counter(memoryUsage, ints{"used": n}), gauge(temperature, floats{"sda": 40})))
	}
	others := func(clock string, n int64) []string {
		return []string{
			"memory.usage used", fmt.Sprintf("%d from 06:00:00 to %s", n, clock),
			"temperature sda", "40 from - to " + clock,
		}
	}
	// First sight: what it counted before is unknown.
	wantPoints(t, s, all("12:00:00", 1000), others("12:00:00", 1000)...)
	wantPoints(t, s, all("12:00:01", 1003), append(others("12:00:01", 1003),
		"kernel.bytes sda", "+3 from 12:00:00 to 12:00:01", "kernel.time cpu0", "+1.5 from 12:00:00 to 12:00:01")...)
	// A gap of ten seconds gives one difference that says so.
	wantPoints(t, s, all("12:00:11", 1013), append(others("12:00:11", 1013),
		"kernel.bytes sda", "+10 from 12:00:01 to 12:00:11", "kernel.time cpu0", "+5 from 12:00:01 to 12:00:11")...)
	// Nothing happened: that is a difference of nothing.
	wantPoints(t, s, all("12:00:12", 1013), append(others("12:00:12", 1013),
		"kernel.bytes sda", "+0 from 12:00:11 to 12:00:12", "kernel.time cpu0", "+0 from 12:00:11 to 12:00:12")...)
	// A reset: how much it counted on either side of it is not known.
	wantPoints(t, s, all("12:00:13", 5), others("12:00:13", 5)...)
	wantPoints(t, s, all("12:00:14", 9), append(others("12:00:14", 9),
		"kernel.bytes sda", "+4 from 12:00:13 to 12:00:14", "kernel.time cpu0", "+2 from 12:00:13 to 12:00:14")...)
}

// TestDeltaOfLargeNumbers: float64 cannot tell these apart.
func TestDeltaOfLargeNumbers(t *testing.T) {
	s := testTimestamper(true)
	wantPoints(t, s, collected(scope("f", at("12:00:00"), counter(kernelBytes, ints{"sda": math.MaxInt64 - 3}))))
	wantPoints(t, s, collected(scope("f", at("12:00:01"), counter(kernelBytes, ints{"sda": math.MaxInt64 - 2}))),
		"kernel.bytes sda", "+1 from 12:00:00 to 12:00:01")
}

func TestEndedSeries(t *testing.T) {
	for _, delta := range []bool{false, true} {
		t.Run(fmt.Sprintf("delta=%v", delta), func(t *testing.T) {
			s := testTimestamper(delta)
			cumulative := func(points ...string) []string {
				if delta {
					return nil
				}
				return points
			}
			reading := func(clock string, v ints, g floats) *metricdata.ResourceMetrics {
				return collected(scope("f", at(clock), counter(kernelBytes, v), gauge(temperature, g)))
			}
			wantPoints(t, s, reading("12:00:00", ints{"sda": 1, "usb": 2}, floats{"usb": 40}), append(cumulative(
				"kernel.bytes sda", "1 from 06:00:00 to 12:00:00", "kernel.bytes usb", "2 from 06:00:00 to 12:00:00"),
				"temperature usb", "40 from - to 12:00:00")...)
			// The collector failed: nothing is known, so nothing has ended.
			wantPoints(t, s, collected())
			// Unplugged: each series ends once.
			first := []string{"kernel.bytes usb", "gone at 12:00:02", "temperature usb", "gone at 12:00:02"}
			second := []string{"kernel.bytes sda", "1 from 06:00:00 to 12:00:03"}
			if delta {
				first = append(first, "kernel.bytes sda", "+0 from 12:00:00 to 12:00:02")
				second[1] = "+0 from 12:00:02 to 12:00:03"
			} else {
				first = append(first, "kernel.bytes sda", "1 from 06:00:00 to 12:00:02")
			}
			wantPoints(t, s, reading("12:00:02", ints{"sda": 1}, nil), first...)
			wantPoints(t, s, reading("12:00:03", ints{"sda": 1}, nil), second...)
			// Back again, it is new: no difference to what it was.
			wantPoints(t, s, reading("12:00:04", ints{"usb": 1}, nil), append(cumulative(
				"kernel.bytes usb", "1 from 06:00:00 to 12:00:04"), "kernel.bytes sda", "gone at 12:00:04")...)
			// The last one goes too, and the collector is still read.
			wantPoints(t, s, collected(scope("f", at("12:00:05"))), "kernel.bytes usb", "gone at 12:00:05")
			wantPoints(t, s, collected(scope("f", at("12:00:06"))))
		})
	}
}

// TestStampLeavesNoSharedSlices: the SDK may fill a collection again, and two
// metrics on one slice would then overwrite each other.
func TestTimestamperLeavesNoSharedSlices(t *testing.T) {
	s := testTimestamper(true)
	rm := collected(
		scope("old", at("12:00:00"), counter(kernelTime, floats{"cpu0": 1})),
		scope("f", at("12:00:00"), counter(kernelBytes, ints{"sda": 1}), gauge(temperature, floats{"sda": 1}), gauge(temperature, floats{"sdb": 2})),
		scope("g", at("12:00:00"), gauge(temperature, floats{"sdc": 3})),
	)
	s.scopes["old"] = &scopeState{newest: at("12:00:00")}
	s.apply(rm)
	seen := map[*metricdata.DataPoint[float64]]bool{}
	for _, scope := range rm.ScopeMetrics[:cap(rm.ScopeMetrics)] {
		for _, m := range scope.Metrics[:cap(scope.Metrics)] {
			if g, ok := m.Data.(metricdata.Gauge[float64]); ok && len(g.DataPoints) > 0 {
				if seen[&g.DataPoints[0]] {
					t.Errorf("%s of %s shares its points with another", m.Name, scope.Scope.Name)
				}
				seen[&g.DataPoints[0]] = true
			}
		}
	}
	equal(t, "gauges", len(seen), 3)
}

// TestDeltasAddUp is the law of differences: whatever a counter does, between
// two resets the first value and the differences since make the last value,
// and the times of the differences join without hole or overlap.
func TestDeltasAddUp(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := testTimestamper(true)
		type state struct {
			value, sent int64
			known       bool
			last        time.Time
		}
		devices := map[string]*state{"a": {}, "b": {value: 1 << 60}, "c": {}}
		now := at("12:00:00")
		for range 60 {
			now = now.Add(time.Duration(1+r.IntN(3)) * time.Second)
			if r.IntN(10) == 0 {
				s.apply(collected()) // The collector failed.
				continue
			}
			v := ints{}
			for name, d := range devices {
				if r.IntN(12) == 0 {
					d.known = false // Unplugged.
					continue
				}
				if r.IntN(15) == 0 {
					d.value, d.known = d.value/3, d.known && d.value < 3
				}
				d.value += int64(r.IntN(5)) * int64(r.IntN(1<<20))
				v[name] = d.value
			}
			rm := collected(scope("f", now, counter(kernelBytes, v)))
			got := map[string]metricdata.DataPoint[int64]{}
			for _, r := range s.apply(rm) {
				for _, m := range r.scope.Metrics {
					for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
						device, _ := p.Attributes.Value("device")
						got[device.AsString()] = p
					}
				}
			}
			for name := range v {
				d := devices[name]
				p, found := got[name]
				// After a fall by reset that the increase made up for, the reset cannot be seen.
				reset := !d.known && found && d.value >= d.sent && !d.last.IsZero() && p.StartTime.Equal(d.last)
				switch {
				case d.known && !found:
					t.Fatalf("seed %d: %s has no difference at %s", seed, name, now)
				case found && !d.known && !reset:
					t.Fatalf("seed %d: %s has a difference of %d at %s without a start", seed, name, p.Value, now)
				case found && (p.Value < 0 || !p.StartTime.Equal(d.last) || !p.Time.Equal(now)):
					t.Fatalf("seed %d: %s has %d from %s to %s, read before at %s", seed, name, p.Value, p.StartTime, p.Time, d.last)
				case found && d.sent+p.Value != d.value:
					t.Fatalf("seed %d: %s: %d and a difference of %d are not %d", seed, name, d.sent, p.Value, d.value)
				}
				d.known, d.sent, d.last = true, d.value, now
			}
		}
	}
}
