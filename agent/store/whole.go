package store

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// The library reads the samples of a series through an iterator for each block, one for
// its chunks and one that joins the blocks, which together take longer than decoding
// them. Who wants all samples of a long time, and does not mind those beyond its ends,
// says so by the hint DisableTrimming, and gets the chunks one after the other.

// wholeSet has the series of a set of chunks.
type wholeSet struct{ storage.ChunkSeriesSet }

// whole selects series with whole chunks; false if that is not possible.
func (q *querier) whole(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers []*labels.Matcher) (storage.SeriesSet, bool) {
	from, ok := q.from.(storage.ChunkQueryable)
	if !ok {
		return nil, false
	}
	selected, err := from.ChunkQuerier(q.mint, q.maxt)
	if err != nil {
		return storage.ErrSeriesSet(err), true
	}
	q.chunks = append(q.chunks, selected)
	return wholeSet{selected.Select(ctx, sorted, hints, matchers...)}, true
}

// At implements storage.SeriesSet.
func (s wholeSet) At() storage.Series {
	series := s.ChunkSeriesSet.At()
	return &storage.SeriesEntry{
		Lset: series.Labels(),
		SampleIteratorFn: func(reuse chunkenc.Iterator) chunkenc.Iterator {
			w, ok := reuse.(*wholeIterator)
			if !ok {
				w = &wholeIterator{}
			}
			*w = wholeIterator{Iterator: chunkenc.NewNopIterator(), chunks: series.Iterator(w.chunks), decoded: w.decoded}
			return w
		},
	}
}

// wholeIterator has the samples of chunks that follow each other.
type wholeIterator struct {
	chunkenc.Iterator
	chunks  chunks.Iterator
	decoded chunkenc.Iterator // What can be used again.
}

// Next implements chunkenc.Iterator.
func (w *wholeIterator) Next() chunkenc.ValueType {
	for {
		if next := w.Iterator.Next(); next != chunkenc.ValNone || w.Iterator.Err() != nil || !w.chunks.Next() {
			return next
		}
		w.decoded = w.chunks.At().Chunk.Iterator(w.decoded)
		w.Iterator = w.decoded
	}
}

// Seek implements chunkenc.Iterator.
func (w *wholeIterator) Seek(t milliseconds) chunkenc.ValueType {
	for {
		if next := w.Iterator.Seek(t); next != chunkenc.ValNone || w.Iterator.Err() != nil {
			return next
		}
		if next := w.Next(); next == chunkenc.ValNone || w.AtT() >= t {
			return next
		}
	}
}

// Err implements chunkenc.Iterator.
func (w *wholeIterator) Err() error {
	if err := w.Iterator.Err(); err != nil {
		return err
	}
	return w.chunks.Err()
}

// milliseconds is a time in Unix milliseconds. Named, because vet takes a Seek of an int64
// for that of a file.
type milliseconds = int64
