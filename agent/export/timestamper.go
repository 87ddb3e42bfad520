package export

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sysotel/instruments"
)

// collection is what is new in one collection of the SDK, as the destinations take
// it: they change nothing in it, because others take it too, and keep nothing of it,
// because its slices are used again.
type collection []scopeReading

// scopeReading is one reading of a collector in one instrumentation scope; the
// collector custom has two.
type scopeReading struct {
	collector string
	// at is the time of the reading's tick, on every point.
	at    time.Time
	scope metricdata.ScopeMetrics
	// ended are the series that the reading before had and this one has not.
	ended []endedSeries
}

// endedSeries is a series that has ended; metricdata has no point that says so.
type endedSeries struct {
	name, description, unit string
	kind                    seriesKind
	// monotonic and temporality are those of a sum or a histogram.
	monotonic   bool
	temporality metricdata.Temporality
	attributes  attribute.Set
}

// seriesKind is the kind of metric that a series belongs to.
type seriesKind uint8

const (
	gaugeSeries seriesKind = iota
	sumSeries
	histogramSeries
)

// timestamper corrects the times of one collection of the SDK. The SDK gives points
// the time of its own clock and counts from the creation of the instrument; the
// timestamper gives every point the time of its reading and every counter the moment
// from which it really counts, passes each reading on once, and lists the series
// that have ended.
type timestamper struct {
	starts
	since  map[string]instruments.Start
	scopes map[string]*scopeState
	// delta turns counters into differences between readings.
	delta bool
	// collected counts the collections; collection is used again for each.
	collected  uint64
	collection collection
}

// scopeState is what must be remembered of a scope between readings.
type scopeState struct {
	newest time.Time
	series map[seriesID]*seriesState
	ended  []endedSeries // Used again.
}

// seriesID identifies a series within a scope.
type seriesID struct {
	metric     string
	attributes attribute.Distinct
}

// seriesState is what must be remembered of a series between readings.
type seriesState struct {
	// value is the newest one; whole is the same for integers, which float64
	// cannot tell apart beyond 9e15.
	value float64
	whole int64
	// start is since when the counter counts, last when it was read.
	start, last time.Time
	// collected is the newest collection with the series.
	collected uint64
	// ended is handed over when it has ended.
	ended endedSeries
}

// newTimestamper makes the timestamper of one push. Kernel counters start at boot,
// those that the agent accumulates at its start.
func newTimestamper(s starts, metrics []*instruments.Metric, c instruments.Conventions, delta bool) *timestamper {
	t := &timestamper{
		starts: s, delta: delta,
		since: map[string]instruments.Start{}, scopes: map[string]*scopeState{},
	}
	for _, m := range metrics {
		for _, name := range m.Names(c) {
			t.since[name] = m.Start
		}
	}
	return t
}

// apply stamps the points of a collection in place and returns what is new in it,
// valid until the next call: scopes whose reading was taken before are left out.
func (t *timestamper) apply(rm *metricdata.ResourceMetrics) collection {
	t.collected++
	if by := t.follow(); by != 0 {
		for _, state := range t.scopes {
			for _, series := range state.series {
				series.start, series.last = series.start.Add(by), series.last.Add(by)
			}
		}
	}
	t.collection = t.collection[:0]
	for i := range rm.ScopeMetrics {
		scope := &rm.ScopeMetrics[i]
		at, ok := readingTime(scope)
		state := t.scopes[scope.Scope.Name]
		if !ok || state != nil && at.Equal(state.newest) {
			continue
		}
		if state == nil {
			state = &scopeState{series: map[seriesID]*seriesState{}}
			t.scopes[scope.Scope.Name] = state
		}
		state.newest = at
		scope.Metrics = t.scope(state, scope.Metrics, at)
		if len(scope.Metrics) > 0 || len(state.ended) > 0 {
			t.collection = append(t.collection, scopeReading{collector: collectorOf(scope.Scope.Name), at: at, scope: *scope, ended: state.ended})
		}
	}
	return t.collection
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

// timeOf returns the time that the helper point carries.
func timeOf(m *metricdata.Metrics) (time.Time, bool) {
	g, ok := m.Data.(metricdata.Gauge[float64])
	if !ok || len(g.DataPoints) != 1 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(g.DataPoints[0].Value*1000 + 0.5)), true
}

