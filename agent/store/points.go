package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Point is one point of a tier for those who send it on.
type Point struct {
	// Collector is who told it.
	Collector string
	// Origin is what its series comes from; Rollup, where it is not nil, which
	// extreme of that it is.
	Origin *Origin
	Rollup *Rollup
	// Start is since when a counter counts, the zero time where that is not known.
	Start time.Time
	// Labels are those of the series, with its name.
	Labels labels.Labels
	Time   time.Time
	Value  float64
	// Ended is set where the series has no value any more.
	Ended bool
}

// ReadingsOrigin is what the store's own series is called, that counts readings.
func ReadingsOrigin() Origin {
	return Origin{Name: "sysotel.family.readings", Unit: "{reading}", Kind: OriginGauge}
}

// Written is signalled after buckets were written, and after the store was opened.
// It is for one who listens.
func (s *Store) Written() <-chan struct{} { return s.wrote }

// written tells who listens.
func (s *Store) written() {
	select {
	case s.wrote <- struct{}{}:
	default:
	}
}

// Found is the newest tick that the store held when it was opened for the first
// time, the zero time for none. It is known when Opened is closed.
func (s *Store) Found() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found == unknown {
		return time.Time{}
	}
	return time.UnixMilli(s.found)
}

// ClosedUntil is the end of the newest bucket of a tier (its place among Tiers,
// from 1) that is written or will have nothing in it; false where that is not
// known.
func (s *Store) ClosedUntil(tier int) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != open || s.upper[tier-1].written == unknown {
		return time.Time{}, false
	}
	return time.UnixMilli(s.upper[tier-1].written), true
}

// Points calls f with the points of a tier after a time, until another, of all
// series that have an origin. The points of a series come in order. What f is
// given is used again.
func (s *Store) Points(ctx context.Context, tier int, after, until time.Time, f func(*Point)) (err error) {
	q, err := s.tiers[tier].Querier(after.UnixMilli()+1, until.UnixMilli())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	set := q.Select(ctx, false, nil, labels.MustNewMatcher(labels.MatchNotEqual, model.MetricNameLabel, ""))
	var it chunkenc.Iterator
	var p Point
	var starts counterStarts
	for set.Next() {
		series := set.At()
		if !s.describe(&p, series.Labels(), &starts) {
			continue
		}
		it = series.Iterator(it)
		starts.points = starts.points[:0]
		for it.Next() == chunkenc.ValFloat {
			t, v := it.At()
			starts.points = append(starts.points, point{t, v})
		}
		if err := it.Err(); err != nil {
			return err
		}
		for i, one := range starts.points {
			p.Time, p.Value, p.Ended = time.UnixMilli(one.t), one.v, value.IsStaleNaN(one.v)
			p.Start = time.Time{}
			if starts.known && !p.Ended {
				p.Start = starts.of(i)
			}
			f(&p)
		}
	}
	return set.Err()
}

// describe tells what a series is; false where nobody sends it on.
func (s *Store) describe(p *Point, l labels.Labels, starts *counterStarts) bool {
	name := l.Get(model.MetricNameLabel)
	*p = Point{Labels: l}
	if name == readingsName {
		starts.known = false
		origin := ReadingsOrigin()
		p.Origin, p.Collector = &origin, l.Get("family")
		return true
	}
	raw := name
	if rollup, ok := s.rollups.Lookup(name); ok {
		p.Rollup, raw = &rollup, rollup.Raw
	}
	m, ok := s.rollups.metric(raw)
	if !ok || m.Origin == nil {
		return false
	}
	p.Origin, p.Collector = m.Origin, m.Collector
	starts.start, starts.before, starts.known = 0, 0, m.Origin.Kind == OriginCounter && p.Rollup == nil
	if starts.known {
		s.mu.Lock()
		if st := s.lookup(l); st != nil {
			starts.start, starts.before = st.start, st.before
		}
		s.mu.Unlock()
	}
	return true
}

// counterStarts tells since when a counter counts at each of its points.
type counterStarts struct {
	known         bool
	start, before int64
	points        []point
}

// of is the start at a point. After a reset between two points that is the time of
// the one before.
func (c *counterStarts) of(i int) time.Time {
	for j := i; j > 0; j-- {
		if c.points[j].v < c.points[j-1].v {
			return time.UnixMilli(c.points[j-1].t)
		}
	}
	for _, start := range slices.Compact([]int64{c.start, c.before}) {
		if start != 0 && start < c.points[i].t {
			return time.UnixMilli(start)
		}
	}
	return time.Time{}
}
