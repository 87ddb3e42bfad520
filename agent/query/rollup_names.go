package query

import (
	"sysotel/agent/store"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// rollupSet renames the series of a set.
type rollupSet struct {
	storage.SeriesSet
	name string
	rate bool
}

// At implements storage.SeriesSet.
func (s *rollupSet) At() storage.Series {
	raw := s.SeriesSet.At()
	named := labels.NewBuilder(raw.Labels()).Set(model.MetricNameLabel, s.name).Labels()
	return &rollupSeries{raw: raw, labels: named, rate: s.rate}
}

type rollupSeries struct {
	raw    storage.Series
	labels labels.Labels
	rate   bool
}

// Labels implements storage.Series.
func (s *rollupSeries) Labels() labels.Labels { return s.labels }

// Iterator implements storage.Series. Rates are computed at once: an engine reads
// one series of a selector at a time, and the finest tier is short.
func (s *rollupSeries) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	raw := s.raw.Iterator(reuse)
	if !s.rate {
		return raw
	}
	rates := differences(nil, raw)
	if err := raw.Err(); err != nil {
		return errIterator{chunkenc.NewNopIterator(), err}
	}
	return storage.NewListSeriesIterator(rates)
}

// errIterator has no samples, because reading them failed.
type errIterator struct {
	chunkenc.Iterator
	err error
}

// Err implements chunkenc.Iterator.
func (i errIterator) Err() error { return i.err }

// differences appends the rate per second between consecutive samples of a counter,
// except over a reset or a pause longer than RateGap. Staleness markers are kept.
func differences(rates rateList, samples chunkenc.Iterator) rateList {
	known := false // lastT and lastV are set.
	var lastT int64
	var lastV float64
	for {
		switch samples.Next() {
		case chunkenc.ValNone:
			return rates
		case chunkenc.ValFloat:
			t, v := samples.At()
			if value.IsStaleNaN(v) {
				rates, known = append(rates, rateSample{t, v}), false
				continue
			}
			if known && v >= lastV && t-lastT <= store.RateGap.Milliseconds() {
				rates = append(rates, rateSample{t, (v - lastV) / (float64(t-lastT) / 1000)})
			}
			known, lastT, lastV = true, t, v
		default: // Histograms have no rate.
		}
	}
}

// rateList implements storage.Samples.
type rateList []rateSample

// Get implements storage.Samples.
func (l rateList) Get(i int) chunks.Sample { return &l[i] }

// Len implements storage.Samples.
func (l rateList) Len() int { return len(l) }

// rateSample is one rate.
type rateSample struct {
	t int64
	v float64
}

// T implements chunks.Sample.
func (s *rateSample) T() int64 { return s.t }

// ST implements chunks.Sample.
func (*rateSample) ST() int64 { return 0 }

// F implements chunks.Sample.
func (s *rateSample) F() float64 { return s.v }

// H implements chunks.Sample.
func (*rateSample) H() *histogram.Histogram { return nil }

// FH implements chunks.Sample.
func (*rateSample) FH() *histogram.FloatHistogram { return nil }

// Type implements chunks.Sample.
func (*rateSample) Type() chunkenc.ValueType { return chunkenc.ValFloat }

// Copy implements chunks.Sample.
func (s *rateSample) Copy() chunks.Sample {
	c := *s
	return &c
}
