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

// TestBadQueriesAreRefused: with a clear error of the right type.
func TestBadQueriesAreRefused(t *testing.T) {
	q := querierOn(fourTiers(day)...)
	f := func(expr string, start, end time.Time, step time.Duration, want string) {
		t.Helper()
		_, err := q.Range(t.Context(), expr, start, end, step)
		var known *Error
		if !asQueryError(err, &known) || known.Type != BadData || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v of %.50q, want a %s that says %q", err, expr, BadData, want)
		}
	}
	hour := day.Add(-time.Hour)
	f("sum(", hour, day, time.Minute, "parse error")
	f("", hour, day, time.Minute, "no expression")
	f("g\xff", hour, day, time.Minute, "UTF-8")
	f("g[5m]", hour, day, time.Minute, "range query")
	f("nosuch(g)", hour, day, time.Minute, "unknown function")
	f("g", hour, day, 0, "step")
	f("g", hour, day, -time.Second, "step")
	f("g", day, hour, time.Minute, "before start")
	f("g", day.AddDate(-10, 0, 0), day, time.Minute, "11,000 points")
	f("g", day.Add(-1_000_000*time.Second), day, time.Second, "11,000 points")
	f("g", time.Unix(-1<<50, 0), day, 100*365*24*time.Hour, "years")
	f(strings.Repeat("1+", 200_000)+"1", hour, day, time.Minute, "400001 bytes")
	f(strings.Repeat("1+", 10_000)+"1", hour, day, time.Minute, "more than 2000 operators and parentheses")
	f("{a="+strings.Repeat(`"b",a=`, 10_000)+`"b"}`, hour, day, time.Minute, "more than 20000 names")
	f(strings.Repeat("(", 1000)+"g"+strings.Repeat(")", 1000), hour, day, time.Minute, "nested")
	f(strings.Repeat("-", 5000)+"g", hour, day, time.Minute, "nested")
	f("max_over_time(g[1y:1s])", hour, day, time.Minute, "31536000 points")
	f("max_over_time(max_over_time(g[2d:1s])[1d:1m])", hour, day, time.Minute, "172800 points")
	// Ten years with a long step are fine.
	a, err := q.Range(t.Context(), "g", day.AddDate(-10, 0, 0), day, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	if _, err := q.Instant(t.Context(), "g", time.Unix(1<<50, 0)); err == nil {
		t.Error("an instant far beyond the years is answered")
	}
}

// TestQueriesStayWithinTheirMemory: a query fails before it holds more samples than
// allowed.
func TestQueriesStayWithinTheirMemory(t *testing.T) {
	var all []samples
	for i := range 50 {
		s := samples{named("g", "i", fmt.Sprint(i)), map[int64]float64{}}
		for k := range int64(2000) {
			s.at[day.UnixMilli()+1000*k] = float64(k)
		}
		all = append(all, s)
	}
	q := querierOn(&fakeTier{name: "1s", resolution: time.Second, oldest: day, queryable: storageOf(t, all...)})
	limits := DefaultLimits()
	limits.Memory = 320_000
	q = NewQuerier(Config{Tiers: q.config.Tiers, Interval: time.Second, Limits: limits})
	bombs := []string{
		"g", "g * on() group_left() sum(g)", `{__name__=~".+"}`, `label_replace(g, "a", "b", "", "")`,
		"sum_over_time(g[30m:1s]) * on() group_right() sum_over_time(sum(g)[30m:1s])", "g or g or g or g",
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, bomb := range bombs {
		_, err := q.Range(t.Context(), bomb, day, day.Add(2000*time.Second), time.Second)
		var known *Error
		if !asQueryError(err, &known) || known.Type != Execution || !strings.Contains(err.Error(), "are allowed; use narrower matchers") {
			t.Errorf("%s: error %v, want what takes too much memory", bomb, err)
		}
	}
	runtime.ReadMemStats(&after)
	// 320 kB are allowed; the series, pools and labels take some more.
	if used := (after.TotalAlloc - before.TotalAlloc) / uint64(len(bombs)); used > 8<<20 {
		t.Errorf("a refused query took %d bytes", used)
	}
	if _, err := q.Select(t.Context(), SeriesQuery{Matchers: matchers("g"), Start: day, End: day.Add(2000 * time.Second), Step: time.Second, Avg: true}); err == nil || !strings.Contains(err.Error(), "too much memory") {
		t.Errorf("error %v, want too much memory", err)
	}
}

// TestQueriesWaitForASlot: at most a number run at once; a query that waits too
// long, or is canceled, gets an error.
func TestQueriesWaitForASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, most := 0, 0
		release := make(chan struct{})
		tier := &fakeTier{name: "1s", resolution: time.Second, oldest: day.Add(-time.Hour), queryable: storage.QueryableFunc(func(int64, int64) (storage.Querier, error) {
			running++
			most = max(most, running)
			<-release
			running--
			return storage.NoopQuerier(), nil
		})}
		limits := DefaultLimits()
		limits.Concurrency, limits.Timeout = 1, 10*time.Second
		q := NewQuerier(Config{Tiers: func() []Source { return []Source{tier} }, Limits: limits})
		outcome := make(chan error, 3)
		ask := func(ctx context.Context) {
			_, err := q.Instant(ctx, "g", day)
			outcome <- err
		}
		go ask(t.Context())
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		go ask(ctx)
		go ask(t.Context())
		synctest.Wait()
		cancel()
		f := func(want ErrorType) {
			t.Helper()
			var known *Error
			if err := <-outcome; !asQueryError(err, &known) || known.Type != want {
				t.Errorf("error %v, want %s", err, want)
			}
		}
		f(Canceled)
		f(Timeout) // The clock runs when everybody waits.
		close(release)
		<-outcome
		if most != 1 {
			t.Errorf("%d queries ran at once, want 1", most)
		}
	})
}

func TestErrorsOfTheStorageAreExecutionErrors(t *testing.T) {
	broken := errors.New("a chunk is broken")
	q := querierOn(&fakeTier{name: "1s", resolution: time.Second, oldest: day.Add(-time.Hour), queryable: storage.QueryableFunc(func(int64, int64) (storage.Querier, error) {
		return brokenQuerier{storage.NoopQuerier(), broken}, nil
	})})
	_, err := q.Instant(t.Context(), "g", day)
	var known *Error
	if !asQueryError(err, &known) || known.Type != Execution || !errors.Is(err, broken) {
		t.Errorf("error %v, want one of execution, as Prometheus has it", err)
	}
}

type brokenQuerier struct {
	storage.Querier
	err error
}

func (q brokenQuerier) Select(context.Context, bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
	return storage.ErrSeriesSet(q.err)
}
