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

// Point is one point of a tier, for export.
type Point struct {
	// Collector is its collector.
	Collector string
	// Origin is the metric before it was renamed for Prometheus. Rollup is set if
	// the point is a minimum or maximum.
	Origin *Origin
	Rollup *Rollup
	// Start is when the counter started, the zero time if unknown.
	Start time.Time
	// Labels include the name.
	Labels labels.Labels
	Time   time.Time
	Value  float64
	// Ended is set for a staleness marker.
	Ended bool
}

// ReadingsOrigin is the origin of the store's own series.
func ReadingsOrigin() Origin {
	return Origin{Name: "sysotel.family.readings", Unit: "{reading}", Kind: OriginGauge}
}

// Written is signalled after buckets were written, and after the store was opened.
// It has one receiver.
func (s *Store) Written() <-chan struct{} { return s.wrote }

// written signals Written.
func (s *Store) written() {
	select {
	case s.wrote <- struct{}{}:
	default:
	}
}

// Found is the newest tick that earlier processes left, in the tiers or waiting, the
// zero time if there was none. It is known once Opened is closed.
func (s *Store) Found() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found == unknown {
		return time.Time{}
	}
	return time.UnixMilli(s.found)
}

// ClosedUntil is the end of the newest bucket that is final in a tier (its index in
// Tiers, from 1); false if unknown.
func (s *Store) ClosedUntil(tier int) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != open || s.upper[tier-1].written == unknown {
		return time.Time{}, false
	}
	return time.UnixMilli(s.upper[tier-1].written), true
}

// Points calls f with the points of a tier in (after, until], of all series with an
// origin. The points of a series come in order. The Point is reused.
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

// describe sets the metric of a series; false if it is not exported.
func (s *Store) describe(p *Point, l labels.Labels, starts *counterStarts) bool {
	name := l.Get(model.MetricNameLabel)
	*p = Point{Labels: l}
	if name == readingsName {
		starts.known = false
		origin := ReadingsOrigin()
		p.Origin, p.Collector = &origin, l.Get("family")
		return p.Collector != Rules // What rules make stays here, and so does its count.
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

// counterStarts has the start time of a counter for each of its points.
type counterStarts struct {
	known         bool
	start, before int64
	points        []point
}

// of returns the start for a point. After a reset that is the time of the previous
// point.
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
