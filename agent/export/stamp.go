package export

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sysotel/instruments"
)

// stamp makes one collection of the SDK true in time for those it is pushed to.
// The SDK stamps points with its own clock and counts from the creation of the
// instrument; stamp gives every point the time of its reading and every counter
// the moment from which it really counts, takes each reading once, and marks
// the series that are gone.
type stamp struct {
	boot, agent time.Time
	since       map[string]instruments.Start
	taken       map[string]time.Time
	scopes      map[string]map[seriesID]*series
	round       uint64
	// delta turns counters into differences between readings.
	delta bool
}

// seriesID identifies a series within a scope.
type seriesID struct {
	metric     string
	attributes attribute.Distinct
}

// series is what must be remembered of a series between readings.
type series struct {
	// value is the newest one; whole is the same for integers, which float64
	// cannot tell apart beyond 9e15.
	value float64
	whole int64
	// start is since when the counter counts, last when it was read.
	start, last time.Time
	round       uint64
	// gone is the metric with the one point that says that the series has ended.
	gone metricdata.Metrics
}

// vanished is the start time by which a point says that its series has ended:
// metricdata has no word for it. Nothing of a machine starts in 1970.
var vanished = time.Unix(0, 1)

// newStamp makes the stamp of one push. Kernel counters start at boot,
// those that the agent accumulates at its start.
func newStamp(boot, agent time.Time, metrics []*instruments.Metric, c instruments.Conventions, delta bool) *stamp {
	s := &stamp{
		boot: boot, agent: agent, delta: delta,
		since: map[string]instruments.Start{}, taken: map[string]time.Time{}, scopes: map[string]map[seriesID]*series{},
	}
	for _, m := range metrics {
		for _, name := range m.Names(c) {
			s.since[name] = m.Start
		}
	}
	return s
}

// apply stamps the collection in place and leaves out the scopes whose reading
// was taken before.
func (s *stamp) apply(rm *metricdata.ResourceMetrics) {
	s.round++
	kept := rm.ScopeMetrics[:0]
	for _, scope := range rm.ScopeMetrics {
		at, ok := readingTime(&scope)
		if !ok || at.Equal(s.taken[scope.Scope.Name]) {
			continue
		}
		s.taken[scope.Scope.Name] = at
		known := s.scopes[scope.Scope.Name]
		if known == nil {
			known = map[seriesID]*series{}
			s.scopes[scope.Scope.Name] = known
		}
		scope.Metrics = s.scope(known, scope.Metrics, at)
		if len(scope.Metrics) > 0 {
			kept = append(kept, scope)
		}
	}
	// Two places must not share slices: the SDK may fill them again.
	clear(rm.ScopeMetrics[len(kept):])
	rm.ScopeMetrics = kept
}

// readingTime takes the helper point that carries the reading's time out of its scope.
func readingTime(scope *metricdata.ScopeMetrics) (time.Time, bool) {
	for i, m := range scope.Metrics {
		if m.Name != instruments.ReadingTimeName {
			continue
		}
		at, ok := timeOf(&m)
		if ok {
			scope.Metrics = slices.Delete(scope.Metrics, i, i+1)
		}
		return at, ok
	}
	return time.Time{}, false
}

// timeOf is what the helper point says.
func timeOf(m *metricdata.Metrics) (time.Time, bool) {
	g, ok := m.Data.(metricdata.Gauge[float64])
	if !ok || len(g.DataPoints) != 1 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(g.DataPoints[0].Value*1000 + 0.5)), true
}

func (s *stamp) scope(known map[seriesID]*series, metrics []metricdata.Metrics, at time.Time) []metricdata.Metrics {
	kept := metrics[:0]
	for _, m := range metrics {
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			m.Data = stampSum(s, known, m, d, at)
		case metricdata.Sum[float64]:
			m.Data = stampSum(s, known, m, d, at)
		case metricdata.Gauge[int64]:
			stampGauge(s, known, m, d.DataPoints, at)
		case metricdata.Gauge[float64]:
			stampGauge(s, known, m, d.DataPoints, at)
		case metricdata.Histogram[float64]:
			stampHistogram(s, known, m, d.DataPoints, at)
		}
		if points(m.Data) > 0 {
			kept = append(kept, m)
		}
	}
	clear(metrics[len(kept):])
	for id, old := range known {
		if old.round != s.round {
			delete(known, id)
			kept = append(kept, ended(old.gone, at))
		}
	}
	return kept
}

// points counts the points of a metric.
func points(d metricdata.Aggregation) int {
	switch d := d.(type) {
	case metricdata.Sum[int64]:
		return len(d.DataPoints)
	case metricdata.Sum[float64]:
		return len(d.DataPoints)
	case metricdata.Gauge[int64]:
		return len(d.DataPoints)
	case metricdata.Gauge[float64]:
		return len(d.DataPoints)
	case metricdata.Histogram[float64]:
		return len(d.DataPoints)
	}
	return 0
}

