package alerting

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// hold is an element that is held: it is gone from the result, but series that
// it was made of ended without a staleness marker. The store marks the end of a
// series when its family was read again without it; without a marker the family
// gave nothing, and nobody knows.
type hold struct {
	since time.Time
	// missing are the series that gave nothing, by the hash of their labels; nil
	// where they are not known yet.
	missing map[uint64]struct{}
}

// giveUpAfter is how long an element is held.
const giveUpAfter = 24 * time.Hour

// hold tells whether an element that is gone is held.
func (j *judge) hold(ctx context.Context, h uint64, e element, at time.Time) (bool, error) {
	r := j.rule
	held := r.holds[h]
	if held == nil {
		from := r.evaluated
		if from.IsZero() || at.Sub(from) > outageTolerance {
			from = at
		}
		missing, err := j.missing(ctx, e.labels, from, at, nil)
		if err != nil || len(missing) == 0 {
			return false, err
		}
		r.holds[h] = &hold{since: at, missing: missing}
		return true, nil
	}
	if at.Sub(held.since) > giveUpAfter {
		return false, nil
	}
	from := r.evaluated
	if held.missing == nil { // It was held before the agent was started anew.
		from = held.since.Add(-2 * r.interval)
	}
	missing, err := j.missing(ctx, e.labels, from, at, held.missing)
	if err != nil {
		return false, err
	}
	held.missing = missing
	return len(missing) > 0, nil
}

// missing finds the series of an element that had samples before and have none
// now, without having ended. With known it looks whether those are still missing.
func (j *judge) missing(ctx context.Context, e labels.Labels, from, at time.Time, known map[uint64]struct{}) (map[uint64]struct{}, error) {
	back := j.a.options.Querier.LookBack()
	missing := map[uint64]struct{}{}
	for h := range known {
		missing[h] = struct{}{}
	}
	for _, s := range j.rule.selectors {
		end := at.Add(-s.offset)
		start := from.Add(-s.offset - back)
		err := j.each(ctx, s, start, end, 0, func(series labels.Labels, samples chunkenc.Iterator) error {
			if !agrees(series, e) {
				return nil
			}
			last, stale := int64(0), false
			for samples.Next() == chunkenc.ValFloat {
				t, v := samples.At()
				last, stale = t, value.IsStaleNaN(v)
			}
			h := series.Hash()
			switch {
			case last == 0:
			case stale || last >= end.Add(-back).UnixMilli():
				delete(missing, h)
			case known == nil:
				missing[h] = struct{}{}
			}
			return samples.Err()
		})
		if err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// each calls visit for every series of a selector between two times, both included.
func (j *judge) each(ctx context.Context, s selector, start, end time.Time, width time.Duration, visit func(labels.Labels, chunkenc.Iterator) error) error {
	querier, err := j.a.present(ctx).Querier(start.UnixMilli(), end.UnixMilli())
	if err != nil {
		return err
	}
	defer querier.Close() //nolint:errcheck // It was read; nothing was written.
	set := querier.Select(ctx, false, &storage.SelectHints{Start: start.UnixMilli(), End: end.UnixMilli(), Range: width.Milliseconds()}, s.matchers...)
	var samples chunkenc.Iterator
	for set.Next() {
		series := set.At()
		samples = series.Iterator(samples)
		if err := visit(series.Labels(), samples); err != nil {
			return err
		}
	}
	return set.Err()
}

// agrees tells whether a series can be one that an element was made of: no label
// that both have differs.
func agrees(series, e labels.Labels) bool {
	same := true
	e.Range(func(l labels.Label) {
		if l.Name == labels.MetricName {
			return
		}
		if v := series.Get(l.Name); v != "" && v != l.Value {
			same = false
		}
	})
	return same
}
