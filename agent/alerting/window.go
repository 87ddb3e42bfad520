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
			continue
		}
		ok, err := v.windowFilled(ctx, s, e, at)
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
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
