package store

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// rebuild restores the state of the store from the databases: it folds the samples
// of the finest tier that belong to buckets not written yet. It runs while the
// state is opening and has exclusive access.
func (s *Store) rebuild() error {
	raw := s.tiers[0]
	newest, first := raw.newest.Load(), raw.first.Load()
	for i := range s.upper {
		if u := &s.upper[i]; u.newest.Load() != math.MinInt64 {
			u.written = u.newest.Load() - u.newest.Load()%u.interval
		}
	}
	stored := raw.Newest()
	if waits := s.newestOfOthers(); waits.After(stored) {
		stored = waits
	}
	s.clock.Floor(stored)
	if newest == math.MinInt64 {
		return nil
	}
	s.newest = newest
	// One bucket more than is open shows which series ended, and some time before
	// it the values of counters.
	start := newest
	for i := range s.upper {
		u := &s.upper[i]
		if u.written == unknown {
			u.written = BucketEnd(first, u.interval) - u.interval
		}
		start = min(start, u.written-u.interval)
	}
	start = max(first, start-RateGap.Milliseconds())
	s.rebuilding = true
	defer func() { s.rebuilding = false }()
	for start <= newest {
		if next := raw.next(start); next > start {
			// Nothing was written for a while.
			if err := s.closeBuckets(next - 1); err != nil {
				return fmt.Errorf("rebuild the open buckets: %w", err)
			}
			start = next
		}
		// A window ends with the next bucket that can be written, because a series
		// has only two open ones.
		end := newest
		for i := range s.upper {
			u := &s.upper[i]
			if next := u.written + u.interval; next <= newest-grace.Milliseconds() {
				end = min(end, next)
			}
		}
		if end >= start {
			if err := s.rebuildWindow(start, end); err != nil {
				return fmt.Errorf("rebuild the open buckets: %w", err)
			}
			start = end + 1
		}
		if err := s.closeBuckets(min(end+grace.Milliseconds(), newest)); err != nil {
			return fmt.Errorf("rebuild the open buckets: %w", err)
		}
		if end == newest {
			break
		}
	}
	s.restore(newest)
	return nil
}

// next returns the first time from t on at which a block or the head may have a sample.
func (t *Tier) next(from int64) int64 {
	db, err := t.acquire()
	if err != nil {
		return from
	}
	defer t.release()
	next := int64(math.MaxInt64)
	if head := db.Head(); head.NumSeries() > 0 && head.MaxTime() >= from {
		next = max(head.MinTime(), from)
	}
	for _, b := range db.Blocks() {
		if b.MaxTime() > from {
			next = min(next, max(b.MinTime(), from))
		}
	}
	if next == math.MaxInt64 {
		return from
	}
	return next
}

// rebuildWindow folds the samples of the finest tier from start to end.
func (s *Store) rebuildWindow(start, end int64) (err error) {
	q, err := s.tiers[0].Querier(start, end)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	all, err := labels.NewMatcher(labels.MatchNotEqual, model.MetricNameLabel, "")
	if err != nil {
		return err
	}
	var it chunkenc.Iterator
	set := q.Select(context.Background(), false, nil, all)
	for set.Next() {
		series := set.At()
		st := s.restoredState(series.Labels())
		if st == nil {
			continue
		}
		it = series.Iterator(it)
		for it.Next() == chunkenc.ValFloat {
			t, v := it.At()
			switch {
			case value.IsStaleNaN(v):
				if st.lastT != unknown && !st.ended {
					s.foldEnd(st, t)
					s.roomOf(st.collector, t).take()
				}
			case st.lastT == unknown || t > st.lastT:
				s.fold(st, t, v, noTaken)
			}
		}
		if err := it.Err(); err != nil {
			return err
		}
	}
	return set.Err()
}

// restoredState returns the state of a series found on disk; nil if its kind is
// unknown.
func (s *Store) restoredState(l labels.Labels) *seriesState {
	if st := s.lookup(l); st != nil {
		return st
	}
	name := l.Get(model.MetricNameLabel)
	m, ok := s.rollups.metric(name)
	if name == readingsName {
		m, ok = metric{Kind: readingCount, Collector: l.Get("family")}, true
	}
	if !ok {
		return nil
	}
	st := s.newState(l.Copy())
	st.kind, st.minName, st.maxName, st.brief, st.collector = m.Kind, m.Min, m.Max, m.Brief, m.Collector
	s.sizeUpper(st)
	s.activate(st)
	return st
}

// restore remembers which series were active, so that those which do not return get
// a staleness marker.
func (s *Store) restore(newest int64) {
	for _, st := range s.live {
		if !st.ended && st.kind != readingCount && st.lastT >= newest-RateGap.Milliseconds() {
			s.restored[st.collector] = append(s.restored[st.collector], st)
		}
	}
	s.removeEnded()
}
