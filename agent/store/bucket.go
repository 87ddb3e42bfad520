package store

import (
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// bucket has the samples of a series in (end−I, end]; end is its timestamp.
type bucket struct {
	end   int64
	count int32
	// ended is set if the series ended after the bucket's samples.
	ended bool
	// rates is the number of rates that min and max of a counter are of.
	rates    int32
	sum      float64 // of a gauge
	last     float64 // of a counter
	min, max float64
	// resets are the samples around the resets of a counter, at their true times, and the
	// first of one that comes back, after a staleness marker.
	resets []point
}

type point struct {
	t int64
	v float64
}

// grace is how long after its end a bucket accepts late readings.
const grace = 2 * time.Second

// RateGap is the longest time between two samples of a counter that gives a rate;
// over more it says nothing about extremes.
const RateGap = 5 * time.Minute

// BucketEnd returns the timestamp of the bucket that contains t.
func BucketEnd(t, interval int64) int64 {
	end := t - t%interval
	if end < t {
		end += interval
	}
	return end
}

// at returns the bucket that ends at end, reusing the place of an old one.
func (u *upperState) at(end, interval int64) *bucket {
	b := &u.open[(end/interval)&1]
	if b.end != end {
		*b = bucket{end: end, resets: b.resets[:0]}
	}
	return b
}

// fold adds a sample to the open buckets of a series. If a bucket was already
// written, the sample is counted as dropped, once a tier.
func (s *Store) fold(st *seriesState, t int64, v float64, taken time.Duration) {
	rate, hasRate := st.rate(t, v, taken)
	first := st.lastT == unknown
	reset := !first && v < st.lastV
	back := st.returns(t)
	for i := range st.upper {
		tier := &s.upper[i]
		end := BucketEnd(t, tier.interval)
		if end <= tier.written {
			if s.rebuilding {
				st.upper[i].shown, st.upper[i].extremes, st.upper[i].ended = true, st.kind != readingCount, false
			} else if st.kind != readingCount {
				s.drop(DropLateRollup, 1)
			}
			continue
		}
		b := st.upper[i].at(end, tier.interval)
		b.count++
		b.ended = false
		switch st.kind {
		case Counter:
			b.last = v
			// The first value is like a reset: what came before is unknown, and
			// what follows must count from it.
			if reset && st.lastT > end-tier.interval {
				b.addReset(st.lastT, st.lastV)
			}
			if back && st.lastT <= end-tier.interval {
				// Nothing is known of the time before; without the marker it would
				// look as if the counter had counted evenly since the bucket before.
				b.addReset(t-1, math.Float64frombits(value.StaleNaN))
				b.addReset(t, v)
			}
			if reset || first {
				b.addReset(t, v)
			}
			if hasRate {
				b.extreme(rate, b.rates == 0)
				b.rates++
			}
		default:
			b.sum += v
			b.extreme(v, b.count == 1)
		}
	}
	if !first && !back {
		st.apart = t - st.lastT
	}
	st.lastT, st.lastV, st.lastTaken, st.ended = t, v, taken, false
}

// returns reports whether a series comes back at a time: it ended, or more than one of
// its samples is missing.
func (st *seriesState) returns(t int64) bool {
	return st.lastT != unknown && (st.ended || st.apart > 0 && t-st.lastT > st.apart*5/2)
}

// foldEnd marks in the open buckets that a series ended at a tick. The tiers show
// it in the first bucket without a sample of the series.
func (s *Store) foldEnd(st *seriesState, t int64) {
	st.ended = true
	for i := range st.upper {
		u, tier := &st.upper[i], &s.upper[i]
		end := BucketEnd(t, tier.interval)
		if end > tier.written {
			u.at(end, tier.interval).ended = true
			continue
		}
		// The bucket was written, as in a rebuild, and so was the marker, unless it
		// belongs to a later bucket.
		if last := BucketEnd(st.lastT, tier.interval); last < end || end < tier.written {
			u.shown, u.extremes = false, false
		}
		u.ended = true
	}
}

func (b *bucket) extreme(v float64, first bool) {
	if first || v < b.min {
		b.min = v
	}
	if first || v > b.max {
		b.max = v
	}
}

// addReset adds a point around a reset; two consecutive resets share one.
func (b *bucket) addReset(t int64, v float64) {
	if n := len(b.resets); n == 0 || b.resets[n-1].t < t {
		b.resets = append(b.resets, point{t, v})
	}
}

// rate returns the rate per second since the last sample, by the time between the
// reads; false after a reset, an end or a gap.
func (st *seriesState) rate(t int64, v float64, taken time.Duration) (float64, bool) {
	if st.kind != Counter || st.lastT == unknown || st.ended || v < st.lastV || t-st.lastT > RateGap.Milliseconds() {
		return 0, false
	}
	passed := time.Duration(t-st.lastT) * time.Millisecond
	if taken != noTaken && st.lastTaken != noTaken {
		passed = taken - st.lastTaken
	}
	if passed <= 0 {
		return 0, false
	}
	return (v - st.lastV) / passed.Seconds(), true
}

// upperTier is a coarser tier with its open end.
type upperTier struct {
	*Tier
	interval int64
	// written is the timestamp of the newest bucket that was written or skipped.
	written int64
}

// closeBuckets writes the buckets that ended at least the grace time before now.
func (s *Store) closeBuckets(now int64) error {
	closed := false
	for i := range s.upper {
		u := &s.upper[i]
		last := now - grace.Milliseconds()
		last -= last % u.interval
		if u.written == unknown || last <= u.written {
			continue
		}
		// At most two buckets are open and a marker may follow them; after that all
		// are empty until the present.
		for n, end := 0, u.written+u.interval; end <= last && n < 3; n, end = n+1, end+u.interval {
			if err := s.writeBucket(i, end); err != nil {
				return err
			}
		}
		u.written, closed = last, true
		s.written()
	}
	if closed {
		s.removeEnded()
	}
	return nil
}

// writeBucket writes one bucket of all series to its tier, in one commit, so that a
// crash leaves all of it or nothing.
func (s *Store) writeBucket(i int, end int64) error {
	u := &s.upper[i]
	w, err := u.writer()
	if err != nil {
		return err
	}
	for _, st := range s.live {
		if i >= len(st.upper) {
			continue
		}
		us := &st.upper[i]
		b := &us.open[(end/u.interval)&1]
		switch {
		case b.end == end && b.count > 0:
			st.write(w, us, b)
			us.shown, us.ended = true, b.ended
		case us.shown && (us.ended || b.end == end && b.ended):
			st.writeStale(w, us, end)
			us.shown, us.extremes, us.ended = false, false, false
		}
		if b.end == end {
			*b = bucket{resets: b.resets[:0]}
			if cap(b.resets) > 64 {
				b.resets = nil
			}
		}
	}
	s.drop(DropRejected, w.refused)
	if err := w.commit(); err != nil {
		return err
	}
	u.written = end
	return nil
}

// write appends the roll-up of a bucket.
func (st *seriesState) write(w *writer, us *upperState, b *bucket) {
	switch st.kind {
	case readingCount:
		us.refs[0] = w.append(us.refs[0], st.labels, b.end, b.sum)
		return
	case Counter:
		for _, p := range b.resets {
			if p.t < b.end {
				us.refs[0] = w.append(us.refs[0], st.labels, p.t, p.v)
			}
		}
		us.refs[0] = w.append(us.refs[0], st.labels, b.end, b.last)
		if b.rates == 0 {
			return
		}
		b.min, b.max = round(b.min), round(b.max)
	default:
		average := b.min
		if b.min != b.max {
			average = min(max(round(b.sum/float64(b.count)), b.min), b.max)
		}
		us.refs[0] = w.append(us.refs[0], st.labels, b.end, average)
	}
	minLabels, maxLabels := st.extremes()
	us.extremes = true
	if !minLabels.IsEmpty() {
		us.refs[1] = w.append(us.refs[1], minLabels, b.end, b.min)
	}
	if !maxLabels.IsEmpty() {
		us.refs[2] = w.append(us.refs[2], maxLabels, b.end, b.max)
	}
}

// writeStale writes the staleness markers of a series.
func (st *seriesState) writeStale(w *writer, us *upperState, end int64) {
	stale := math.Float64frombits(value.StaleNaN)
	minLabels, maxLabels := st.extremes()
	for i, l := range []labels.Labels{st.labels, minLabels, maxLabels} {
		if (i == 0 || us.extremes) && !l.IsEmpty() {
			us.refs[i] = w.append(us.refs[i], l, end, stale)
		}
	}
}

// round keeps 21 bits of the mantissa, better than one in a million: averages and
// rates have no more significant digits than their inputs, and the rest does not
// compress. Measured values are never rounded.
func round(v float64) float64 {
	const dropped = 52 - 21
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return v
	}
	bits := math.Float64bits(v) + 1<<(dropped-1)
	rounded := math.Float64frombits(bits &^ (1<<dropped - 1))
	if math.IsInf(rounded, 0) {
		return v
	}
	return rounded
}
