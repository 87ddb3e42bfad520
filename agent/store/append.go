package store

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"sysotel/agent/clock"
)

// ErrClosed is the error of an append after Close.
var ErrClosed = errors.New("the store is closed")

const (
	// minFree is the free space at which the store stops writing, with room for
	// what the library still writes by itself.
	minFree = 8 << 20
	// resumeFree is the free space at which it resumes.
	resumeFree = 16 << 20
)

// maxLateness is how much older than the newest a reading of another life may be that
// is not in the tiers.
const maxLateness = time.Minute

// readingsName is the store's own series: the number of readings of each collector
// in a bucket, by which averages of averages are weighted.
const readingsName = "sysotel_family_readings"

// Append adds one reading. It keeps only the series of r, so that its slices may be
// reused. A reading that cannot be written yet waits in memory; the only error is
// ErrClosed.
func (s *Store) Append(r Reading) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == shut {
		return ErrClosed
	}
	s.lookAtClock()
	if s.state != open || s.waiting.len() > 0 || !s.hasSpace() {
		s.wait(r)
		s.drain()
		return nil
	}
	s.enter(s.life)
	if err := s.ingest(r); err != nil {
		s.wait(r)
		s.fail(err)
	}
	return nil
}

// drainAtOnce is the number of waiting readings that are appended in one go: the next
// tick must not wait for long.
const drainAtOnce = 240

// drain appends waiting readings as far as possible, drainAtOnce at most. It returns
// false if there is nothing more to do now.
func (s *Store) drain() (more bool) {
	s.lookAtClock()
	if s.state != open || s.waiting.len() == 0 || !s.hasSpace() {
		return false
	}
	defer func() { s.draining = nil }()
	for range drainAtOnce {
		r, b := s.waiting.next(s.base)
		if r == nil {
			return false
		}
		s.enter(b.life)
		s.draining = b
		if err := s.ingest(*r); err != nil {
			s.fail(err)
			return false
		}
		if b.life != s.life {
			s.found = max(s.found, s.newest) // It was read before this start.
		}
		if !s.waiting.pop() {
			s.removeWaiting(0)
		}
	}
	return true
}

// enter makes the readings of a life follow those of another: series that do not come
// back are ended, as after a start.
func (s *Store) enter(next *life) {
	if s.entered == next {
		return
	}
	if s.entered != nil {
		s.restore(s.newest)
		clear(s.collectors)
	}
	s.entered = next
}

// hasSpace reports whether the disk has space, with hysteresis.
func (s *Store) hasSpace() bool {
	free, err := s.options.Free(s.options.Dir)
	if err != nil {
		return true // Writing will show it.
	}
	full := free < minFree || s.full && free < resumeFree
	if full != s.full {
		s.full = full
		if full {
			s.log.Error("disk full, readings wait in memory until there is space", "free_bytes", free)
		} else {
			s.log.Info("disk has space again, writing resumes", "free_bytes", free, "waiting", s.waiting.len())
		}
	}
	return !full
}

// fail reopens the tiers after a failed commit: memory and files of the library may
// differ then. Buckets are rebuilt as after a start.
func (s *Store) fail(err error) {
	s.log.Error("write to the store failed, reopening it", "err", err)
	s.reopen(err.Error(), time.Second)
}

// lookAtClock opens the tiers again if the clock was set so that what they hold has to
// move. Readings wait meanwhile.
func (s *Store) lookAtClock() {
	if s.clock.Latest() == s.step {
		return
	}
	s.placeWaiting()
	if s.state != open {
		return
	}
	steps := s.clock.Steps(s.step)
	s.step = s.clock.Latest()
	if slices.ContainsFunc(steps, func(c clock.Step) bool { return len(c.Moves) > 0 && !c.Floor }) {
		s.reopen("the clock was set and history is being moved", 0)
	}
}

// reopen closes the tiers and opens them again after a while.
func (s *Store) reopen(reason string, after time.Duration) {
	s.reset()
	s.reason = reason
	s.work.Go(func() {
		select {
		case <-s.closed:
			return
		case <-time.After(after):
		}
		for _, t := range s.tiers {
			if err := t.close(); err != nil {
				s.log.Warn("cannot close a tier cleanly", "err", err)
			}
		}
		s.openTiers()
	})
}

// tick returns the timestamp of a time in the finest tier.
func (s *Store) tick(t time.Time) int64 {
	ms := t.UnixMilli()
	return ms - ms%s.tiers[0].config.Resolution.Milliseconds()
}

