package store

import (
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// bucket is what a series told in (end−I, end], stamped end.
type bucket struct {
	end   int64
	count int32
	// ended is set where the series ended after what the bucket holds.
	ended bool
	// rates counts the differences of a counter that least and greatest are of.
	rates    int32
	sum      float64 // of a gauge
	last     float64 // of a counter
	min, max float64
	// turns are the points around the resets of a counter, at their true times.
	resets []point
}

type point struct {
	t int64
	v float64
}

// grace is how long after its end a bucket waits for late readings.
const grace = 2 * time.Second

// rateGap is the longest time over which a difference of a counter is taken for
// a rate; over more it says nothing of an extreme.
const RateGap = 5 * time.Minute

// bucketEnd is the stamp of the bucket that holds t: buckets are open below.
func BucketEnd(t, interval int64) int64 {
	end := t - t%interval
	if end < t {
		end += interval
	}
	return end
}

// at returns the bucket that ends at end. A bucket of the same place that was
// written is made anew.
func (u *upperState) at(end, interval int64) *bucket {
	b := &u.open[(end/interval)&1]
	if b.end != end {
		*b = bucket{end: end, resets: b.resets[:0]}
	}
	return b
}

// fold adds a sample to the open buckets of a series. A bucket that is written
// already is left as it is; those samples are counted as dropped, once a tier.
func (s *Store) fold(st *seriesState, t int64, v float64, taken time.Duration) {
	rate, hasRate := st.rate(t, v, taken)
	first := st.lastT == unknown
	reset := !first && v < st.lastV
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
			// The first value of all is a turn like a reset: what was before it
			// is not known, and what comes after must count from it.
			if reset && st.lastT > end-tier.interval {
				b.addReset(st.lastT, st.lastV)
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
	st.lastT, st.lastV, st.lastTaken, st.ended = t, v, taken, false
}

// foldEnd notes in the open buckets that a series ended at a tick. The tiers show
// it in the first bucket that then has nothing of the series.
func (s *Store) foldEnd(st *seriesState, t int64) {
	st.ended = true
	for i := range st.upper {
		u, tier := &st.upper[i], &s.upper[i]
		end := BucketEnd(t, tier.interval)
		if end > tier.written {
			u.at(end, tier.interval).ended = true
			continue
		}
		// The bucket is written, as in a rebuild: the marker is too, unless it
		// falls into a later bucket.
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

// turn remembers a point around a reset; two resets in a row share one.
func (b *bucket) addReset(t int64, v float64) {
	if n := len(b.resets); n == 0 || b.resets[n-1].t < t {
		b.resets = append(b.resets, point{t, v})
	}
}

// rate is the difference per second between the last sample and this one, by
// the time that really passed; false after a reset, after an end, or where
// nothing came before.
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

// upperTier is the open end of an upper tier.
type upperTier struct {
	*Tier
	interval int64
	// written is the stamp of the newest bucket that was written, or that
	// nothing may be written to any more.
	written int64
}

// closeBuckets writes the buckets that ended at least the grace time before now.
func (s *Store) closeBuckets(now int64) error {
	for i := range s.upper {
		u := &s.upper[i]
		last := now - grace.Milliseconds()
		last -= last % u.interval
		if u.written == unknown || last <= u.written {
			continue
		}
		// Two buckets can be open and a marker may follow them; what lies between
		// that and the present is empty.
		for n, end := 0, u.written+u.interval; end <= last && n < 3; n, end = n+1, end+u.interval {
			if err := s.writeBucket(i, end); err != nil {
				return err
			}
		}
		u.written = last
		s.written()
	}
	s.removeEnded()
	return nil
}

// writeBucket writes one bucket of all series into its tier, in one commit, so
// that a crash leaves all of it or nothing.
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

// writeStale marks the end of a series, so that no question sees it longer.
func (st *seriesState) writeStale(w *writer, us *upperState, end int64) {
	stale := math.Float64frombits(value.StaleNaN)
	minLabels, maxLabels := st.extremes()
	for i, l := range []labels.Labels{st.labels, minLabels, maxLabels} {
		if (i == 0 || us.extremes) && !l.IsEmpty() {
			us.refs[i] = w.append(us.refs[i], l, end, stale)
		}
	}
}

// round keeps 21 bits of the mantissa, which is better than one in a million: an
// average or a rate has no more true digits than its parts, and the rest does
// not compress. Values that were measured are never rounded.
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
