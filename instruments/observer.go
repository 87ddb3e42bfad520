package instruments

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// maxKeys is the largest number of attributes a metric of ours has.
const maxKeys = 14

// maxSeries bounds the points of one collector in one reading: 256 cores by 8
// states by 2 metrics, twice over. What exceeds it is counted, not sent.
const maxSeries = 10_000

// readingTime is observed beside each collector's points. Push destinations stamp
// the points with it, because the SDK can only stamp with its own clock.
var readingTime = &Metric{
	Name: "sysotel.family.reading.time", Unit: "s", Kind: Gauge,
	Keys:   []Key{collectorKey},
	Help:   "Unix time of the newest reading of a collector.",
	Source: "the tick",
}

var collectorKey = Key{Name: "family", Help: "name of the collector, as in the configuration"}

// ReadingTimeName is the name of the helper point that carries a reading's time.
const ReadingTimeName = "sysotel.family.reading.time"

// Instruments are the OpenTelemetry instruments of one collector, and the cache of
// attribute sets that makes an observation free of allocations.
// Report calls of one Instruments must not overlap.
type Instruments struct {
	collector   string
	observables map[*Metric][]bound
	series      map[seriesKey][]observation
	all         []metric.Observable
	overflow    atomic.Uint64
	counted     time.Time // The reading whose overflow was counted last.
	observer    Observer
}

type bound struct {
	form
	instrument metric.Observable
}

type seriesKey struct {
	metric *Metric
	values [maxKeys]string
}

type observation struct {
	instrument metric.Observable
	options    []metric.ObserveOption
}

// NewInstruments creates the collector's instruments in the meter under the names
// of the conventions.
func NewInstruments(f Collector, meter metric.Meter, c Conventions) (*Instruments, error) {
	in := &Instruments{
		collector:   f.Name(),
		observables: map[*Metric][]bound{},
		series:      map[seriesKey][]observation{},
	}
	for _, m := range append([]*Metric{readingTime}, f.Metrics()...) {
		if len(m.Keys) > maxKeys {
			return nil, fmt.Errorf("metric %s has %d attributes, at most %d are possible", m.Name, len(m.Keys), maxKeys)
		}
		for _, form := range m.forms(c) {
			instrument, err := m.instrument(meter, form)
			if err != nil {
				return nil, fmt.Errorf("create instrument %s: %w", form.name, err)
			}
			in.observables[m] = append(in.observables[m], bound{form, instrument})
			in.all = append(in.all, instrument)
		}
	}
	return in, nil
}

// Observables lists the instruments for the registration of a callback.
func (in *Instruments) Observables() []metric.Observable { return in.all }

// Overflow counts the points that were left out because a collector passed its bound.
func (in *Instruments) Overflow() uint64 { return in.overflow.Load() }

// Report hands a reading and its time to the SDK.
func (in *Instruments) Report(o metric.Observer, r Reading, at time.Time) {
	ob := &in.observer
	*ob = Observer{in: in, sdk: o}
	ob.Float(readingTime, float64(at.UnixMilli())/1000, in.collector)
	r.Report(ob)
	if ob.left > 0 && !at.Equal(in.counted) { // Once per reading, however many readers there are.
		in.counted = at
		in.overflow.Add(uint64(ob.left))
	}
	// Sets of series that are gone are forgotten all at once: cheaper than
	// tracking each, and the next report makes those still in use again.
	if len(in.series) > 2*ob.points+64 {
		clear(in.series)
	}
	ob.sdk = nil
}

// Observer passes one reading's numbers to the SDK under the configured names.
type Observer struct {
	in           *Instruments
	sdk          metric.Observer
	points, left int
	// follower and visit, where set, receive the observations instead of the SDK.
	follower *Follower
	visit    func(m *Metric, value float64, values []string)
}

// Visit calls visit for each number of a reading, with the values of the
// metric's keys in their order. The values must not be kept.
func Visit(r Reading, visit func(m *Metric, value float64, values []string)) {
	r.Report(&Observer{visit: visit})
}

// Float reports a value with the values of the metric's keys. An unknown value
// (NaN or infinite) is not reported at all.
func (o *Observer) Float(m *Metric, value float64, values ...string) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	if o.follower != nil {
		o.follower.take(m, value, values)
		return
	}
	if o.visit != nil {
		// A clone, so that values need not live on the heap for the SDK's sake.
		o.visit(m, value, slices.Clone(values))
		return
	}
	for _, s := range o.find(m, values) {
		o.sdk.ObserveFloat64(s.instrument.(metric.Float64Observable), value, s.options...)
	}
}

// Int reports a whole number, as Float does.
func (o *Observer) Int(m *Metric, value int64, values ...string) {
	if o.follower != nil {
		o.follower.take(m, float64(value), values)
		return
	}
	if o.visit != nil {
		o.visit(m, float64(value), slices.Clone(values))
		return
	}
	for _, s := range o.find(m, values) {
		o.sdk.ObserveInt64(s.instrument.(metric.Int64Observable), value, s.options...)
	}
}

// Uint reports a count. One above 2^63-1 is no count but unknownCount or a number
// below 0 that was read as one without a sign: it is not reported.
func (o *Observer) Uint(m *Metric, value uint64, values ...string) {
	if value > math.MaxInt64 {
		return
	}
	o.Int(m, int64(value), values...)
}

func (o *Observer) find(m *Metric, values []string) []observation {
	if o.points >= maxSeries {
		o.left++
		return nil
	}
	o.points++
	key := seriesKey{metric: m}
	copy(key.values[:], values)
	found, ok := o.in.series[key]
	if !ok {
		found = o.in.bind(m, key.values[:len(m.Keys)])
		o.in.series[key] = found
	}
	return found
}

func (in *Instruments) bind(m *Metric, values []string) []observation {
	var made []observation
	for _, b := range in.observables[m] {
		set, ok := b.attributes(m.Keys, values)
		if !ok {
			continue
		}
		made = append(made, observation{b.instrument, []metric.ObserveOption{metric.WithAttributeSet(set)}})
	}
	return made
}

// Attributes returns the attribute set that a point of the metric carries under
// the conventions' first name; tests and the historical names use it.
func (m *Metric) Attributes(c Conventions, values ...string) attribute.Set {
	padded := make([]string, len(m.Keys))
	copy(padded, values)
	set, _ := m.forms(c)[0].attributes(m.Keys, padded)
	return set
}
