package export

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sysotel/agent/store"
)

// Store keeps readings.
type Store interface {
	Append(store.Reading) error
}

// toStore is the destination that keeps readings on this machine. A series is created
// once and reused, so that a tick looks up and allocates little.
type toStore struct {
	machine Machine
	store   Store
	namer   *seriesNamer
	log     *slog.Logger

	scopes map[string]map[seriesID]*keptSeries
	legacy []*legacySeries
	// readings are those of one collection; the slices are reused.
	readings []keptReading
	batch    []store.CollectorReading
}

// keptSeries are the store's series of one series of the SDK: one, or several for a
// histogram; none if Prometheus has no name for it.
type keptSeries struct {
	series    *store.Series
	counter   bool
	histogram *keptHistogram
}

// all lists them.
func (k *keptSeries) all() []*store.Series {
	switch {
	case k.histogram != nil:
		return k.histogram.all()
	case k.series != nil:
		return []*store.Series{k.series}
	}
	return nil
}

// keptReading is a reading of a collector in one collection.
type keptReading struct {
	store.CollectorReading
	at time.Time
}

func newToStore(s Store, machine Machine, hostName string, log *slog.Logger) *toStore {
	d := &toStore{
		machine: machine, store: s, namer: newSeriesNamer(hostName), log: log,
		scopes: map[string]map[seriesID]*keptSeries{},
	}
	for _, n := range legacyNameTable() {
		d.legacy = append(d.legacy, &legacySeries{legacyName: n, series: map[string]*keptLegacy{}})
	}
	return d
}

// take keeps a collection.
func (d *toStore) take(_ context.Context, c collection) error {
	d.readings = d.readings[:0]
	for i := range c {
		r := &c[i]
		name := r.scope.Scope.Name
		to := d.reading(r.collector, r.at)
		known := d.scopes[name]
		if known == nil {
			known = map[seriesID]*keptSeries{}
			d.scopes[name] = known
		}
		s := scopeSeries{destination: d, known: known, to: to, verbatim: name == customScope}
		if s.verbatim {
			reading, _ := d.machine.Newest(r.collector)
			s.counted = countedGauges(reading)
		}
		for _, m := range r.scope.Metrics {
			s.metric(&m)
		}
		for i := range r.ended {
			s.ended(&r.ended[i])
		}
	}
	for i := range d.readings {
		for _, s := range d.legacy {
			if s.collector == d.readings[i].Collector {
				d.addLegacy(s, &d.readings[i])
			}
		}
	}
	return d.append()
}

// append hands the readings to the store. They are of one tick, except those that an
// earlier collection could not take.
func (d *toStore) append() error {
	slices.SortStableFunc(d.readings, func(a, b keptReading) int { return a.at.Compare(b.at) })
	for rest := d.readings; len(rest) > 0; {
		at := rest[0].at
		d.batch = d.batch[:0]
		for len(rest) > 0 && rest[0].at.Equal(at) {
			d.batch = append(d.batch, rest[0].CollectorReading)
			rest = rest[1:]
		}
		if err := d.store.Append(store.Reading{Time: at, Collectors: d.batch}); err != nil {
			return err
		}
	}
	return nil
}

// reading returns the reading of a collector at a time; two scopes of a collector share
// one.
func (d *toStore) reading(collector string, at time.Time) *keptReading {
	for i := range d.readings {
		if d.readings[i].Collector == collector && d.readings[i].at.Equal(at) {
			return &d.readings[i]
		}
	}
	if len(d.readings) < cap(d.readings) {
		d.readings = d.readings[:len(d.readings)+1]
	} else {
		d.readings = append(d.readings, keptReading{})
	}
	r := &d.readings[len(d.readings)-1]
	r.Collector, r.at, r.Taken = collector, at, d.machine.Taken(collector, at)
	r.Samples, r.Ended = r.Samples[:0], r.Ended[:0]
	return r
}

// add adds a sample.
func (f *keptReading) add(s *store.Series, v float64) {
	f.Samples = append(f.Samples, store.Sample{Series: s, Value: v})
}

// scopeSeries turns the metrics of one scope into samples.
type scopeSeries struct {
	destination *toStore
	known       map[seriesID]*keptSeries
	to          *keptReading
	verbatim    bool
	// counted are the gauges that are counters of the store.
	counted map[string]bool
}

func (s *scopeSeries) metric(m *metricdata.Metrics) {
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		numbers(s, m, data.DataPoints, sumKind(data.IsMonotonic))
	case metricdata.Sum[float64]:
		numbers(s, m, data.DataPoints, sumKind(data.IsMonotonic))
	case metricdata.Gauge[int64]:
		numbers(s, m, data.DataPoints, store.OriginGauge)
	case metricdata.Gauge[float64]:
		numbers(s, m, data.DataPoints, store.OriginGauge)
	case metricdata.Histogram[float64]:
		for i := range data.DataPoints {
			s.histogram(m, &data.DataPoints[i])
		}
	}
}

// sumKind is the kind of a sum.
func sumKind(monotonic bool) store.OriginKind {
	if monotonic {
		return store.OriginCounter
	}
	return store.OriginSum
}

// numbers appends the points of a sum or a gauge.
func numbers[N int64 | float64](s *scopeSeries, m *metricdata.Metrics, points []metricdata.DataPoint[N], kind store.OriginKind) {
	counter := kind == store.OriginCounter || s.counted[m.Name]
	for i := range points {
		p := &points[i]
		id := seriesID{m.Name, p.Attributes.Equivalent()}
		kept := s.known[id]
		// A custom metric that changes its type is another series.
		if kept != nil && (kept.histogram != nil || kept.counter != counter) {
			kept = s.end(id, kept)
		}
		if kept == nil {
			series, err := s.destination.namer.series(metricSeries{
				name: m.Name, unit: m.Unit, counter: counter, verbatim: s.verbatim, kind: kind, collector: s.to.Collector, attributes: p.Attributes,
			})
			s.unnamed(m, err)
			kept = &keptSeries{series: series, counter: counter}
			s.known[id] = kept
		}
		if kept.series != nil {
			kept.series.Start = p.StartTime
			s.to.add(kept.series, float64(p.Value))
		}
	}
}

// histogram appends the series of a histogram, which comes from a custom metric.
func (s *scopeSeries) histogram(m *metricdata.Metrics, p *metricdata.HistogramDataPoint[float64]) {
	id := seriesID{m.Name, p.Attributes.Equivalent()}
	kept := s.known[id]
	// Other bounds are other series.
	if kept != nil && (kept.histogram == nil || !kept.histogram.fits(p)) {
		kept = s.end(id, kept)
	}
	if kept == nil {
		h, err := s.destination.namer.histogram(m.Name, s.to.Collector, p)
		s.unnamed(m, err)
		kept = &keptSeries{histogram: h}
		s.known[id] = kept
	}
	kept.histogram.add(s.to, p)
}

// ended takes the end of a series.
func (s *scopeSeries) ended(e *endedSeries) {
	id := seriesID{e.name, e.attributes.Equivalent()}
	if kept := s.known[id]; kept != nil {
		s.end(id, kept)
	}
}

// end forgets a series; it returns what is known of it then.
func (s *scopeSeries) end(id seriesID, kept *keptSeries) *keptSeries {
	delete(s.known, id)
	s.to.Ended = append(s.to.Ended, kept.all()...)
	return nil
}

// unnamed logs, once for each series, that it is not kept.
func (s *scopeSeries) unnamed(m *metricdata.Metrics, err error) {
	if err != nil {
		s.destination.log.Warn("cannot store a series without a Prometheus name", "metric", m.Name, "err", err)
	}
}
