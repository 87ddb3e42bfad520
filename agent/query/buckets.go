package query

import (
	"math"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"sysotel/agent/store"
)

// bucketSet makes of samples of a finer tier what a coarser one will have: one point for
// each bucket, at its end, with the minimum or the maximum of those that are there so far.
// What reads all buckets of which a part lies in a range would else read samples after the
// last of them.
type bucketSet struct {
	storage.SeriesSet
	bucket  int64 // in milliseconds
	maximum bool
}

// At implements storage.SeriesSet.
func (s *bucketSet) At() storage.Series {
	series := s.SeriesSet.At()
	return &storage.SeriesEntry{
		Lset: series.Labels(),
		SampleIteratorFn: func(reuse chunkenc.Iterator) chunkenc.Iterator {
			b, ok := reuse.(*bucketIterator)
			if !ok {
				b = &bucketIterator{}
			}
			*b = bucketIterator{Iterator: series.Iterator(b.Iterator), by: s, fresh: true}
			return b
		},
	}
}

// bucketIterator has a point for each bucket with a number.
type bucketIterator struct {
	chunkenc.Iterator
	by *bucketSet
	// t and v are the point at which it stands, if there is one.
	t     int64
	v     float64
	there bool
	// next is the type of the first sample that is not in the point; fresh is set before it
	// is known.
	next  chunkenc.ValueType
	fresh bool
}

// Next implements chunkenc.Iterator.
func (b *bucketIterator) Next() chunkenc.ValueType {
	if b.fresh {
		b.next, b.fresh = b.Iterator.Next(), false
	}
	return b.fold()
}

// Seek implements chunkenc.Iterator.
func (b *bucketIterator) Seek(t milliseconds) chunkenc.ValueType {
	if b.there && b.t >= t {
		return chunkenc.ValFloat
	}
	if b.fresh || b.next != chunkenc.ValNone {
		b.next, b.fresh = b.Iterator.Seek(t-b.by.bucket+1), false
	}
	for b.fold() != chunkenc.ValNone {
		if b.t >= t {
			return chunkenc.ValFloat
		}
	}
	return chunkenc.ValNone
}

// fold moves on to the point of the next bucket.
func (b *bucketIterator) fold() chunkenc.ValueType {
	b.there = false
	for ; b.next != chunkenc.ValNone; b.next = b.Iterator.Next() {
		if b.next != chunkenc.ValFloat {
			continue // A histogram has no single value.
		}
		t, v := b.Iterator.At()
		if value.IsStaleNaN(v) {
			continue
		}
		switch end := store.BucketEnd(t, b.by.bucket); {
		case !b.there:
			b.t, b.v, b.there = end, v, true
		case end != b.t:
			return chunkenc.ValFloat
		case math.IsNaN(b.v), b.by.maximum && v > b.v, !b.by.maximum && v < b.v:
			b.v = v
		}
	}
	if !b.there {
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

// At implements chunkenc.Iterator.
func (b *bucketIterator) At() (int64, float64) { return b.t, b.v }

// AtT implements chunkenc.Iterator.
func (b *bucketIterator) AtT() int64 { return b.t }
