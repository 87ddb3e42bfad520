package query

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// TestRulesHaveTheirOwnTurn: whatever clients ask for, a rule is evaluated at once.
func TestRulesHaveTheirOwnTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		tier := &fakeTier{name: "1s", resolution: time.Second, oldest: day.Add(-time.Hour), queryable: storage.QueryableFunc(func(int64, int64) (storage.Querier, error) {
			<-release
			return storage.NoopQuerier(), nil
		})}
		q := querierOn(tier)
		ended := make(chan struct{})
		for i := range 20 {
			go func() {
				_, _ = q.Instant(WithClient(t.Context(), fmt.Sprint(i)), "g", day) // Only the turns matter.
				ended <- struct{}{}
			}()
		}
		synctest.Wait()
		if q.light.free != 0 || q.light.waiting != 20-q.config.Limits.Concurrency {
			t.Errorf("%d turns are free and %d wait", q.light.free, q.light.waiting)
		}
		present := storage.QueryableFunc(func(int64, int64) (storage.Querier, error) { return storage.NoopQuerier(), nil })
		if _, err := q.EvalRule(t.Context(), "g > 1", day, present); err != nil {
			t.Errorf("the rule: %v", err)
		}
		close(release)
		for range 20 {
			<-ended
		}
	})
}

// TestRulesAreBounded: a rule that would take too much fails like a query.
func TestRulesAreBounded(t *testing.T) {
	q := querierOn(busy(t))
	present := q.RuleQueryable(nil)
	expr := nested(`label_replace(%s, "a", "$1$1", "a", "(.*)")`, `label_replace(vector(1), "a", "xxxxxxxxxxxxxxxx", "", "")`, 30)
	var known *Error
	if _, err := q.EvalRule(t.Context(), expr, day, present); !asQueryError(err, &known) || !strings.Contains(err.Error(), "too much memory") {
		t.Errorf("error %v, want too much memory", err)
	}
	if v, err := q.EvalRule(t.Context(), "m_total >= 0", day.Add(9*time.Minute), present); err != nil || len(v) != 3000 {
		t.Errorf("%d series, %v; want 3000", len(v), err)
	}
}

// TestResultsThatNobodyReadsAreBounded: one client can hold the largest result, and never
// all that is allowed.
func TestResultsThatNobodyReadsAreBounded(t *testing.T) {
	h := newHeld()
	greedy, other := WithClient(t.Context(), "greedy"), WithClient(t.Context(), "other")
	take := func(ctx context.Context, bytes float64) func() {
		t.Helper()
		release, err := h.take(ctx, bytes)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	release := take(greedy, resultMemory)
	var known *Error
	if _, err := h.take(greedy, 1); !errors.As(err, &known) || known.Type != Unavailable || !strings.Contains(err.Error(), "12 MiB of results") {
		t.Errorf("error %v, want one of what has not been read", err)
	}
	if _, err := h.take(other, resultMemory+1); !errors.As(err, &known) || known.Type != Execution || !strings.Contains(err.Error(), "at most 12 MiB") {
		t.Errorf("error %v, want one of a result that is too large", err)
	}
	take(other, heldMemory-resultMemory)()
	release()
	release() // A second time does nothing.
	take(greedy, resultMemory)()
	if h.total != 0 || len(h.each) != 0 {
		t.Errorf("left over: %v, %v", h.total, h.each)
	}
}

// TestResultsCountUntilTheRequestEnds: of lookups and of the REST API.
func TestResultsCountUntilTheRequestEnds(t *testing.T) {
	q := querierOn(busy(t))
	end := day.Add(590 * time.Second)
	for name, ask := range map[string]func(context.Context) error{
		"series": func(ctx context.Context) error {
			_, _, err := q.Series(ctx, [][]*labels.Matcher{matchers("m_total")}, day, end, 0)
			return err
		},
		"select": func(ctx context.Context) error {
			_, err := q.Select(ctx, SeriesQuery{Matchers: append(matchers("m_total"), labels.MustNewMatcher(labels.MatchEqual, "device", "disk1")), Start: day, End: end, Step: 10 * time.Second, Avg: true})
			return err
		},
	} {
		ctx, cancel := context.WithCancel(WithClient(t.Context(), "a"))
		if err := ask(ctx); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if q.held.total < 100_000 {
			t.Errorf("%s: %v bytes are held", name, q.held.total)
		}
		cancel()
		for q.held.of("a") > 0 { // The function runs soon after.
			runtime.Gosched()
		}
	}
	if err := q.held.until(t.Context(), 2*heldMemory); err != nil {
		t.Errorf("a caller without a name: %v", err)
	}
}

// of is what a client holds.
func (h *held) of(client string) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.each[client]
}

