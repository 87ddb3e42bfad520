package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// Partial is the warning of a result that lacks the history, because the tiers are not
// open.
type Partial struct {
	// Since is the oldest reading that is there.
	Since time.Time
}

// Error implements error.
func (p *Partial) Error() string {
	return fmt.Sprintf("the store is opening: there is nothing from before %s yet", p.Since.UTC().Format(time.RFC3339))
}

// withWaiting is the finest tier as queries see it: with the readings that wait.
type withWaiting struct{ *Tier }

// Querier implements storage.Queryable. What waits is selected first: a reading that is
// appended meanwhile is found twice, which makes no difference, and not lost.
func (t withWaiting) Querier(mint, maxt int64) (storage.Querier, error) {
	since, any := t.waiting.oldest()
	stored, err := t.Tier.Querier(mint, maxt)
	if !any {
		return stored, err
	}
	newest := &waitingQuerier{waiting: t.waiting, mint: mint, maxt: maxt}
	if errors.Is(err, ErrOpening) {
		newest.warnings.Add(&Partial{time.UnixMilli(since)})
		return newest, nil
	}
	if err != nil {
		return nil, err
	}
	return storage.NewMergeQuerier([]storage.Querier{newest, stored}, nil, storage.ChainedSeriesMerge), nil
}

// oldest returns the oldest tick that waits; false if none does.
func (w *waiting) oldest() (tick int64, any bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.batches {
		if !any || b.first < tick {
			tick, any = b.first, true
		}
	}
	return tick, any
}

// waitingQuerier selects series from what waits.
type waitingQuerier struct {
	waiting    *waiting
	mint, maxt int64
	warnings   annotations.Annotations
}

// waitingSeries has the chunks of a series.
type waitingSeries struct {
	labels     labels.Labels
	chunks     []chunkenc.Chunk
	mint, maxt int64
}

// Select implements storage.Querier. The result is always sorted.
func (q *waitingQuerier) Select(_ context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	mint, maxt := q.mint, q.maxt
	if hints != nil {
		mint, maxt = hints.Start, hints.End
	}
	found := map[uint64][]*waitingSeries{}
	q.each(mint, maxt, matchers, func(b *batch, c *column) {
		l := c.series.Labels
		h := l.Hash()
		i := slices.IndexFunc(found[h], func(s *waitingSeries) bool { return labels.Equal(s.labels, l) })
		if i < 0 {
			i = len(found[h])
			found[h] = append(found[h], &waitingSeries{labels: l, mint: mint, maxt: maxt})
		}
		var chunk chunkenc.Chunk = c.chunk
		if !b.sealed { // It grows.
			copied := chunkenc.NewXORChunk()
			copied.Reset(bytes.Clone(c.chunk.Bytes()))
			chunk = copied
		}
		found[h][i].chunks = append(found[h][i].chunks, chunk)
	})
	set := &waitingSet{at: -1, warnings: q.warnings}
	for _, all := range found {
		set.series = append(set.series, all...)
	}
	slices.SortFunc(set.series, func(a, b *waitingSeries) int { return labels.Compare(a.labels, b.labels) })
	return set
}

// each calls f for the columns that match and may have samples in a time range.
func (q *waitingQuerier) each(mint, maxt int64, matchers []*labels.Matcher, f func(*batch, *column)) {
	q.waiting.mu.Lock()
	defer q.waiting.mu.Unlock()
	for _, b := range q.waiting.batches {
		if b.last < mint || b.first > maxt {
			continue
		}
		for _, c := range b.columns {
			if c.last != unknown && c.last >= mint && matches(c.series.Labels, matchers) {
				f(b, c)
			}
		}
	}
}

func matches(l labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(l.Get(m.Name)) {
			return false
		}
	}
	return true
}

// LabelValues implements storage.Querier.
func (q *waitingQuerier) LabelValues(_ context.Context, name string, _ *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	found := map[string]struct{}{}
	q.each(q.mint, q.maxt, matchers, func(_ *batch, c *column) {
		if v := c.series.Labels.Get(name); v != "" {
			found[v] = struct{}{}
		}
	})
	return slices.Sorted(maps.Keys(found)), q.warnings, nil
}

// LabelNames implements storage.Querier.
func (q *waitingQuerier) LabelNames(_ context.Context, _ *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	found := map[string]struct{}{}
	q.each(q.mint, q.maxt, matchers, func(_ *batch, c *column) {
		c.series.Labels.Range(func(l labels.Label) { found[l.Name] = struct{}{} })
	})
	return slices.Sorted(maps.Keys(found)), q.warnings, nil
}

// Close implements storage.Querier.
func (*waitingQuerier) Close() error { return nil }

// waitingSet implements storage.SeriesSet.
type waitingSet struct {
	series   []*waitingSeries
	at       int
	warnings annotations.Annotations
}

// Next implements storage.SeriesSet.
func (s *waitingSet) Next() bool { s.at++; return s.at < len(s.series) }

// At implements storage.SeriesSet.
func (s *waitingSet) At() storage.Series { return s.series[s.at] }

// Err implements storage.SeriesSet.
func (*waitingSet) Err() error { return nil }

// Warnings implements storage.SeriesSet.
func (s *waitingSet) Warnings() annotations.Annotations { return s.warnings }

// Labels implements storage.Series.
func (s *waitingSeries) Labels() labels.Labels { return s.labels }

// Iterator implements storage.Series. Batches may overlap if the clock was set; the
// samples in the time range are merged into one chunk.
func (s *waitingSeries) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	var all []chunkenc.Iterator
	for _, c := range s.chunks {
		all = append(all, c.Iterator(nil))
	}
	merged := newColumn(nil, 0)
	for it := storage.ChainSampleIteratorFromIterators(nil, all); it.Next() == chunkenc.ValFloat; {
		if t, v := it.At(); t >= s.mint && t <= s.maxt {
			merged.add(t, v)
		}
	}
	return merged.chunk.Iterator(reuse)
}
