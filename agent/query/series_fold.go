package query

import (
	"math"
	"sysotel/agent/store"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// timeline walks over the samples of one series after another.
type timeline struct {
	samples chunkenc.Iterator
	from    int64 // not included
	to      int64
	t       int64
	v       float64
	// ended is set when a staleness marker lies before the sample: the series was
	// gone in between.
	ended bool
	// until is the end of the step that the point tells of, kept since most
	// samples lie in the same step as the one before.
	until int64
	point int
}

func (l *timeline) reset(series storage.Series, from, to int64) {
	*l = timeline{samples: series.Iterator(l.samples), from: from, to: to, until: math.MinInt64}
}

// next goes to the next sample that says something.
func (l *timeline) next() bool {
	l.ended = false
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
					return true
				}
			case value.IsStaleNaN(l.v):
				l.ended = true
			}
		default: // A histogram is no single value.
		}
	}
}

// in is the index of the part's point that tells of the sample.
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

// foldValues makes averages, least and greatest of a gauge. Averages weigh by
// the readings behind them; where those of a point are not all known they weigh
// the same.
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
		// Rounding must not take the mean out of what it is the mean of.
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

// foldExtreme takes the least of a roll-up, or else the greatest.
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

// foldRates makes the rate of a counter from its value at the ends of the steps:
// every tier has those, so all agree to the last bit. A counter that went back
// gives no difference there; a step whose start is not known has no rate. Least
// and greatest are those between two samples, in the finest tier.
func foldRates(l *timeline, p *part, patience int64, out columns) {
	point, known := -1, false
	var lastT int64
	var lastV float64
	var base int64 // The step's end at which the counter was known before this step.
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
			// After a staleness marker the counter is another one: what the step holds
			// of the one before is left out.
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
