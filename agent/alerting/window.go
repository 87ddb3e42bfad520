package alerting

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// maxGapShare is the share of a window that may be gap: a tenth. A range function
// does not say how much data it had: ten seconds after the start the mean of five
// minutes is one of ten seconds.
const maxGapShare = 10

// filled reports whether there was data in all windows of the expression. It is
// checked for new elements only.
func (v *evaluation) filled(ctx context.Context, e labels.Labels, at time.Time) (bool, error) {
	for _, s := range v.rule.selectors {
		if s.window == 0 {
			// Nothing is no answer where no samples can be seen.
			if !v.unseen(at) {
				continue
			}
			s.window = v.a.options.Querier.LookBack()
			if any, err := v.any(ctx, s, at); err != nil || !any {
				return false, err
			}
			continue
		}
		ok, err := v.windowFilled(ctx, s, e, at)
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// unseen reports whether a window of the expression begins before the time from which
// queries see something at present: a condition that does not hold there may hold.
func (v *evaluation) unseen(at time.Time) bool {
	if v.a.options.SeenFrom == nil {
		return false
	}
	from := v.a.options.SeenFrom()
	if from.IsZero() {
		return false
	}
	for _, s := range v.rule.selectors {
		if at.Add(-s.offset - max(s.window, v.a.options.Querier.LookBack())).Before(from) {
			return true
		}
	}
	return false
}

// any reports whether a selector has a sample in its window.
func (v *evaluation) any(ctx context.Context, s selector, at time.Time) (any bool, err error) {
	end := at.Add(-s.offset)
	err = v.each(ctx, s, end.Add(-s.window), end, s.width, func(labels.Labels, chunkenc.Iterator) error {
		any = true
		return nil
	})
	return any, err
}

// windowFilled reports whether some series of a selector fills its window. If there
// is no series at all, as for absent_over_time, the agent must have run for that long.
func (v *evaluation) windowFilled(ctx context.Context, s selector, e labels.Labels, at time.Time) (bool, error) {
	end := at.Add(-s.offset)
	start := end.Add(-s.window)
	// The tiers of long windows have at minGap 60 points of them.
	apart := max(v.a.options.Querier.LookBack(), s.width*5/2/60)
	minGap := time.Duration(-1)
	err := v.each(ctx, s, start, end, s.width, func(series labels.Labels, samples chunkenc.Iterator) error {
		if !agrees(series, e) {
			return nil
		}
		gap, before := time.Duration(0), start.UnixMilli()
		note := func(t int64) {
			gap += max(0, time.Duration(t-before)*time.Millisecond-apart)
			before = t
		}
		for samples.Next() == chunkenc.ValFloat {
			if t, v := samples.At(); !value.IsStaleNaN(v) {
				note(t)
			}
		}
		note(end.UnixMilli())
		if minGap < 0 || gap < minGap {
			minGap = gap
		}
		return samples.Err()
	})
	if err != nil {
		return false, err
	}
	if minGap < 0 {
		return v.a.options.Mono()-v.a.started >= s.window, nil
	}
	return minGap <= s.window/maxGapShare, nil
}
