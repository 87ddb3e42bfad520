package export

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sysotel/agent/store"
	"sysotel/instruments"
)

// Store keeps readings.
type Store interface {
	Append(store.Reading) error
}

// toStore keeps readings on this machine. It follows their series by their place, and
// makes each series of the store once: a tick looks up and allocates nothing.
type toStore struct {
	machine Machine
	store   Store
	namer   *seriesNamer
	log     *slog.Logger
	starts  starts

	// turn is taken by the collection that runs: a disk may not answer.
	turn       chan struct{}
	collectors []*followed
	legacy     []*legacySeries
	// custom stamps the metrics that are not ours, which known has by their names, newest
	// is when they were read.
	custom *timestamper
	newest time.Time
	known  map[seriesID]*keptSeries
	// readings are those of one collection; the slices are reused.
	readings []keptReading
	batch    []store.CollectorReading
}

// followed is a collector whose series are followed.
type followed struct {
	name     string
	follower *instruments.Follower
	newest   time.Time
	// moved is by how much its series' starts have moved, as in starts.
	moved time.Duration
}

// followedSeries is the store's series of one of ours; none if Prometheus has no name
// for it.
type followedSeries struct {
	series  *store.Series
	counter bool
	value   float64
	// last is when a counter was read.
	last time.Time
}

// keptSeries are the store's series of one custom series: one, or several for a
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

func newToStore(p *Exporter) *toStore {
	o := p.options
	d := &toStore{
		machine: p.machine, store: o.Store, namer: newSeriesNamer(o.HostName), log: o.Log.With("destination", "store"),
		starts: newStarts(&o), turn: make(chan struct{}, 1), custom: newTimestamper(newStarts(&o), nil, o.Conventions, false), known: map[seriesID]*keptSeries{},
	}
	for _, c := range o.Collectors {
		d.collectors = append(d.collectors, &followed{name: c.Name(), follower: instruments.NewFollower(c, o.Conventions), moved: d.starts.moved})
	}
	for _, n := range legacyNameTable() {
		d.legacy = append(d.legacy, &legacySeries{legacyName: n, series: map[string]*keptLegacy{}})
	}
	return d
}

// collect keeps what is new among the newest readings. If the disk does not answer, it
// goes on after the context has ended, and the next collection waits for it.
func (d *toStore) collect(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("store: %w", context.Cause(ctx))
	}
	kept := make(chan error, 1)
	go func() {
		err := d.keep()
		<-d.turn
		kept <- err
	}()
	select {
	case err := <-kept:
		return err
	case <-ctx.Done():
		return fmt.Errorf("store: %w", context.Cause(ctx))
	}
}

