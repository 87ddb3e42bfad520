//go:build linux

package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"sysotel/agent/queue"
)

// outageLength is the length of the outage in TestSixHourOutage.
const outageLength = 6 * time.Hour

// TestSixHourOutage starts an agent whose queue holds six hours of requests, as after an
// outage of the receiver: every second, and the buckets of each coarser tier. All
// arrive once, and the tiers agree.
func TestSixHourOutage(t *testing.T) {
	t.Parallel()
	c := configure(t)
	end := shownNow().Truncate(time.Hour)
	want := fillQueue(t, filepath.Join(c.DataDir, queueFile), end)
	s := newStack(t, "1s", "1m", "5m", "1h")
	a := run(t, configure(t, "--data-dir="+c.DataDir, "--otlp.endpoint=http://"+s.grpc, "--otlp.tiered=true"))
	began := time.Now()
	for i, n := range s.nodes {
		n.awaitSamples(want[i], nil)
		got := n.export(`{host_name="past"}`)
		n.checkOnce(got, want[i], nil)
	}
	t.Logf("six hours arrived within %s", time.Since(began).Round(time.Second))
	if dropped, _ := scrape(t, a.socket).sum("sysotel_queue_dropped_total"); dropped > 0 {
		t.Errorf("%g requests were dropped", dropped)
	}
	for _, query := range []string{
		"increase(past_resets_total[3h])", "increase(past_steady_total[3h])",
		"max_over_time(past_level_max[3h]) or max_over_time(past_level[3h])",
		"min_over_time(past_level_min[3h]) or min_over_time(past_level[3h])",
		"avg_over_time(past_level[3h])",
	} {
		var first float64
		for i, n := range s.nodes {
			v := n.value(query, end)
			// A node must not assemble a result for now from its cache.
			now := shownNow()
			if got, direct := n.value(query, now), n.value(query, now, "nocache=1"); got != direct && !(math.IsNaN(got) && math.IsNaN(direct)) {
				t.Errorf("%s is %g now in tier %s, but %g without its cache", query, got, n.tier, direct)
			}
			if i == 0 {
				first = v
			}
			if !equalWithin(v, first, rounded) {
				t.Errorf("%s is %g in tier %s and %g in the finest", query, v, n.tier, first)
			}
		}
		t.Logf("%s = %g", query, first)
	}
	// An increase counts from the last sample before the window, in each resolution.
	for i, width := range []time.Duration{time.Second, time.Minute, 5 * time.Minute, time.Hour} {
		now := shownNow()
		since := now.Add(-3 * time.Hour).Truncate(width)
		if got, grown := s.nodes[i].value("increase(past_steady_total[3h])", now), 2*end.Sub(since).Seconds(); got != grown {
			t.Errorf("at %s the increase in tier %s is %g, want %g", now, s.nodes[i].tier, got, grown)
		}
	}
}

// shownNow is the newest time that a node shows: it hides the last two seconds.
func shownNow() time.Time { return time.Now().Add(-4 * time.Second).Truncate(time.Second) }

// value evaluates an expression with one result on the node at a time, NaN for no
// result.
func (n *node) value(expression string, at time.Time, parameters ...string) float64 {
	n.tb.Helper()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]json.RawMessage }
		}
	}
	question := append(parameters, fmt.Sprintf("time=%d&query=%s", at.Unix(), url.QueryEscape(expression)))
	decode(n.tb, n.get("/api/v1/query?"+strings.Join(question, "&")), &answer)
	if len(answer.Data.Result) == 0 {
		return math.NaN()
	}
	if len(answer.Data.Result) > 1 {
		n.tb.Fatalf("%s: %s returns %d results", n.tier, expression, len(answer.Data.Result))
	}
	var text string
	decode(n.tb, answer.Data.Result[0].Value[1], &text)
	return numberOf(n.tb, text)
}

