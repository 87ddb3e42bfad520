package query

import (
	"math"
	"sort"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Over a range avg_over_time is the mean of what buckets keep, weighted by their readings,
// and rate, increase and delta are the difference between two values of a counter
// or a gauge. The engine would take those of the points within the range, which for a
// coarser tier can be far from its ends; and it would copy all points of the range at each
// step. So what is read is a series that at each moment has the answer for the range that
// ends then.

// computedSet has such series.
type computedSet struct {
	storage.SeriesSet
	// limits are how far apart two points can be with nothing missing between them.
	limits   gapLimits
	function string
	width    int64
	// seconds is set for the finest tier, which has the samples of Prometheus.
	seconds bool
	// room is about the number of points of a series.
	room int
}

// At implements storage.SeriesSet.
func (s *computedSet) At() storage.Series {
	series := s.SeriesSet.At()
	return &storage.SeriesEntry{
		Lset: series.Labels(),
		SampleIteratorFn: func(reuse chunkenc.Iterator) chunkenc.Iterator {
			c, ok := reuse.(*computedIterator)
			if !ok {
				c = &computedIterator{points: make([]computedPoint, 0, s.room)}
			}
			*c = computedIterator{Iterator: series.Iterator(c.Iterator), by: s, points: c.points[:0]}
			c.load(series.Labels())
			return c
		},
	}
}

// computedIterator has a sample at each millisecond, or a staleness marker where there is
// no answer.
type computedIterator struct {
	chunkenc.Iterator
	by     *computedSet
	points []computedPoint
	t      int64
	// first and after are the points of the newest answer.
	first, after int
}

// computedPoint is a point of a tier.
type computedPoint struct {
	t int64
	v float64
	// lost is what a counter lost at its resets until then, readings the number of those of
	// a mean.
	lost, readings float64
	// begins is set if it is not known what was before it.
	begins bool
}

// load reads the points; after an error there are none.
func (c *computedIterator) load(l labels.Labels) {
	if c.by.function == "avg_over_time" {
		c.loadMeans(l.Get(hostLabel))
	} else {
		c.loadValues()
	}
	if c.Err() != nil {
		c.points = c.points[:0]
	}
	if len(c.points) > 0 {
		c.t = c.points[0].t - 2*c.by.limits.bucket() // Nothing has an answer there.
	}
}

// loadValues reads the points of a counter or a gauge.
func (c *computedIterator) loadValues() {
	counter := c.by.function != "delta"
	last, lost, begins := math.Inf(-1), 0.0, true
	for c.Iterator.Next() == chunkenc.ValFloat { // A histogram has no difference here.
		t, v := c.Iterator.At()
		if math.IsNaN(v) {
			begins = begins || value.IsStaleNaN(v)
			continue
		}
		if n := len(c.points); n > 0 && !begins && !c.by.seconds {
			before := c.points[n-1].t
			begins = t-before > c.by.limits.of(before)
		}
		if v < last && counter {
			lost += last
		}
		c.points = append(c.points, computedPoint{t: t, v: v, lost: lost, begins: begins})
		last, begins = v, false
	}
}

// between is the value at a time from the point before one on.
func (c *computedIterator) between(i int, t int64) float64 {
	p, q := c.points[i-1], c.points[i]
	from, to := p.v+p.lost, q.v+q.lost
	return from + (to-from)*(float64(t-p.t)/float64(q.t-p.t))
}

// answer is that for the range up to a time; false if there is none. Where a series begins
// in a range, ends or is missing, only what is known to have been counted in it counts.
func (c *computedIterator) answer(t int64) (float64, bool) {
	n := len(c.points)
	from := t - c.by.width
	first, after := c.find(from, t)
	if c.by.function == "avg_over_time" {
		return c.mean(first, after, from, t)
	}
	if first == n || after == 0 {
		return 0, false
	}
	if c.by.seconds {
		return c.extrapolated(first, after, from, t)
	}
	start, end := c.points[first], c.points[after-1]
	if first > 0 && !start.begins {
		start = computedPoint{t: from, v: c.between(first, from)}
	}
	if end.t < t && after < n && !c.points[after].begins {
		end = computedPoint{t: t, v: c.between(after, t)}
	}
	if start.t >= end.t {
		return 0, false
	}
	v := end.v + end.lost - start.v - start.lost
	if c.by.function == "rate" {
		v /= float64(c.by.width) / 1000
	}
	return v, true
}

// find returns the first point after one time and the first after another. Times only
// grow.
func (c *computedIterator) find(from, to int64) (first, after int) {
	c.first = c.next(c.first, from)
	c.after = c.next(max(c.after, c.first), to)
	return c.first, c.after
}

// next is the first point after a time, from one on that is not behind it: mostly one of
// the next few.
func (c *computedIterator) next(i int, t int64) int {
	for range 4 {
		if i == len(c.points) || c.points[i].t > t {
			return i
		}
		i++
	}
	return i + sort.Search(len(c.points)-i, func(k int) bool { return c.points[i+k].t > t })
}

// extrapolated is what Prometheus says of the samples from first to before after, in the
// range (from, to]: extrapolatedRate in promql/functions.go.
func (c *computedIterator) extrapolated(first, after int, from, to int64) (float64, bool) {
	if after-first < 2 {
		return 0, false
	}
	start, end := c.points[first], c.points[after-1]
	v := end.v - start.v + (end.lost - start.lost)
	sampled := float64(end.t-start.t) / 1000
	apart := sampled / float64(after-first-1)
	before, behind := float64(start.t-from)/1000, float64(to-end.t)/1000
	if before >= 1.1*apart {
		before = apart / 2
	}
	if v > 0 && start.v >= 0 && c.by.function != "delta" { // A counter is never below zero.
		before = min(before, sampled*(start.v/v))
	}
	if behind >= 1.1*apart {
		behind = apart / 2
	}
	factor := (sampled + before + behind) / sampled
	if c.by.function == "rate" {
		factor /= float64(c.by.width) / 1000
	}
	return v * factor, true
}

// Next implements chunkenc.Iterator.
func (c *computedIterator) Next() chunkenc.ValueType { return c.Seek(c.t + 1) }

// Seek implements chunkenc.Iterator.
func (c *computedIterator) Seek(t milliseconds) chunkenc.ValueType {
	if len(c.points) == 0 {
		return chunkenc.ValNone
	}
	c.t = max(c.t, t)
	return chunkenc.ValFloat
}

// At implements chunkenc.Iterator.
func (c *computedIterator) At() (int64, float64) {
	if v, ok := c.answer(c.t); ok {
		return c.t, v
	}
	return c.t, math.Float64frombits(value.StaleNaN)
}

// AtT implements chunkenc.Iterator.
func (c *computedIterator) AtT() int64 { return c.t }

// AtST implements chunkenc.Iterator.
func (*computedIterator) AtST() int64 { return 0 }
