package store

import (
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// seriesState is the state of a series: its references in the databases, its last
// sample and its open buckets. Store.mu protects it.
type seriesState struct {
	labels labels.Labels
	kind   Kind
	// minLabels and maxLabels are the labels of the roll-ups; empty until the first
	// bucket is written, or if there are none.
	minLabels, maxLabels labels.Labels
	minName, maxName     string
	brief                bool
	collector            string
	// epoch is the store's epoch when the state was made; states of an older one,
	// or of another store, are invalid.
	epoch *epoch
	// next is the next state with the same hash of labels.
	next *seriesState

	ref storage.SeriesRef

	// lastT is the tick of the last sample in milliseconds, lastV its value;
	// unknown before the first.
	lastT int64
	lastV float64
	// apart is the time between the samples, 0 if unknown.
	apart int64
	// lastTaken is when it was read by the monotonic clock, since the store's base;
	// noTaken if unknown.
	lastTaken time.Duration
	// start is when the counter started, before the same until its last reset, in
	// Unix milliseconds; 0 if unknown.
	start, before int64
	// ended is set when the series ended at lastT, until it comes back.
	ended bool
	// live is set while the series is in Store.live.
	live bool

	upper []upperState
}

const (
	unknown = math.MinInt64
	noTaken = time.Duration(math.MinInt64)
)

// upperState is a series in one of the upper tiers.
type upperState struct {
	refs [3]storage.SeriesRef
	// shown is set while the newest point in the tier is not a staleness marker.
	shown bool
	// extremes is set if minimum and maximum are shown too.
	extremes bool
	// ended is set if the series ended in the newest bucket it is shown in.
	ended bool
	// open are two buckets, because one stays open for the grace time after the
	// next has begun. The index is the parity of the bucket's number.
	open [2]bucket
}

// readingCount is the kind of the store's own series: its roll-up is the sum.
const readingCount Kind = 255

// stateOf returns the state of a series at a tick, and creates it for a new one; nil
// if the collector has no room for that.
func (s *Store) stateOf(series *Series, collector string, t int64) *seriesState {
	if st := series.state; st != nil && st.epoch == s.epoch {
		return st
	}
	st := s.lookup(series.Labels)
	if st == nil {
		if !s.hasRoom(collector, t) {
			return nil
		}
		st = s.newState(series.Labels)
	}
	// The caller's labels replace those of the database, so that only one copy is
	// kept.
	st.labels, st.kind, st.brief, st.collector = series.Labels, series.Kind, series.Brief, collector
	st.minName, st.maxName = series.MinName, series.MaxName
	st.minLabels, st.maxLabels = labels.EmptyLabels(), labels.EmptyLabels()
	s.sizeUpper(st)
	series.state = st
	s.register(series, collector)
	return st
}

// register adds the metric of a series to the table of roll-ups.
func (s *Store) register(series *Series, collector string) {
	if series.Kind != readingCount {
		s.rollups.register(series.Labels.Get(model.MetricNameLabel), metric{
			Kind: series.Kind, Min: series.MinName, Max: series.MaxName, Brief: series.Brief, Collector: collector, Origin: series.Origin,
		})
	}
}

// lookup finds the state for labels, nil if there is none.
func (s *Store) lookup(l labels.Labels) *seriesState {
	for st := s.byHash[l.Hash()]; st != nil; st = st.next {
		if labels.Equal(st.labels, l) {
			return st
		}
	}
	return nil
}

// newState creates an empty state.
func (s *Store) newState(l labels.Labels) *seriesState {
	h := l.Hash()
	st := &seriesState{labels: l, epoch: s.epoch, lastT: unknown, lastTaken: noTaken, next: s.byHash[h]}
	s.byHash[h] = st
	return st
}

// sizeUpper sets the number of upper tiers: brief series are in the two finest
// tiers only.
func (s *Store) sizeUpper(st *seriesState) {
	n := len(s.tiers) - 1
	if st.brief {
		n = min(n, 1)
	}
	for len(st.upper) < n {
		st.upper = append(st.upper, upperState{})
	}
	st.upper = st.upper[:n]
}

// activate adds a state to those that buckets are written for.
func (s *Store) activate(st *seriesState) {
	if !st.live {
		st.live = true
		s.live = append(s.live, st)
	}
}

// removeEnded removes ended series whose buckets are all written.
func (s *Store) removeEnded() {
	kept := s.live[:0]
	for _, st := range s.live {
		if st.ended && st.finished() {
			s.forget(st)
			continue
		}
		kept = append(kept, st)
	}
	clear(s.live[len(kept):])
	s.live = kept
}

// finished reports whether nothing is left to write of an ended series.
func (st *seriesState) finished() bool {
	for i := range st.upper {
		u := &st.upper[i]
		if u.shown || u.open[0].count > 0 || u.open[1].count > 0 {
			return false
		}
	}
	return true
}

// forget removes a state. If the series comes back it gets a new one.
func (s *Store) forget(st *seriesState) {
	st.live, st.epoch = false, nil
	h := st.labels.Hash()
	if s.byHash[h] == st {
		if st.next == nil {
			delete(s.byHash, h)
		} else {
			s.byHash[h] = st.next
		}
		return
	}
	for p := s.byHash[h]; p != nil; p = p.next {
		if p.next == st {
			p.next = st.next
			return
		}
	}
}

// extremes returns the labels of the minimum and the maximum.
func (st *seriesState) extremes() (minLabels, maxLabels labels.Labels) {
	if st.minLabels.IsEmpty() && st.minName != "" {
		st.minLabels = rename(st.labels, st.minName)
	}
	if st.maxLabels.IsEmpty() && st.maxName != "" {
		st.maxLabels = rename(st.labels, st.maxName)
	}
	return st.minLabels, st.maxLabels
}

func rename(l labels.Labels, name string) labels.Labels {
	return labels.NewBuilder(l).Set(model.MetricNameLabel, name).Labels()
}