// fillQueue writes the queue of an agent that sent nothing during the outage, and
// returns what each tier must have in the end.
func fillQueue(tb testing.TB, path string, end time.Time) []samples {
	tb.Helper()
	tiers := []struct {
		name  string
		width time.Duration
	}{{"1s", time.Second}, {"1m", time.Minute}, {"5m", 5 * time.Minute}, {"1h", time.Hour}}
	q, err := queue.Open(context.Background(), queue.Options{
		Path: path, Partitions: []string{"", "1m", "5m", "1h"}, MaxBytes: 512 << 20, MaxAge: 24 * time.Hour, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	missed := outageUntil(end)
	want := make([]samples, len(tiers))
	for i, tier := range tiers {
		want[i] = samples{}
		partition := q.Partition(map[bool]string{true: "", false: tier.name}[i == 0])
		var bodies [][]byte
		for at := end.Add(-outageLength + tier.width); !at.After(end); at = at.Add(tier.width) {
			points := missed.bucket(at, tier.width)
			bodies = append(bodies, requestOf(tb, tier.name, points))
			for _, p := range points {
				series := seriesName(map[string]string{"__name__": p.promName, "host_name": "past"})
				if want[i][series] == nil {
					want[i][series] = map[int64][]float64{}
				}
				want[i][series][p.at.UnixMilli()] = []float64{p.value}
			}
			if len(bodies) == 500 || !at.Add(tier.width).Before(end.Add(time.Nanosecond)) {
				partition.Push(at, time.Time{}, bodies...)
				bodies = nil
			}
		}
	}
	if err := q.Close(); err != nil {
		tb.Fatal(err)
	}
	return want
}

// outagePoint is one point of the outage's readings.
type outagePoint struct {
	name, promName string
	counter        bool
	start, at      time.Time
	value          float64
}

// outage has the readings of each second of the outage: a gauge with rare spikes, a
// counter without resets, and one with resets.
type outage struct {
	begin                 time.Time
	level, steady, resets []float64
	started               []time.Time // of resets
}

func outageUntil(end time.Time) outage {
	p := outage{begin: end.Add(-outageLength)}
	start, n := p.begin, 0.0
	for i := range int(outageLength / time.Second) {
		level := 10 + float64(i%7)
		if i%1777 == 0 {
			level = 101
		}
		if i%2113 == 5 {
			level = 2
		}
		if i%3701 == 3700 {
			start, n = p.begin.Add(time.Duration(i)*time.Second), 0
		}
		n += float64(i % 5)
		p.level, p.steady = append(p.level, level), append(p.steady, 2*float64(i))
		p.resets, p.started = append(p.resets, n), append(p.started, start)
	}
	return p
}

// bucket returns a tier's points of (end−width, end]; in the finest tier that is one
// second.
func (p outage) bucket(end time.Time, width time.Duration) (points []outagePoint) {
	last := int(end.Sub(p.begin)/time.Second) - 1
	first := last - int(width/time.Second) + 1
	low, high, sum := p.level[first], p.level[first], 0.0
	for _, v := range p.level[first : last+1] {
		low, high, sum = min(low, v), max(high, v), sum+v
	}
	gauge := func(name, promName string, v float64) {
		points = append(points, outagePoint{name: name, promName: promName, at: end, value: v})
	}
	gauge("past.level", "past_level", sum/float64(last-first+1))
	if width > time.Second {
		gauge("past.level.min", "past_level_min", low)
		gauge("past.level.max", "past_level_max", high)
	}
	steady := outagePoint{name: "past.steady", promName: "past_steady_total", counter: true, start: p.begin.Add(-time.Hour), at: end, value: p.steady[last]}
	points = append(points, steady)
	turn := func(i int) {
		points = append(points, outagePoint{
			name: "past.resets", promName: "past_resets_total", counter: true, start: p.started[i],
			at: p.begin.Add(time.Duration(i+1) * time.Second), value: p.resets[i],
		})
	}
	// Points around a reset keep their own times.
	for i := max(first, 1); width > time.Second && i <= last; i++ {
		if p.resets[i] < p.resets[i-1] {
			if i-1 >= first {
				turn(i - 1)
			}
			if i < last {
				turn(i)
			}
		}
	}
	turn(last)
	return points
}

// requestOf returns a request as the agent makes it for a tiered destination.
func requestOf(tb testing.TB, tier string, points []outagePoint) []byte {
	tb.Helper()
	attribute := func(key, value string) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
	}
	scope := &metricspb.ScopeMetrics{Scope: &commonpb.InstrumentationScope{Name: "past"}}
	for _, p := range points {
		point := &metricspb.NumberDataPoint{TimeUnixNano: uint64(p.at.UnixNano()), Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: p.value}}
		list := []*metricspb.NumberDataPoint{point}
		m := &metricspb.Metric{Name: p.name, Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: list}}}
		if p.counter {
			point.StartTimeUnixNano = uint64(p.start.UnixNano())
			m.Data = &metricspb.Metric_Sum{Sum: &metricspb.Sum{
				DataPoints: list, IsMonotonic: true, AggregationTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE,
			}}
		}
		scope.Metrics = append(scope.Metrics, m)
	}
	body, err := proto.Marshal(&collectorpb.ExportMetricsServiceRequest{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource:     &resourcepb.Resource{Attributes: []*commonpb.KeyValue{attribute("host.name", "past"), attribute("tier", tier)}},
		ScopeMetrics: []*metricspb.ScopeMetrics{scope},
	}}})
	if err != nil {
		tb.Fatal(err)
	}
	return body
}
