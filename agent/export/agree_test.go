package export

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"sysotel/agent/clock"
	"sysotel/instruments"
)

// shuffled reports what a seed makes it report: in another order now and then, with
// counters that go back, numbers that are unknown, series that come and go, that are
// reported twice, or that differ only in bytes that are no text.
type shuffled struct {
	metrics []*instruments.Metric
	tick    uint64
	random  *rand.Rand
}

func (s *shuffled) Report(o *instruments.Observer) {
	r := rand.New(rand.NewPCG(s.random.Uint64(), s.tick))
	metrics := append([]*instruments.Metric(nil), s.metrics...)
	if r.IntN(4) == 0 {
		r.Shuffle(len(metrics), func(i, k int) { metrics[i], metrics[k] = metrics[k], metrics[i] })
	}
	for _, m := range metrics {
		for range r.IntN(4) {
			var values []string
			for _, key := range m.Keys {
				from := []string{"a", "b", "", "evil\xff", "evil\xfe", "cpu0"}
				for value := range key.Values {
					from = append(from, value)
				}
				if n := len(from); n > 6 { // A map has no order, and two reports must be equal.
					from = from[:6]
				}
				values = append(values, from[r.IntN(len(from))])
			}
			value := float64(s.tick * 10)
			switch r.IntN(8) {
			case 0:
				value = float64(r.IntN(100))
			case 1:
				value = math.NaN()
			}
			if m.Integer && !math.IsNaN(value) {
				o.Int(m, int64(value), values...)
			} else if !m.Integer {
				o.Float(m, value, values...)
			}
		}
	}
}

// same returns a reading that reports the same whenever it is asked.
func (s *shuffled) same() instruments.Reading {
	seed := s.random.Uint64()
	metrics, tick := s.metrics, s.tick
	return reporting(func(o *instruments.Observer) {
		(&shuffled{metrics, tick, rand.New(rand.NewPCG(seed, 0))}).Report(o)
	})
}

// kept are the series of one tick by their labels: what a destination has of them.
type kept struct {
	values, starts map[string]float64
	ended          map[string]bool
}

// TestDestinationsAgree: whatever is reported, the store, which takes readings without
// the SDK, has the same series, values, starts and ends as OTLP, and the same series and
// values as the page.
func TestDestinationsAgree(t *testing.T) {
	for _, conventions := range []instruments.Conventions{instruments.Hostmetrics, instruments.Semconv, instruments.Both} {
		t.Run(string(conventions), func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			judge := &setClock{at("12:00:00"), 6 * time.Hour}
			stored := &keeper{}
			c := Defaults()
			c.OTLP.Endpoint, c.Prometheus.NodeExporter = "http://127.0.0.1:1", NoNodeNames
			o := testOptions(t, c, &logbook{})
			o.Conventions, o.Store, o.Clock, o.Started = conventions, stored, judge, at("11:59:58")
			measured := instruments.Defaults()
			measured.Conventions = conventions
			o.Collectors = instruments.NewCollectors(measured, nil)
			a, err := newAgent(o, &logbook{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = a.Shutdown(context.WithoutCancel(t.Context())) })
			a.store.legacy = nil // Those are made from typed readings.
			now, total := judge.now, 0
			for tick := range uint64(60) {
				now = now.Add(time.Second)
				judge.boot += time.Second
				if tick == 30 { // The clock is set.
					now = now.Add(3 * time.Hour)
				}
				judge.now = now
				readings := map[string]instruments.Reading{}
				for _, f := range o.Collectors {
					// The reading of custom metrics is looked into.
					if f.Name() != "custom" && random.IntN(5) > 0 {
						readings[f.Name()] = (&shuffled{f.Metrics(), tick, random}).same()
					}
				}
				a.machine.tick(now, readings)
				before := len(stored.readings)
				if err := a.collect(t.Context()); err != nil {
					t.Fatal(err)
				}
				inStore, sent := kept{map[string]float64{}, map[string]float64{}, map[string]bool{}}, sentSeries(t, a)
				for _, reading := range stored.readings[before:] {
					for _, f := range reading.Collectors {
						for _, s := range f.Samples {
							series := s.Series.Labels.String()
							inStore.values[series], inStore.starts[series] = s.Value, 0
							if !s.Series.Start.IsZero() {
								inStore.starts[series] = float64(s.Series.Start.UnixMilli())
							}
						}
						for _, s := range f.Ended {
							inStore.ended[s.Labels.String()] = true
						}
					}
				}
				total += len(inStore.values)
				differ(t, fmt.Sprintf("tick %d: store and OTLP", tick), inStore.values, sent.values)
				differ(t, fmt.Sprintf("tick %d: starts in store and OTLP", tick), inStore.starts, sent.starts)
				differ(t, fmt.Sprintf("tick %d: ends in store and OTLP", tick), inStore.ended, sent.ended)
				page := pageSeries(t, a.Exporter)
				for series, v := range inStore.values {
					if got, ok := page[series]; !ok || got != v {
						t.Errorf("tick %d: %s is %v in the store, %v on the page", tick, series, v, got)
					}
				}
				if t.Failed() {
					t.FailNow()
				}
			}
			if total < 1000 {
				t.Errorf("only %d values were compared", total)
			}
		})
	}
}

var _ Clock = (*clock.Judge)(nil) // What setClock stands for.

// differ reports what one has and the other has not.
func differ[V comparable](t *testing.T, what string, a, b map[string]V) {
	t.Helper()
	for series, v := range a {
		if other, ok := b[series]; !ok || other != v {
			t.Errorf("%s: %s is %v and %v (%t)", what, series, v, other, ok)
		}
	}
	for series, v := range b {
		if _, ok := a[series]; !ok {
			t.Errorf("%s: %s is missing and %v", what, series, v)
		}
	}
}

// sentSeries are the series of the requests that wait, by the labels that the store
// would give them.
func sentSeries(t *testing.T, a *agent) kept {
	t.Helper()
	found := kept{map[string]float64{}, map[string]float64{}, map[string]bool{}}
	namer := newSeriesNamer("host-1")
	for _, request := range queued(t, a.otlp) {
		for _, rm := range request.ResourceMetrics {
			for _, sm := range rm.ScopeMetrics {
				for _, m := range sm.Metrics {
					for _, p := range append(m.GetGauge().GetDataPoints(), m.GetSum().GetDataPoints()...) {
						s, err := namer.series(metricSeries{name: m.Name, unit: m.Unit, counter: m.GetSum().GetIsMonotonic(), attributes: attributeSet(p.Attributes)})
						if err != nil {
							t.Fatal(err)
						}
						arrived, series := arrivedPoint(m, p), s.Labels.String()
						if arrived.gone {
							found.ended[series] = true
							continue
						}
						found.values[series], found.starts[series] = arrived.value, float64(p.StartTimeUnixNano/1e6)
						if _, gauge := m.Data.(*metricspb.Metric_Gauge); gauge {
							found.starts[series] = 0
						}
					}
				}
			}
		}
	}
	return found
}

// attributeSet turns the attributes of a point back into those of the SDK.
func attributeSet(list []*commonpb.KeyValue) attribute.Set {
	var kvs []attribute.KeyValue
	for _, kv := range list {
		if n, whole := kv.Value.Value.(*commonpb.AnyValue_IntValue); whole {
			kvs = append(kvs, attribute.Int64(kv.Key, n.IntValue))
			continue
		}
		kvs = append(kvs, attribute.String(kv.Key, kv.Value.GetStringValue()))
	}
	return attribute.NewSet(kvs...)
}
