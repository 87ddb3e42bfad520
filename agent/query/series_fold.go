package query

import (
	"math"

	"sysotel/agent/store"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// timeline iterates over the samples of one series after another.
type timeline struct {
	samples chunkenc.Iterator
	from    int64 // not included
	to      int64
	t       int64
	v       float64
	// ended is set if a staleness marker precedes the sample.
	ended bool
	// until is the end of the step of point, cached because most samples fall into
	// the same step as the previous one.
	until int64
	point int
}

func (l *timeline) reset(series storage.Series, from, to int64) {
	*l = timeline{samples: series.Iterator(l.samples), from: from, to: to, until: math.MinInt64}
}

// next advances to the next sample in range that is a number.
func (l *timeline) next() bool {
	ended := int64(math.MinInt64)
	for {
		switch l.samples.Next() {
		case chunkenc.ValNone:
			return false
		case chunkenc.ValFloat:
			l.t, l.v = l.samples.At()
			switch {
			case l.t > l.to:
				return false
			case !math.IsNaN(l.v):
				if l.t > l.from {
					// Just before a sample it says that some are missing.
					l.ended = ended != math.MinInt64 && ended != l.t-1
					return true
				}
			case value.IsStaleNaN(l.v):
				ended = l.t
			}
		default: // Histograms have no single value.
		}
	}
}

// in returns the index of the part's point for the current sample.
func (l *timeline) in(p *part) int {
	if l.t > l.until {
		l.until, l.point = store.BucketEnd(l.t, p.step), p.at(l.t)
	}
	return l.point
}

func (l *timeline) err() error { return l.samples.Err() }

// columns are a part's values of one series, nil where not requested.
type columns struct{ avg, min, max []float64 }

// put writes a value unless its column is nil.
func put(column []float64, i int, v float64) {
	if column != nil {
		column[i] = v
	}
}

// foldValues computes averages, minima and maxima of a gauge. Averages are weighted
// by the number of readings, or equally if that is not known for all of a point.
func foldValues(l *timeline, p *part, w *weights, out columns) {
	point := -1
	var sum, weighted, weight, count, low, high float64
	known := true
	end := func() {
		if point < 0 || point >= p.count {
			return
		}
		mean := sum / count
		if known && weight > 0 {
			mean = weighted / weight
		}
		// Rounding must not move the mean out of its range.
		put(out.avg, point, min(max(mean, low), high))
		put(out.min, point, low)
		put(out.max, point, high)
	}
	for l.next() {
		if at := l.in(p); at != point || count == 0 {
			end()
			point, sum, weighted, weight, count = at, 0, 0, 0, 0
			low, high, known = l.v, l.v, w != nil
		}
		sum += l.v
		count++
		low, high = min(low, l.v), max(high, l.v)
		if readings, ok := w.at(l.t); ok {
			weighted += l.v * readings
			weight += readings
		} else {
			known = false
		}
	}
	if count > 0 {
		end()
	}
}

// foldLast takes the last value of each step.
func foldLast(l *timeline, p *part, last []float64) {
	for l.next() {
		if at := l.in(p); at >= 0 && at < p.count {
			put(last, at, l.v)
		}
	}
}

// foldExtreme takes the minimum, or else the maximum, of a roll-up.
func foldExtreme(l *timeline, p *part, column []float64, minimum bool) {
	if column == nil {
		return
	}
	for l.next() {
		at := l.in(p)
		if at < 0 || at >= p.count {
			continue
		}
		if known := column[at]; math.IsNaN(known) || l.v != known && (l.v < known) == minimum {
			column[at] = l.v
		}
	}
}

// foldRates computes the rate of a counter from its values at the ends of the
// steps: every tier has those, so all tiers agree to the last bit. A step whose
// start value is unknown has no rate; resets are accounted for. Minima and maxima
// are of the rates between two samples of the finest tier.
func foldRates(l *timeline, p *part, patience int64, out columns) {
	point, known := -1, false
	var lastT int64
	var lastV float64
	var base int64 // The end of the step in which the counter was last known.
	var runStart, rise float64
	hasBase := false
	low, high := math.NaN(), math.NaN()
	end := func() {
		if point < 0 || point >= p.count {
			return
		}
		elapsed := p.first + int64(point)*p.step - base
		if hasBase && elapsed <= max(p.step, patience) {
			put(out.avg, point, (rise+lastV-runStart)/(float64(elapsed)/1000))
		}
		put(out.min, point, low)
		put(out.max, point, high)
	}
	for l.next() {
		if l.ended {
			known = false
		}
		if at := l.in(p); at != point || !known {
			if point != at {
				end()
				low, high = math.NaN(), math.NaN()
			}
			// After a staleness marker it is another counter; the step ignores what
			// precedes it.
			point, hasBase, rise, runStart = at, known, 0, l.v
			if known {
				base, runStart = store.BucketEnd(lastT, p.step), lastV
			}
		}
		if known {
			switch {
			case l.v < lastV:
				rise += lastV - runStart
				runStart = l.v
			case l.t-lastT <= store.RateGap.Milliseconds():
				rate := (l.v - lastV) / (float64(l.t-lastT) / 1000)
				if math.IsNaN(low) {
					low, high = rate, rate
				}
				low, high = min(low, rate), max(high, rate)
			}
		}
		known, lastT, lastV = true, l.t, l.v
	}
	if known {
		end()
	}
}