// TestFormattingIsBounded: in length and time.
func TestFormattingIsBounded(t *testing.T) {
	q := querierOn(fourTiers(day)...)
	if text, err := q.Format(t.Context(), "a+b"); err != nil || text != "a + b" {
		t.Errorf("%q, %v", text, err)
	}
	long := nested("(%s)", `{a="`+strings.Repeat("x", 200_000)+`"}`, 190)
	if _, err := q.Format(t.Context(), long); err == nil || !strings.Contains(err.Error(), "too long to be formatted") {
		t.Errorf("error %.200v, want too long", err)
	}
}

// TestSelectorsAreBounded: in number and in the size of their regular expressions.
func TestSelectorsAreBounded(t *testing.T) {
	q := querierOn(fourTiers(day)...)
	f := func(want string, selectors ...string) {
		t.Helper()
		if _, err := q.Matchers(t.Context(), selectors); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f("201 selectors, at most 200", strings.Split(strings.TrimSuffix(strings.Repeat("g,", 201), ","), ",")...)
	large := `{a=~"(abc?d){900}"}`
	f("instructions", large, large, large, large, large)
	if _, err := q.Matchers(t.Context(), []string{large, `g{a=~"x.*"}`}); err != nil {
		t.Error(err)
	}
}

// TestDeadlineEndsAnEvaluation: also between two series, where the engine calls a
// slow function for each step.
func TestDeadlineEndsAnEvaluation(t *testing.T) {
	q := querierOn(busy(t))
	q.config.Limits.Timeout = 100 * time.Millisecond
	began := time.Now()
	_, err := q.Range(t.Context(), `quantile_over_time(0.5, m_total[10m])`, day, day.Add(590*time.Second), time.Second)
	var known *Error
	if !asQueryError(err, &known) || known.Type != Timeout {
		t.Errorf("error %v, want a timeout", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestLackOfMemoryTakesACoarserTier: a rule or a query whose seconds do not fit is answered
// by a coarser tier that can, and refused only where none can.
func TestLackOfMemoryTakesACoarserTier(t *testing.T) {
	tiers := fourTiers(day)
	for i, tier := range tiers {
		var all []samples
		for k := range 400 {
			name := "g_max"
			if i == 0 {
				name = "g"
			}
			all = append(all, samples{named(name, "i", fmt.Sprint(k)), map[int64]float64{day.UnixMilli(): float64(i)}})
		}
		tier.queryable = storageOf(t, all...)
	}
	q := querierOn(tiers...)
	f := func(expr string, want float64) {
		t.Helper()
		v, err := q.EvalRule(t.Context(), expr, day, q.RuleQueryable(nil))
		if err != nil || len(v) != 400 || v[0].F != want {
			t.Errorf("%s: %d values, %v; want 400 of tier %v", expr, len(v), err, want)
		}
	}
	f("max_over_time(g[1h])", 0)
	f("max_over_time(g[20h])", 1)
	var known *Error
	if _, err := q.EvalRule(t.Context(), "stddev_over_time(g[20h])", day, q.RuleQueryable(nil)); !asQueryError(err, &known) || !strings.Contains(err.Error(), "too much memory") {
		t.Errorf("error %v, want too much memory", err)
	}
}
