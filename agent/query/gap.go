package query

import (
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// gapLimit is how long a sample is valid, for samples before a time; both in
// milliseconds.
type gapLimit struct {
	until, gap int64
	// least and late are, where the gap follows from the interval of the machine, that of
	// the tier, and how much longer a sample is valid.
	least, late int64
	// bucket is the time between two points, 0 for the finest tier, and weights are the
	// numbers of readings of those of a mean, by host.
	bucket  int64
	weights map[string]*weights
}

// gapLimits are in order of time.
type gapLimits []gapLimit

// of is how long a sample is valid.
func (l gapLimits) of(t int64) int64 {
	for _, limit := range l {
		if t < limit.until {
			return limit.gap
		}
	}
	return l[len(l)-1].gap
}

// part is what is known of the point at a time.
func (l gapLimits) part(t int64) *gapLimit {
	i := 0
	for i < len(l)-1 && t > l[i].until {
		i++
	}
	return &l[i]
}

// bucket is the longest time between two points.
func (l gapLimits) bucket() (longest int64) {
	for _, limit := range l {
		longest = max(longest, limit.bucket)
	}
	return longest
}

// shorter reports whether a sample is valid for less than a time.
func (l gapLimits) shorter(lookBack int64) bool {
	for _, limit := range l {
		if limit.gap < lookBack {
			return true
		}
	}
	return false
}

// by returns the limits for a machine with an interval.
func (l gapLimits) by(interval int64) gapLimits {
	own := slices.Clone(l)
	for i, limit := range l {
		if limit.least > 0 {
			own[i].gap = max(limit.least, interval)*5/2 + limit.late
		}
	}
	return own
}

// atLeast returns the limits, none below a time.
func (l gapLimits) atLeast(gap int64) gapLimits {
	longer := slices.Clone(l)
	for i := range longer {
		longer[i].gap = max(longer[i].gap, gap)
	}
	return longer
}

// gapSet knows how long the samples of its series are valid.
type gapSet struct {
	storage.SeriesSet
	limits gapLimits
	// intervals are those of machines, own is that of all others.
	intervals Intervals
	own       time.Duration
	// ofRules reports whether rules make a metric, whose samples are valid for longer.
	ofRules func(metric string) bool
}

// within ends the samples of a series when they are no longer valid in their tier: the
// engine has one look-back for all selectors, that of the coarsest tier.
func (s *gapSet) within(lookBack int64, series storage.Series) storage.Series {
	limits := s.limits
	if s.intervals.Longest > s.own {
		interval, known := s.intervals.Of[series.Labels().Get(hostLabel)]
		if !known {
			interval = s.own
		}
		limits = limits.by(interval.Milliseconds())
	}
	if lookBack >= rulesLookBack.Milliseconds() && s.ofRules(series.Labels().Get(model.MetricNameLabel)) {
		limits = limits.atLeast(rulesLookBack.Milliseconds())
	}
	if !limits.shorter(lookBack) {
		return series
	}
	return &storage.SeriesEntry{
		Lset: series.Labels(),
		SampleIteratorFn: func(reuse chunkenc.Iterator) chunkenc.Iterator {
			g, ok := reuse.(*gapIterator)
			if !ok {
				g = &gapIterator{}
			}
			*g = gapIterator{Iterator: series.Iterator(g.Iterator), limits: limits, valid: math.MaxInt64}
			return g
		},
	}
}

// gapIterator inserts staleness markers.
type gapIterator struct {
	chunkenc.Iterator
	limits gapLimits
	// valid is until when the newest sample is valid.
	valid int64
	// next is the type of the sample after the marker at which the iterator stands.
	next  chunkenc.ValueType
	stale bool
}

// Next implements chunkenc.Iterator.
func (g *gapIterator) Next() chunkenc.ValueType {
	if g.stale {
		g.stale, g.valid = false, math.MaxInt64
		return g.arrived(g.next)
	}
	return g.arrived(g.Iterator.Next())
}

// arrived returns the type of what the iterator stands at when the inner one has moved.
func (g *gapIterator) arrived(next chunkenc.ValueType) chunkenc.ValueType {
	if next == chunkenc.ValNone && g.valid == math.MaxInt64 {
		return next
	}
	if next == chunkenc.ValNone || g.Iterator.AtT() > g.valid {
		g.next, g.stale = next, true
		return chunkenc.ValFloat
	}
	t := g.Iterator.AtT()
	g.valid = t + g.limits.of(t)
	return next
}

// Seek implements chunkenc.Iterator.
func (g *gapIterator) Seek(t milliseconds) chunkenc.ValueType {
	if g.stale && t > g.valid {
		g.stale, g.valid = false, math.MaxInt64
		if g.next == chunkenc.ValNone || g.Iterator.AtT() >= t {
			return g.arrived(g.next)
		}
	}
	if g.stale {
		return chunkenc.ValFloat
	}
	g.valid = math.MaxInt64 // What lies before is not asked for.
	return g.arrived(g.Iterator.Seek(t))
}

// At implements chunkenc.Iterator.
func (g *gapIterator) At() (int64, float64) {
	if g.stale {
		return g.valid, math.Float64frombits(value.StaleNaN)
	}
	return g.Iterator.At()
}

// AtT implements chunkenc.Iterator.
func (g *gapIterator) AtT() int64 {
	if g.stale {
		return g.valid
	}
	return g.Iterator.AtT()
}

// AtST implements chunkenc.Iterator.
func (g *gapIterator) AtST() int64 {
	if g.stale {
		return 0
	}
	return g.Iterator.AtST()
}
