package instruments

import (
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
)

// Follower follows the series of one collector from reading to reading, without the
// SDK: a series is found by its place in the reading before, and only what is new or
// elsewhere is looked up. It gives the points that the SDK would collect from the
// same reading.
type Follower struct {
	forms map[*Metric][]form
	// known are the observations by what a reading reports, points by what they are:
	// observations that differ in what the conventions leave out are one point.
	known  map[seriesKey]*observed
	points map[pointKey]*Point
	// order are the observations of the reading before; both are used again.
	order, before  []*observed
	present, ended []*Point
	round          uint64
	// found is the number of known ones that the reading has, left that of observations
	// beyond the bound.
	found, left int
	overflow    atomic.Uint64
	observer    Observer
}

// Point is one series under one of the names of its metric, with its newest value. It
// is the same in each reading until the series ends.
type Point struct {
	Metric *Metric
	// Name and Unit are those of the conventions.
	Name, Unit string
	Attributes attribute.Set
	Value      float64
	// Own is the caller's.
	Own any

	round uint64
}

// observed is what a reading reports: a metric with its values.
type observed struct {
	seriesKey
	points []*Point
	round  uint64
}

type pointKey struct {
	name       string
	attributes attribute.Distinct
}

// NewFollower follows the series of a collector under the names of the conventions.
func NewFollower(c Collector, conventions Conventions) *Follower {
	f := &Follower{forms: map[*Metric][]form{}, known: map[seriesKey]*observed{}, points: map[pointKey]*Point{}}
	for _, m := range c.Metrics() {
		f.forms[m] = m.forms(conventions)
	}
	return f
}

// Follow returns the points of a reading, and those that ended since the one before.
// Both slices are valid until the next call.
func (f *Follower) Follow(r Reading) (present, ended []*Point) {
	f.round++
	f.order, f.before = f.before[:0], f.order
	f.present, f.ended = f.present[:0], f.ended[:0]
	f.found, f.left = 0, 0
	f.observer = Observer{follower: f}
	r.Report(&f.observer)
	f.overflow.Add(uint64(f.left))
	if len(f.present) < len(f.points) {
		for key, p := range f.points {
			if p.round != f.round {
				delete(f.points, key)
				f.ended = append(f.ended, p)
			}
		}
	}
	if f.found < len(f.known) {
		for key, o := range f.known {
			if o.round != f.round {
				delete(f.known, key)
			}
		}
		clear(f.before[:cap(f.before)])
	}
	return f.present, f.ended
}

// Overflow counts the observations that were left out because a collector passed its
// bound.
func (f *Follower) Overflow() uint64 { return f.overflow.Load() }

// take takes one observation of a reading.
func (f *Follower) take(m *Metric, value float64, values []string) {
	if len(f.order) >= maxSeries {
		f.left++
		return
	}
	o := f.find(m, values)
	f.order = append(f.order, o)
	if o.round != f.round {
		o.round = f.round
		f.found++
	}
	for _, p := range o.points {
		switch {
		case p.round != f.round:
			p.round, p.Value = f.round, value
			f.present = append(f.present, p)
		case m.Kind == Gauge:
			p.Value = value
		default: // As the SDK adds up sums of one series.
			p.Value += value
		}
	}
}

// find returns the observation of a metric with these values.
func (f *Follower) find(m *Metric, values []string) *observed {
	key := seriesKey{metric: m}
	copy(key.values[:], values)
	if place := len(f.order); place < len(f.before) && f.before[place].seriesKey == key {
		return f.before[place]
	}
	o := f.known[key]
	if o == nil {
		o = &observed{seriesKey: key}
		for _, form := range f.forms[m] {
			if set, ok := form.attributes(m.Keys, key.values[:len(m.Keys)]); ok {
				o.points = append(o.points, f.point(m, form, set))
			}
		}
		f.known[key] = o
	}
	return o
}

// point returns the point of a metric with these attributes.
func (f *Follower) point(m *Metric, in form, attributes attribute.Set) *Point {
	key := pointKey{in.name, attributes.Equivalent()}
	p := f.points[key]
	if p == nil {
		p = &Point{Metric: m, Name: in.name, Unit: in.unit, Attributes: attributes}
		f.points[key] = p
	}
	return p
}
