package query

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// countedQueryable counts the selections of a tier, and has as many series as it says.
type countedQueryable struct {
	storage.Queryable
	selections int
	series     int
}

// Querier implements storage.Queryable.
func (c *countedQueryable) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := c.Queryable.Querier(mint, maxt)
	return &countedQuerier{q, c}, err
}

type countedQuerier struct {
	storage.Querier
	of *countedQueryable
}

// Select implements storage.Querier.
func (c *countedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	c.of.selections++
	few := labels.MustNewMatcher(labels.MatchRegexp, "n", fmt.Sprintf("[0-%d]", c.of.series-1))
	return c.Querier.Select(ctx, sorted, hints, append(matchers, few)...)
}

// TestPassesOverWhatWasTooMuch: a tier in which a selector had too many series is not asked
// again, until the coarser one has so few that the finer can answer.
func TestPassesOverWhatWasTooMuch(t *testing.T) {
	var all []samples
	for i := range 10 {
		all = append(all, samples{named("g", "n", fmt.Sprint(i)), map[int64]float64{day.UnixMilli() - 60_000: 1}})
	}
	kept := storageOf(t, all...)
	fine, coarse := &countedQueryable{kept, 0, 10}, &countedQueryable{kept, 0, 10}
	limits := DefaultLimits()
	limits.Samples = 5 * 3601 // Five series.
	tiers := []*fakeTier{
		{name: "1s", resolution: time.Second, oldest: day.Add(-2 * time.Hour), queryable: fine},
		{name: "1m", resolution: time.Minute, oldest: day.Add(-24 * time.Hour), queryable: coarse},
	}
	q := NewQuerier(Config{Tiers: func() []Source { return Sources(tiers) }, Interval: time.Second, Limits: limits})
	ask := func(what, expr, tier string, fineSelections int) {
		t.Helper()
		fine.selections, coarse.selections = 0, 0
		a, err := q.Range(t.Context(), expr, day.Add(-time.Hour), day, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if len(a.Tiers) != 1 || a.Tiers[0].Tier != tier || fine.selections != fineSelections {
			t.Errorf("%s: tiers %v with %d selections of 1s, want %s with %d", what, a.Tiers, fine.selections, tier, fineSelections)
		}
	}
	ask("unknown", "g", "1m", 1)
	ask("known", "g", "1m", 0)
	ask("in another order", `{n=~".+",__name__="g"}`, "1m", 1)
	ask("known in another order", `g{n=~".+"}`, "1m", 0)
	ask("another selector", `g{n="1"}`, "1s", 1)
	fine.series, coarse.series = 3, 3
	ask("fewer", "g", "1s", 1)
	if coarse.selections == 0 {
		t.Error("fewer series were found without asking the coarser tier")
	}
	ask("known to be fewer", "g", "1s", 1)
	if coarse.selections != 0 {
		t.Error("the coarser tier was asked although the finer one can answer")
	}
	fine.series, coarse.series = 10, 10
	ask("more again", "g", "1m", 1)
	ask("a part is fixed", "g @ end()", "1s", 1)
}

// TestCountsAreBounded: of many selectors and of long ones nothing stays for ever.
func TestCountsAreBounded(t *testing.T) {
	t.Parallel()
	c, tier := newCounts(), &fakeTier{name: "1s"}
	for i := range 10 * maxCounts {
		c.note(tier, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "n", fmt.Sprint(i))}, 1)
	}
	if len(c.of) > maxCounts {
		t.Errorf("%d selectors are remembered, want at most %d", len(c.of), maxCounts)
	}
	before := len(c.of)
	c.note(tier, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "n", fmt.Sprintf("%*d", maxCountKey, 1))}, 1)
	if len(c.of) != before {
		t.Error("a long selector is remembered")
	}
}
