package query

import (
	"math"
	"sort"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Over a range rate, increase and delta are the difference between two values of a counter
// or a gauge. The engine would take those of the points within the range, which for a
// coarser tier can be far from its ends. So what is read of such a tier is a series that at
// each moment has the answer for the range that ends then.

// computedSet has such series.
type computedSet struct {
	storage.SeriesSet
	// limits are how far apart two points can be with nothing missing between them.
	limits   gapLimits
	function string
	width    int64
}

// At implements storage.SeriesSet.
func (s *computedSet) At() storage.Series {
	series := s.SeriesSet.At()
	return &storage.SeriesEntry{
		Lset: series.Labels(),
		SampleIteratorFn: func(reuse chunkenc.Iterator) chunkenc.Iterator {
			c, ok := reuse.(*computedIterator)
			if !ok {
				c = &computedIterator{Iterator: chunkenc.NewNopIterator()}
			}
			*c = computedIterator{Iterator: series.Iterator(c.Iterator), by: s, points: c.points[:0], t: math.MinInt64}
			c.load()
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
}

// computedPoint is a point of a tier.
type computedPoint struct {
	t int64
	// v is the value; of a counter what it has counted since the first point.
	v float64
	// begins is set if it is not known what was before it.
	begins bool
}

// load reads the points.
func (c *computedIterator) load() {
	counter := c.by.function != "delta"
	last, sum, begins := 0.0, 0.0, true
	for c.Iterator.Next() == chunkenc.ValFloat { // A histogram has no difference here.
		t, v := c.Iterator.At()
		if math.IsNaN(v) {
			begins = begins || value.IsStaleNaN(v)
			continue
		}
		if n := len(c.points); n > 0 {
			before := c.points[n-1].t
			begins = begins || t-before > c.by.limits.of(before)
		}
		switch {
		case !counter:
			sum = v
		case len(c.points) == 0:
		case v < last: // It was reset.
			sum += v
		default:
			sum += v - last
		}
		c.points = append(c.points, computedPoint{t, sum, begins})
		last, begins = v, false
	}
}

// between is the value at a time from the point before one on.
func (c *computedIterator) between(i int, t int64) float64 {
	p, q := c.points[i-1], c.points[i]
	return p.v + (q.v-p.v)*(float64(t-p.t)/float64(q.t-p.t))
}

// answer is that for the range up to a time; false if there is none. Where a series begins
// in a range, ends or is missing, only what is known to have been counted in it counts.
func (c *computedIterator) answer(t int64) (float64, bool) {
	n := len(c.points)
	from := t - c.by.width
	first := sort.Search(n, func(i int) bool { return c.points[i].t > from })
	after := first + sort.Search(n-first, func(i int) bool { return c.points[first+i].t > t })
	if first == n || after == 0 {
		return 0, false
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
	v := end.v - start.v
	if c.by.function == "rate" {
		v /= (time.Duration(c.by.width) * time.Millisecond).Seconds()
	}
	return v, true
}

// Next implements chunkenc.Iterator.
func (c *computedIterator) Next() chunkenc.ValueType { return c.Seek(c.t + 1) }

// Seek implements chunkenc.Iterator.
func (c *computedIterator) Seek(t milliseconds) chunkenc.ValueType {
	if len(c.points) == 0 || c.Err() != nil {
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
