package store

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// The library reads the samples of a series through an iterator for each block, one for
// its chunks and one that joins the blocks, which together take longer than decoding
// them; and each time that a query moves on by a step it looks into all blocks. Who wants
// many samples of each series gets the chunks one after the other instead.

// Whole resolves selectors as a database with points of a resolution does, with less work
// where a query reads many of them.
func Whole(from storage.Queryable, resolution time.Duration) storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		return newWhole(from, resolution, mint, maxt), nil
	})
}

// manySamples is the number of points from which on whole chunks take less.
const manySamples = 100

// wholeQuerier opens the samples or the chunks when they are asked for.
type wholeQuerier struct {
	from       storage.Queryable
	mint, maxt int64
	// many is the time in milliseconds from which on there are many points.
	many    int64
	samples storage.Querier
	chunks  storage.ChunkQuerier
}

func newWhole(from storage.Queryable, resolution time.Duration, mint, maxt int64) *wholeQuerier {
	return &wholeQuerier{from: from, mint: mint, maxt: maxt, many: manySamples * resolution.Milliseconds()}
}

// open opens the samples.
func (q *wholeQuerier) open() (_ storage.Querier, err error) {
	if q.samples == nil {
		q.samples, err = q.from.Querier(q.mint, q.maxt)
	}
	return q.samples, err
}

// openChunks opens the chunks; nil if there are none, as on a disk that cannot be written.
func (q *wholeQuerier) openChunks() (_ storage.ChunkQuerier, err error) {
	if from, ok := q.from.(storage.ChunkQueryable); ok && q.chunks == nil {
		q.chunks, err = from.ChunkQuerier(q.mint, q.maxt)
	}
	return q.chunks, err
}

// Select implements storage.Querier.
func (q *wholeQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if hints != nil && hints.Func != "series" && hints.End-hints.Start >= q.many {
		selected, err := q.openChunks()
		if err != nil {
			return storage.ErrSeriesSet(err)
		}
		if selected != nil {
			untrimmed := *hints
			untrimmed.DisableTrimming = true // Or the chunks at both ends are written anew.
			return wholeSet{selected.Select(ctx, sorted, &untrimmed, matchers...), hints.Start, hints.End}
		}
	}
	selected, err := q.open()
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	return selected.Select(ctx, sorted, hints, matchers...)
}

// LabelValues implements storage.LabelQuerier.
func (q *wholeQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	from, err := q.open()
	if err != nil {
		return nil, nil, err
	}
	return from.LabelValues(ctx, name, hints, matchers...)
}

// LabelNames implements storage.LabelQuerier.
func (q *wholeQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	from, err := q.open()
	if err != nil {
		return nil, nil, err
	}
	return from.LabelNames(ctx, hints, matchers...)
}

// Close implements storage.Querier.
func (q *wholeQuerier) Close() error {
	var errs []error
	if q.samples != nil {
		errs = append(errs, q.samples.Close())
	}
	if q.chunks != nil {
		errs = append(errs, q.chunks.Close())
	}
	return errors.Join(errs...)
}

// wholeSet has the series of a set of chunks, with the samples from one time to another.
type wholeSet struct {
	storage.ChunkSeriesSet
	from, to int64
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
			*w = wholeIterator{Iterator: chunkenc.NewNopIterator(), chunks: series.Iterator(w.chunks), decoded: w.decoded, from: s.from, to: s.to, until: math.MinInt64}
			return w
		},
	}
}

// wholeIterator has the samples of chunks that follow each other.
type wholeIterator struct {
	chunkenc.Iterator // that of the present chunk
	chunks            chunks.Iterator
	decoded           chunkenc.Iterator // What can be used again.
	from, to          int64
	// until is the time of the last sample of the chunk.
	until int64
	ended bool
}

// Next implements chunkenc.Iterator.
func (w *wholeIterator) Next() chunkenc.ValueType {
	if next := w.Iterator.Next(); next != chunkenc.ValNone {
		return w.within(next)
	}
	return w.following(w.from)
}

// Seek implements chunkenc.Iterator.
func (w *wholeIterator) Seek(t milliseconds) chunkenc.ValueType {
	if t <= w.until {
		if next := w.Iterator.Seek(t); next != chunkenc.ValNone {
			return w.within(next)
		}
	}
	return w.following(max(t, w.from))
}

// following moves to the first sample from a time on in the chunks that follow. Those that
// end before are not decoded.
func (w *wholeIterator) following(t int64) chunkenc.ValueType {
	for !w.ended && w.Iterator.Err() == nil && w.chunks.Next() {
		chunk := w.chunks.At()
		if chunk.MaxTime < t {
			continue
		}
		w.decoded = chunk.Chunk.Iterator(w.decoded)
		w.Iterator, w.until = w.decoded, chunk.MaxTime
		next := w.Iterator.Next()
		if next != chunkenc.ValNone && chunk.MinTime < t {
			next = w.Iterator.Seek(t)
		}
		if next != chunkenc.ValNone {
			return w.within(next)
		}
	}
	return chunkenc.ValNone
}

// within ends the samples at the last time.
func (w *wholeIterator) within(next chunkenc.ValueType) chunkenc.ValueType {
	if w.until > w.to && w.AtT() > w.to {
		w.Iterator, w.until, w.ended = chunkenc.NewNopIterator(), math.MinInt64, true
		return chunkenc.ValNone
	}
	return next
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