func stampGauge[N int64 | float64](s *stamp, known map[seriesID]*series, m metricdata.Metrics, dps []metricdata.DataPoint[N], at time.Time) {
	for i := range dps {
		dp := &dps[i]
		dp.StartTime, dp.Time = time.Time{}, at
		if s.find(known, m.Name, dp.Attributes) == nil {
			s.add(known, m, dp.Attributes, metricdata.Gauge[N]{DataPoints: gonePoint[N](dp.Attributes)})
		}
	}
}

// stampHistogram stamps a histogram; they come from custom metrics only. They
// stay cumulative, as what is not monotonic does.
func stampHistogram(s *stamp, known map[seriesID]*series, m metricdata.Metrics, dps []metricdata.HistogramDataPoint[float64], at time.Time) {
	for i := range dps {
		dp := &dps[i]
		old := s.find(known, m.Name, dp.Attributes)
		switch {
		case old == nil:
			gone := metricdata.HistogramDataPoint[float64]{Attributes: dp.Attributes, StartTime: vanished}
			old = s.add(known, m, dp.Attributes, metricdata.Histogram[float64]{
				Temporality: metricdata.CumulativeTemporality, DataPoints: []metricdata.HistogramDataPoint[float64]{gone},
			})
			old.start = s.start(m.Name, at)
		case dp.Count < uint64(old.whole):
			old.start = old.last
		}
		dp.StartTime, dp.Time = old.start, at
		old.whole, old.last = int64(dp.Count), at
	}
}

// start is since when a counter counts that is seen at a time for the first
// time. Of one that is not ours it is only known that it counts since then.
func (s *stamp) start(name string, at time.Time) time.Time {
	since, ours := s.since[name]
	switch {
	case !ours:
		return at
	case since == instruments.SinceAgent:
		return s.agent
	}
	return s.boot
}

// stampSum stamps a counter. A counter that went back was reset: it counts
// since the reading before. As deltas, the first sight of a series and a reset
// give no point, because what happened in between is not known.
func stampSum[N int64 | float64](s *stamp, known map[seriesID]*series, m metricdata.Metrics, sum metricdata.Sum[N], at time.Time) metricdata.Sum[N] {
	start := s.start(m.Name, at)
	asDelta := s.delta && sum.IsMonotonic
	if asDelta {
		sum.Temporality = metricdata.DeltaTemporality
	}
	kept := sum.DataPoints[:0]
	for _, dp := range sum.DataPoints {
		old := s.find(known, m.Name, dp.Attributes)
		first := old == nil
		if first {
			gone := sum
			gone.DataPoints = gonePoint[N](dp.Attributes)
			old = s.add(known, m, dp.Attributes, gone)
			old.start = start
		}
		value := dp.Value
		before := N(old.value)
		if _, integer := any(value).(int64); integer {
			before = N(old.whole)
		}
		reset := !first && sum.IsMonotonic && value < before
		if reset {
			old.start = old.last
		}
		dp.StartTime, dp.Time = old.start, at
		if asDelta {
			dp.StartTime, dp.Value = old.last, value-before
		}
		if !asDelta || !first && !reset {
			kept = append(kept, dp)
		}
		old.value, old.whole, old.last = float64(value), int64(value), at
	}
	sum.DataPoints = kept
	return sum
}

// find returns what is known of a series and marks it as seen, nil at first sight.
func (s *stamp) find(known map[seriesID]*series, name string, attributes attribute.Set) *series {
	old := known[seriesID{name, attributes.Equivalent()}]
	if old != nil {
		old.round = s.round
	}
	return old
}

// add begins to remember a series; gone is the point that will say that it ended.
func (s *stamp) add(known map[seriesID]*series, m metricdata.Metrics, attributes attribute.Set, gone metricdata.Aggregation) *series {
	m.Data = gone
	added := &series{round: s.round, gone: m}
	known[seriesID{m.Name, attributes.Equivalent()}] = added
	return added
}

func gonePoint[N int64 | float64](attributes attribute.Set) []metricdata.DataPoint[N] {
	return []metricdata.DataPoint[N]{{Attributes: attributes, StartTime: vanished}}
}

// ended stamps the point that says that a series has ended.
func ended(m metricdata.Metrics, at time.Time) metricdata.Metrics {
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		d.DataPoints[0].Time = at
	case metricdata.Sum[float64]:
		d.DataPoints[0].Time = at
	case metricdata.Gauge[int64]:
		d.DataPoints[0].Time = at
	case metricdata.Gauge[float64]:
		d.DataPoints[0].Time = at
	case metricdata.Histogram[float64]:
		d.DataPoints[0].Time = at
	}
	return m
}
