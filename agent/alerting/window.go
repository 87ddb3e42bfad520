package alerting

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// emptyShare is the part of a window that may be empty: a tenth. A function over
// a window does not say how much of it there was; the mean of five minutes after
// a start of ten seconds ago is one of ten seconds.
const emptyShare = 10

// filled tells whether the windows that an expression looks back through were
// measured. It is asked only for what is new in a result: what was believed
// before stays so.
func (j *judge) filled(ctx context.Context, e labels.Labels, at time.Time) (bool, error) {
	for _, s := range j.rule.selectors {
		if s.window == 0 {
			continue
		}
		ok, err := j.windowFilled(ctx, s, e, at)
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// windowFilled tells whether some series of a selector fills its window. Where
// there is no series at all, as for absent_over_time, the agent must have looked
// for that long.
func (j *judge) windowFilled(ctx context.Context, s selector, e labels.Labels, at time.Time) (bool, error) {
	end := at.Add(-s.offset)
	start := end.Add(-s.window)
	// The tiers of long windows have at least 60 points of them.
	apart := max(j.a.options.Querier.LookBack(), s.width*5/2/60)
	least := time.Duration(-1)
	err := j.each(ctx, s, start, end, s.width, func(series labels.Labels, samples chunkenc.Iterator) error {
		if !agrees(series, e) {
			return nil
		}
		empty, before := time.Duration(0), start.UnixMilli()
		note := func(t int64) {
			empty += max(0, time.Duration(t-before)*time.Millisecond-apart)
			before = t
		}
		for samples.Next() == chunkenc.ValFloat {
			if t, v := samples.At(); !value.IsStaleNaN(v) {
				note(t)
			}
		}
		note(end.UnixMilli())
		if least < 0 || empty < least {
			least = empty
		}
		return samples.Err()
	})
	if err != nil {
		return false, err
	}
	if least < 0 {
		return j.a.options.Mono()-j.a.since >= s.window, nil
	}
	return least <= s.window/emptyShare, nil
}
