package query

import (
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// loadMeans reads the means of buckets, each with the number of its readings. A point
// around a reset is left out: its bucket is counted at its end.
func (c *computedIterator) loadMeans(host string) {
	var of *gapLimit
	var w *weights
	for c.Iterator.Next() == chunkenc.ValFloat { // A histogram has no mean here.
		t, v := c.Iterator.At()
		if value.IsStaleNaN(v) {
			continue
		}
		part := c.by.limits.part(t)
		if part.bucket > 0 && t%part.bucket != 0 {
			continue
		}
		if part != of {
			of, w = part, part.weights[host]
		}
		readings, known := w.at(t)
		if !known {
			readings = 1
		}
		c.points = append(c.points, computedPoint{t: t, v: v, readings: readings})
	}
}

// mean is that of the points from first to before after. Of a range that is shorter than a
// bucket also the bucket counts that ends after it.
func (c *computedIterator) mean(first, after int, from, to int64) (float64, bool) {
	sum, readings := 0.0, 0.0
	for _, p := range c.points[first:after] {
		sum += p.v * p.readings
		readings += p.readings
	}
	if after < len(c.points) && c.by.width < c.by.limits.bucket() {
		if p := c.points[after]; p.t-c.by.limits.part(p.t).bucket < to {
			sum += p.v * p.readings
			readings += p.readings
		}
	}
	return sum / readings, readings > 0
}