// scope stamps the metrics of a scope and returns those that have points.
func (t *timestamper) scope(state *scopeState, metrics []metricdata.Metrics, at time.Time) []metricdata.Metrics {
	kept := metrics[:0]
	for _, m := range metrics {
		points := 0
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			d = stampSum(t, state, &m, d, at)
			m.Data, points = d, len(d.DataPoints)
		case metricdata.Sum[float64]:
			d = stampSum(t, state, &m, d, at)
			m.Data, points = d, len(d.DataPoints)
		case metricdata.Gauge[int64]:
			points = stampGauge(t, state, &m, d.DataPoints, at)
		case metricdata.Gauge[float64]:
			points = stampGauge(t, state, &m, d.DataPoints, at)
		case metricdata.Histogram[float64]:
			points = t.stampHistogram(state, &m, d.DataPoints, at)
		}
		if points > 0 {
			kept = append(kept, m)
		}
	}
	// Two places must not share slices: the SDK may fill them again.
	clear(metrics[len(kept):])
	state.ended = state.ended[:0]
	for id, old := range state.series {
		if old.collected != t.collected {
			delete(state.series, id)
			state.ended = append(state.ended, old.ended)
		}
	}
	return kept
}

func stampGauge[N int64 | float64](t *timestamper, state *scopeState, m *metricdata.Metrics, points []metricdata.DataPoint[N], at time.Time) int {
	for i := range points {
		p := &points[i]
		p.StartTime, p.Time = time.Time{}, at
		if t.find(state, m.Name, p.Attributes) == nil {
			t.add(state, m, p.Attributes, endedSeries{kind: gaugeSeries})
		}
	}
	return len(points)
}

// stampHistogram stamps a histogram; they come from custom metrics only. They
// stay cumulative, as what is not monotonic does.
func (t *timestamper) stampHistogram(state *scopeState, m *metricdata.Metrics, points []metricdata.HistogramDataPoint[float64], at time.Time) int {
	for i := range points {
		p := &points[i]
		old := t.find(state, m.Name, p.Attributes)
		switch {
		case old == nil:
			old = t.add(state, m, p.Attributes, endedSeries{kind: histogramSeries, temporality: metricdata.CumulativeTemporality})
			old.start = t.start(m.Name, at)
		case p.Count < uint64(old.whole):
			old.start = old.last
		}
		p.StartTime, p.Time = old.start, at
		old.whole, old.last = int64(p.Count), at
	}
	return len(points)
}

// start is since when a counter counts that is seen at a time for the first
// time. Of one that is not ours it is only known that it counts since then.
func (t *timestamper) start(name string, at time.Time) time.Time {
	if since, ours := t.since[name]; ours {
		return t.of(since)
	}
	return at
}

// stampSum stamps a counter. A counter that went back was reset: it counts
// since the reading before. As deltas, the first sight of a series and a reset
// give no point, because what happened in between is not known.
func stampSum[N int64 | float64](t *timestamper, state *scopeState, m *metricdata.Metrics, sum metricdata.Sum[N], at time.Time) metricdata.Sum[N] {
	start := t.start(m.Name, at)
	asDelta := t.delta && sum.IsMonotonic
	if asDelta {
		sum.Temporality = metricdata.DeltaTemporality
	}
	kept := sum.DataPoints[:0]
	for _, p := range sum.DataPoints {
		old := t.find(state, m.Name, p.Attributes)
		first := old == nil
		if first {
			old = t.add(state, m, p.Attributes, endedSeries{kind: sumSeries, monotonic: sum.IsMonotonic, temporality: sum.Temporality})
			old.start = start
		}
		value := p.Value
		before := N(old.value)
		if _, integer := any(value).(int64); integer {
			before = N(old.whole)
		}
		reset := !first && sum.IsMonotonic && value < before
		if reset {
			old.start = old.last
		}
		p.StartTime, p.Time = old.start, at
		if asDelta {
			p.StartTime, p.Value = old.last, value-before
		}
		if !asDelta || !first && !reset {
			kept = append(kept, p)
		}
		old.value, old.whole, old.last = float64(value), int64(value), at
	}
	sum.DataPoints = kept
	return sum
}

// find returns the state of a series and marks it as seen; nil at first sight.
func (t *timestamper) find(state *scopeState, name string, attributes attribute.Set) *seriesState {
	old := state.series[seriesID{name, attributes.Equivalent()}]
	if old != nil {
		old.collected = t.collected
	}
	return old
}

// add begins to remember a series; ended says of what kind it is.
func (t *timestamper) add(state *scopeState, m *metricdata.Metrics, attributes attribute.Set, ended endedSeries) *seriesState {
	ended.name, ended.description, ended.unit, ended.attributes = m.Name, m.Description, m.Unit, attributes
	added := &seriesState{collected: t.collected, ended: ended}
	state.series[seriesID{m.Name, attributes.Equivalent()}] = added
	return added
}
