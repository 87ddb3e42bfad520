package alerting

import (
	"context"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// hold is a result element kept alive: it vanished from the query result, but its
// input series went missing without a staleness marker. The store writes a marker
// when a collector reports without the series; without one the collector failed, and
// the value is unknown.
type hold struct {
	since time.Time
	// missing are the missing series, by the hash of their labels; nil if they are not
	// known yet.
	missing map[uint64]struct{}
}

// maxHold is how long an element is held.
const maxHold = 24 * time.Hour

// hold reports whether a vanished element is held.
func (v *evaluation) hold(ctx context.Context, h uint64, e element, at time.Time) (bool, error) {
	r := v.rule
	held := r.holds[h]
	if held == nil {
		from := r.evaluated
		if from.IsZero() || at.Sub(from) > maxOutage {
			from = at
		}
		missing, err := v.missing(ctx, e.labels, from, at, nil)
		if err != nil || len(missing) == 0 {
			return false, err
		}
		r.holds[h] = &hold{since: at, missing: missing}
		return true, nil
	}
	if at.Sub(held.since) > maxHold {
		return false, nil
	}
	from := r.evaluated
	if held.missing == nil { // Held since before a restart.
		from = held.since.Add(-2 * r.interval)
	}
	missing, err := v.missing(ctx, e.labels, from, at, held.missing)
	if err != nil {
		return false, err
	}
	held.missing = missing
	return len(missing) > 0, nil
}

// missing returns the series of an element that had samples before and have none now,
// without a staleness marker. With known, it returns those that are still missing.
func (v *evaluation) missing(ctx context.Context, e labels.Labels, from, at time.Time, known map[uint64]struct{}) (map[uint64]struct{}, error) {
	back := v.a.options.Querier.LookBack()
	missing := map[uint64]struct{}{}
	for h := range known {
		missing[h] = struct{}{}
	}
	for _, s := range v.rule.selectors {
		end := at.Add(-s.offset)
		start := from.Add(-s.offset - max(back, s.window)) // As far back as the element came from.
		err := v.each(ctx, s, start, end, 0, func(series labels.Labels, samples chunkenc.Iterator) error {
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

// each calls visit for every series of a selector from start to end, inclusive.
func (v *evaluation) each(ctx context.Context, s selector, start, end time.Time, width time.Duration, visit func(labels.Labels, chunkenc.Iterator) error) error {
	querier, err := v.a.present(ctx, v.at).Querier(start.UnixMilli(), end.UnixMilli())
	if err != nil {
		return err
	}
	defer querier.Close() //nolint:errcheck // Read only.
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

// agrees reports whether an element can come from a series: all labels that both have
// are equal.
func agrees(series, e labels.Labels) bool {
	same := true
	e.Range(func(l labels.Label) {
		if l.Name == model.MetricNameLabel {
			return
		}
		if v := series.Get(l.Name); v != "" && v != l.Value {
			same = false
		}
	})
	return same
}