// keep keeps what is new among the newest readings; the turn is taken.
func (d *toStore) keep() error {
	d.readings = d.readings[:0]
	d.starts.follow()
	for _, f := range d.collectors {
		reading, at := d.machine.Newest(f.name)
		if reading == nil || at.Equal(f.newest) {
			continue
		}
		f.newest = at
		d.follow(f, reading, at)
	}
	d.takeCustom()
	for i := range d.readings {
		for _, s := range d.legacy {
			if s.collector == d.readings[i].Collector {
				d.addLegacy(s, &d.readings[i])
			}
		}
	}
	if err := d.append(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// follow adds a reading of a collector.
func (d *toStore) follow(f *followed, reading instruments.Reading, at time.Time) {
	to := d.reading(f.name, at)
	moved := d.starts.moved - f.moved
	f.moved = d.starts.moved
	present, ended := f.follower.Follow(reading)
	for _, p := range present {
		s, known := p.Own.(*followedSeries)
		if !known {
			s = d.newSeries(f.name, p)
			p.Own = s
		}
		if s.series != nil {
			if p.Metric.Kind != instruments.Gauge {
				s.count(p.Value, at, d.starts.of(p.Metric.Start), moved)
			}
			to.add(s.series, p.Value)
		}
	}
	for _, p := range ended {
		if s := p.Own.(*followedSeries); s.series != nil {
			to.Ended = append(to.Ended, s.series)
		}
	}
}

// originKinds are the store's words for the kinds of instruments.
var originKinds = [...]store.OriginKind{
	instruments.Counter: store.OriginCounter, instruments.UpDownCounter: store.OriginSum, instruments.Gauge: store.OriginGauge,
}

// newSeries creates the store's series of a point.
func (d *toStore) newSeries(collector string, p *instruments.Point) *followedSeries {
	kind := originKinds[p.Metric.Kind]
	counter := p.Metric.Kind == instruments.Counter
	series, err := d.namer.series(metricSeries{name: p.Name, unit: p.Unit, counter: counter, kind: kind, collector: collector, attributes: p.Attributes})
	if err != nil {
		d.unnamed(p.Name, err)
		series = nil
	}
	return &followedSeries{series: series, counter: counter}
}

// count takes the value of a sum at a time; by moved, the clock was set. A counter that went back was reset: it
// counts since the reading before.
func (s *followedSeries) count(v float64, at, start time.Time, moved time.Duration) {
	switch {
	case s.last.IsZero():
		s.series.Start = start
	case s.counter && v < s.value:
		s.series.Start = s.last.Add(moved)
	case moved != 0:
		s.series.Start = s.series.Start.Add(moved)
	}
	s.value, s.last = v, at
}

// takeCustom adds the metrics that are not ours. They may change at any time and may be
// histograms.
func (d *toStore) takeCustom() {
	reading, at := d.machine.Newest("custom")
	if reading == nil || at.Equal(d.newest) {
		return
	}
	d.newest = at
	scopes, _ := customProducer{d.machine}.Produce(context.Background()) // It has no error.
	c := d.custom.apply(&metricdata.ResourceMetrics{ScopeMetrics: scopes})
	for i := range c {
		r := &c[i]
		s := customSeries{destination: d, to: d.reading(r.collector, r.at), counted: countedGauges(reading)}
		for _, m := range r.scope.Metrics {
			s.metric(&m)
		}
		for i := range r.ended {
			s.ended(&r.ended[i])
		}
	}
}

// overflow returns how many points of a collector were left out.
func (d *toStore) overflow(collector string) uint64 {
	for _, f := range d.collectors {
		if f.name == collector {
			return f.follower.Overflow()
		}
	}
	return 0
}

// unnamed logs, once for each series, that it is not kept.
func (d *toStore) unnamed(metric string, err error) {
	d.log.Warn("cannot store a series without a Prometheus name", "metric", metric, "err", err)
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

// customSeries turns custom metrics into samples.
type customSeries struct {
	destination *toStore
	to          *keptReading
	// counted are the gauges that are counters of the store.
	counted map[string]bool
}

func (s *customSeries) metric(m *metricdata.Metrics) {
	switch data := m.Data.(type) {
	case metricdata.Sum[float64]: // Those of custom metrics are counters.
		s.numbers(m, data.DataPoints, store.OriginCounter)
	case metricdata.Gauge[float64]:
		s.numbers(m, data.DataPoints, store.OriginGauge)
	case metricdata.Histogram[float64]:
		for i := range data.DataPoints {
			s.histogram(m, &data.DataPoints[i])
		}
	}
}

// numbers appends the points of a counter or a gauge.
func (s *customSeries) numbers(m *metricdata.Metrics, points []metricdata.DataPoint[float64], kind store.OriginKind) {
	known := s.destination.known
	counter := kind == store.OriginCounter || s.counted[m.Name]
	for i := range points {
		p := &points[i]
		id := seriesID{m.Name, p.Attributes.Equivalent()}
		kept := known[id]
		// A custom metric that changes its type is another series.
		if kept != nil && (kept.histogram != nil || kept.counter != counter) {
			kept = s.end(id, kept)
		}
		if kept == nil {
			series, err := s.destination.namer.series(metricSeries{
				name: m.Name, unit: m.Unit, counter: counter, verbatim: true, kind: kind, collector: s.to.Collector, attributes: p.Attributes,
			})
			if err != nil {
				s.destination.unnamed(m.Name, err)
			}
			kept = &keptSeries{series: series, counter: counter}
			known[id] = kept
		}
		if kept.series != nil {
			kept.series.Start = p.StartTime
			s.to.add(kept.series, p.Value)
		}
	}
}

// histogram appends the series of a histogram, which comes from a custom metric.
func (s *customSeries) histogram(m *metricdata.Metrics, p *metricdata.HistogramDataPoint[float64]) {
	id := seriesID{m.Name, p.Attributes.Equivalent()}
	kept := s.destination.known[id]
	// Other bounds are other series.
	if kept != nil && (kept.histogram == nil || !kept.histogram.fits(p)) {
		kept = s.end(id, kept)
	}
	if kept == nil {
		h, err := s.destination.namer.histogram(m.Name, s.to.Collector, p)
		if err != nil {
			s.destination.unnamed(m.Name, err)
		}
		kept = &keptSeries{histogram: h}
		s.destination.known[id] = kept
	}
	kept.histogram.add(s.to, p)
}

// ended takes the end of a series.
func (s *customSeries) ended(e *endedSeries) {
	id := seriesID{e.name, e.attributes.Equivalent()}
	if kept := s.destination.known[id]; kept != nil {
		s.end(id, kept)
	}
}

// end forgets a series; it returns what is known of it then.
func (s *customSeries) end(id seriesID, kept *keptSeries) *keptSeries {
	delete(s.destination.known, id)
	s.to.Ended = append(s.to.Ended, kept.all()...)
	return nil
}
