package query

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"sysotel/agent/store"
)

// Selection selects series that have samples from a time on.
type Selection struct {
	Matchers []*labels.Matcher
	Start    time.Time
}

// Matched reports for each selection whether any series has samples up to end, in any
// tier. A selection without series costs a look into the index. It takes a turn of the
// rules.
func (q *Querier) Matched(ctx context.Context, selections []Selection, end time.Time) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, ruleTimeout)
	defer cancel()
	done, err := q.rules.take(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	sources := q.config.Tiers()
	if len(sources) == 0 {
		return nil, store.ErrOpening
	}
	found := make([]bool, len(selections))
	for level, source := range sources {
		if oldest := source.Oldest(); oldest.IsZero() || oldest.After(end) {
			continue
		}
		if err := q.matchedIn(ctx, sources, level, selections, end, found); err != nil {
			return nil, withType(err)
		}
	}
	return found, nil
}

// matchedIn looks in one tier for what is not found yet. Selections with the same start
// share a querier.
func (q *Querier) matchedIn(ctx context.Context, sources []Source, level int, selections []Selection, end time.Time, found []bool) error {
	open := map[int64]*partReader{}
	defer func() {
		for _, p := range open {
			_ = p.Close() // It was only read.
		}
	}()
	for i, s := range selections {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := s.Start.UnixMilli()
		if found[i] || start > end.UnixMilli() {
			continue
		}
		p := open[start]
		if p == nil {
			var err error
			if p, err = q.openPart(sources, level, start, end.UnixMilli()); err != nil {
				return err
			}
			open[start] = p
		}
		set := q.asScraped(ctx, p, false, &storage.SelectHints{Start: start, End: end.UnixMilli(), Func: "series"}, s.Matchers)
		found[i] = set.Next()
		if err := set.Err(); err != nil {
			return err
		}
	}
	return nil
}