// ingest appends a reading to the finest tier and adds it to the open buckets.
// After an error the store must be reopened.
func (s *Store) ingest(r Reading) error {
	t := s.tick(r.Time)
	if s.newest != unknown && t < s.newest-maxLateness.Milliseconds() && s.appended(t) && s.draining.life != s.life {
		return nil
	}
	for i := range s.upper {
		if u := &s.upper[i]; u.written == unknown {
			u.written = BucketEnd(t, u.interval) - u.interval
		}
	}
	if err := s.closeBuckets(t); err != nil {
		return err
	}
	w, err := s.tiers[0].writer()
	if err != nil {
		return err
	}
	for i := range r.Collectors {
		s.ingestCollector(w, t, &r.Collectors[i])
	}
	s.drop(DropRejected, w.refused)
	if err := w.commit(); err != nil {
		return err
	}
	s.newest = max(s.newest, t)
	if err := s.rollups.save(); err != nil && !s.unsaved {
		s.unsaved = true
		s.log.Warn("cannot save the table of roll-ups, retrying at the next reading", "err", err)
	} else if err == nil {
		s.unsaved = false
	}
	return nil
}

// appended reports whether a reading that waits may have been appended before the store
// was opened: the process was killed, or a write failed, before it was known.
func (s *Store) appended(t int64) bool { return s.draining != nil && t <= s.reopened }

// ingestCollector appends the reading of one collector.
func (s *Store) ingestCollector(w *writer, t int64, r *CollectorReading) {
	f := s.collectors[r.Collector]
	first := f == nil
	if first {
		f = &collector{last: unknown, readings: s.readingsSeries(r.Collector)}
		s.collectors[r.Collector] = f
		if st := s.lookup(f.readings.Labels); st != nil {
			f.last = st.lastT
		}
	}
	if t <= f.last {
		if !s.appended(t) {
			s.drop(DropLate, uint64(len(r.Samples)))
		}
		return
	}
	f.last = t
	taken := noTaken
	// The first reading after a start is made at once and the next on the tick. A
	// rate over that fraction of a tick would be an extreme that the finest tier
	// does not show.
	if !first && !r.Taken.IsZero() {
		taken = r.Taken.Sub(s.base)
	}
	for i := range r.Samples {
		s.ingestSample(w, t, taken, r.Samples[i].Series, r.Samples[i].Value, r.Collector)
	}
	for _, series := range r.Ended {
		if st := s.lookup(series.Labels); st != nil && st.lastT < t {
			s.end(w, st, t)
		}
	}
	s.ingestSample(w, t, taken, &f.readings, 1, r.Collector)
	if missing, ok := s.restored[r.Collector]; ok {
		delete(s.restored, r.Collector)
		for _, st := range missing {
			if st.lastT < t && !st.ended {
				s.end(w, st, t)
			}
		}
	}
}

// ingestSample appends one sample. NaN means unknown and leaves a gap.
func (s *Store) ingestSample(w *writer, t int64, taken time.Duration, series *Series, v float64, collector string) {
	if math.IsNaN(v) {
		return
	}
	st := s.stateOf(series, collector, t)
	if st == nil {
		s.drop(DropNewSeries, 1)
		return
	}
	if st.lastT != unknown && st.lastT >= t {
		s.drop(DropRejected, 1)
		return
	}
	refused := w.refused
	st.ref = w.append(st.ref, st.labels, t, v)
	if w.refused > refused {
		return
	}
	s.samples++
	if start := series.Start; !start.IsZero() && start.UnixMilli() != st.start {
		st.start, st.before = start.UnixMilli(), st.start
	}
	s.fold(st, t, v, taken)
	s.activate(st)
}

// end writes the staleness marker of a series at a tick.
func (s *Store) end(w *writer, st *seriesState, t int64) {
	st.ref = w.append(st.ref, st.labels, t, math.Float64frombits(value.StaleNaN))
	s.foldEnd(st, t)
	s.activate(st)
	s.roomOf(st.collector, t).take()
}

// readingsSeries returns the store's own series of a collector.
func (s *Store) readingsSeries(collector string) Series {
	return Series{
		Labels: labels.NewBuilder(s.options.Labels).Set(model.MetricNameLabel, readingsName).Set("family", collector).Labels(),
		Kind:   readingCount,
	}
}
