package query

import (
	"math"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// mappedSet replaces the values of samples.
type mappedSet struct {
	storage.SeriesSet
	// each returns the function of a series, which returns the value in place of a
	// sample's; false leaves the sample out.
	each func(labels.Labels) func(t int64, v float64) (float64, bool)
}

// At implements storage.SeriesSet.
func (s *mappedSet) At() storage.Series {
	series := s.SeriesSet.At()
	by := s.each(series.Labels())
	return &storage.SeriesEntry{
		Lset: series.Labels(),
		SampleIteratorFn: func(reuse chunkenc.Iterator) chunkenc.Iterator {
			m, ok := reuse.(*mappedIterator)
			if !ok {
				m = &mappedIterator{}
			}
			*m = mappedIterator{Iterator: series.Iterator(m.Iterator), by: by}
			return m
		},
	}
}

// milliseconds is a time in Unix milliseconds. Named, because vet takes a Seek of an int64
// for that of a file.
type milliseconds = int64

// mappedIterator replaces the values of samples. Staleness markers stay.
type mappedIterator struct {
	chunkenc.Iterator
	by func(int64, float64) (float64, bool)
	v  float64
}

// Next implements chunkenc.Iterator.
func (m *mappedIterator) Next() chunkenc.ValueType { return m.first(m.Iterator.Next()) }

// Seek implements chunkenc.Iterator.
func (m *mappedIterator) Seek(t milliseconds) chunkenc.ValueType { return m.first(m.Iterator.Seek(t)) }

// first moves on to the first sample that is not left out.
func (m *mappedIterator) first(kind chunkenc.ValueType) chunkenc.ValueType {
	for ; kind == chunkenc.ValFloat; kind = m.Iterator.Next() {
		t, v := m.Iterator.At()
		if m.v = v; math.IsNaN(v) && value.IsStaleNaN(v) {
			return kind
		}
		var keep bool
		if m.v, keep = m.by(t, v); keep {
			return kind
		}
	}
	return kind
}

// At implements chunkenc.Iterator.
func (m *mappedIterator) At() (int64, float64) { return m.Iterator.AtT(), m.v }
