package query

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/prometheus/storage"
)

// day is a time on the edge of every bucket.
var day = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// TestReadsTheFinestTierThatCovers covers the rule of choosing.
func TestReadsTheFinestTierThatCovers(t *testing.T) {
	q := querierOn(fourTiers(day)...)
	ago := func(d time.Duration) time.Time { return day.Add(-d) }
	f := func(expr string, start, end time.Time, step time.Duration, want string) {
		t.Helper()
		var a *Result
		var err error
		if step == 0 {
			a, err = q.Instant(t.Context(), expr, end)
		} else {
			a, err = q.Range(t.Context(), expr, start, end, step)
		}
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			return
		}
		defer a.Close()
		var got []string
		for i, span := range a.Tiers {
			got = append(got, span.Tier)
			if i > 0 && !span.From.Equal(a.Tiers[i-1].To.Add(step)) {
				t.Errorf("%s: tier %s starts at %s, but the one before ends at %s", expr, span.Tier, span.From, a.Tiers[i-1].To)
			}
		}
		if len(got) > 0 && step > 0 && (!a.Tiers[0].From.Equal(start) || a.Tiers[len(got)-1].To.After(end) || end.Sub(a.Tiers[len(got)-1].To) >= step) {
			t.Errorf("%s: the spans %v do not make %s to %s", expr, a.Tiers, start, end)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s from %s by %s: tiers %v, want %s", expr, start, step, got, want)
		}
	}
	const hour, week = time.Hour, 7 * 24 * time.Hour
	// Whatever the step and the range.
	for _, step := range []time.Duration{time.Second, time.Minute, hour} {
		f("g", ago(hour), day, step, "1s")
		f("rate(c_total[1h])", ago(2*hour), day, step, "1s")
		f("max_over_time(rate(c_total[5s])[1h:5m])", ago(hour), day, step, "1s")
	}
	// Part by part.
	f("g", ago(3*24*hour), day, time.Minute, "1m 1s")
	f("g", ago(8*24*hour), day, 90*time.Second, "5m 1m 1s")
	f("g", ago(40*24*hour), day, 6*time.Minute, "1h 5m 1m 1s")
	f("g", ago(364*24*hour), day, 24*hour, "1h 5m 1m 1s")
	f("g", ago(40*24*hour), ago(38*24*hour), time.Minute, "1h")
	// Range, offset and look-back reach back too.
	f("rate(c_total[20h])", ago(5*hour), day, time.Second*30, "1m 1s")
	f("max_over_time(g[20h:1m])", ago(5*hour), day, time.Second*30, "1m 1s")
	f("g offset 23h", ago(2*hour), day, 30*time.Second, "1m 1s")
	f("g offset 2d", ago(hour), day, 30*time.Second, "1m")
	f("max_over_time(g[1h:1m] offset 2d)", ago(hour), day, 30*time.Second, "1m")
	f("g @ "+fmt.Sprint(ago(2*24*hour).Unix()), ago(hour), day, 30*time.Second, "1m")
	f("g @ start()", ago(25*hour), day, 30*time.Second, "1m")
	f("g @ end()", ago(25*hour), day, 30*time.Second, "1s")
	// Nothing covers: the tier that reaches back furthest.
	f("g", ago(2*365*24*hour), ago(366*24*hour), hour, "1h")
	f("rate(c_total[1h])", time.Time{}, day, 0, "1s")
	f("rate(c_total[25h])", time.Time{}, day, 0, "1m")
	f("g", time.Time{}, ago(2*24*hour), 0, "1m")
	f("g", time.Time{}, ago(24*hour), 0, "1m") // The look-back lies before.
	f("g", time.Time{}, ago(24*hour-3*time.Second), 0, "1s")
	f("g[1h]", time.Time{}, day, 0, "1s")
	f("g[2d]", time.Time{}, day, 0, "1m")
	// The coarsest of all selectors is said.
	f("g - g offset 2d", ago(hour), day, hour, "1m")
	// Brief series are in the two finest tiers only.
	f("brief", ago(2*week), day, hour, "1m 1s")
	// Nothing is read from any tier.
	f("1 + 1", ago(hour), day, hour, "")
	f("vector(1)", time.Time{}, day, 0, "")
}

// TestReadsNoMoreSamplesThanAllowed: a query over a range reads coarser tiers if the
// finest would have too many samples, where a coarser one can answer.
func TestReadsNoMoreSamplesThanAllowed(t *testing.T) {
	tiers := fourTiers(day)
	for _, tier := range tiers {
		tier.queryable = storageOf(t, samples{named("g"), map[int64]float64{day.UnixMilli(): 1}}, samples{named("g_max"), map[int64]float64{day.UnixMilli(): 1}},
			samples{named("c_total"), map[int64]float64{day.UnixMilli(): 1}})
	}
	q := querierOn(tiers...)
	q.config.Limits.Samples = 2000
	f := func(expr string, width, step time.Duration, want string) {
		t.Helper()
		a, err := q.Range(t.Context(), expr, day.Add(-width), day, step)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		defer a.Close()
		if len(a.Tiers) != 1 || a.Tiers[0].Tier != want {
			t.Errorf("%s over %s by %s: tiers %v, want %s", expr, width, step, a.Tiers, want)
		}
	}
	f("g", 30*time.Minute, time.Hour, "1s")
	f("g", 2*time.Hour, time.Hour, "1m")
	f("max_over_time(g[20h])", 2*time.Hour, time.Hour, "1m")
	f("g + g", 20*time.Hour, time.Hour, "5m")
	f("rate(c_total[5m])", 20*time.Hour, time.Hour, "1m")
	// Points that are further apart than steps, or that do not fit a range, answer nothing.
	f("g", 2*time.Hour, 30*time.Second, "1s")
	f("rate(c_total[30s])", 2*time.Hour, time.Hour, "1s")
	f("max_over_time(g[1h:30s])", 2*time.Hour, time.Hour, "1s")
	// What a coarser tier does not know is read from the finest, however much it is.
	f("stddev_over_time(g[5m])", 2*time.Hour, time.Hour, "1s")
	f("changes(c_total[5m])", 2*time.Hour, time.Hour, "1s")
	f("resets(c_total[5m])", 2*time.Hour, time.Hour, "1m")
	f("resets(g[5m])", 2*time.Hour, time.Hour, "1s")
	// Instant queries never give up seconds.
	a, err := q.Instant(t.Context(), "max_over_time(g[20h])", day)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if len(a.Tiers) != 1 || a.Tiers[0].Tier != "1s" {
		t.Errorf("tiers %v, want 1s", a.Tiers)
	}
}

// TestRefusesWhatNoTierCanCount: functions of the points themselves are not
// widened, and the error has the smallest range allowed.
func TestRefusesWhatNoTierCanCount(t *testing.T) {
	q := querierOn(fourTiers(day)...)
	start := day.Add(-3 * 24 * time.Hour)
	f := func(expr, want string) {
		t.Helper()
		_, err := q.Range(t.Context(), expr, start, day, 5*time.Minute)
		var known *Error
		if !asQueryError(err, &known) || known.Type != BadData || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %q", expr, err, want)
		}
	}
	for _, function := range []string{"count_over_time", "sum_over_time", "present_over_time", "absent_over_time"} {
		f(function+"(g[30s])", "the smallest range allowed there is 1m")
	}
	for _, function := range []string{"stddev_over_time", "stdvar_over_time", "changes", "resets"} {
		f(function+"(g[90s])", "the smallest range allowed there is 2m")
	}
	f("sum(1 + count_over_time(g[30s]))", "the 1m tier")
	if a, err := q.Range(t.Context(), "count_over_time(g[1m])", start, day, 5*time.Minute); err != nil {
		t.Error(err)
	} else {
		a.Close()
	}
}

// TestLookBackMakesNoGhostsAndNoHoles: a vanished series ends after two and a half
// seconds at 1 s, and a point of 1 h is valid until the next.
func TestLookBackMakesNoGhostsAndNoHoles(t *testing.T) {
	at := day.UnixMilli()
	tiers := []*fakeTier{
		{name: "1s", resolution: time.Second, oldest: day.Add(-time.Hour), queryable: storageOf(t, samples{named("g"), map[int64]float64{at: 1}})},
		{name: "1h", resolution: time.Hour, oldest: day.Add(-24 * time.Hour), queryable: storageOf(t, samples{named("h"), map[int64]float64{at - 5*3600e3: 2}})},
	}
	q := querierOn(tiers...)
	f := func(expr string, when time.Time, want int) {
		t.Helper()
		a, err := q.Instant(t.Context(), expr, when)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if got := strings.Count(written(a.Value), "\n"); got != want {
			t.Errorf("%s at %s: %d series, want %d", expr, when, got, want)
		}
	}
	f("g", day.Add(2*time.Second), 1)
	f("g", day.Add(3*time.Second), 0)
	f("h", day.Add(-3*time.Hour), 1)
	f("h", day.Add(-2*time.Hour), 0)
	// A slow collector needs a longer look-back in every tier.
	slow := NewQuerier(Config{Tiers: func() []Source { return Sources(tiers) }, Interval: 10 * time.Second, Limits: DefaultLimits()})
	if got := slow.lookBack(tiers[0], 0); got != 25*time.Second {
		t.Errorf("the look-back is %s, want 25s", got)
	}
	if got := slow.lookBack(tiers[1], 0); got != 150*time.Minute {
		t.Errorf("the look-back is %s, want 2h30m", got)
	}
}

func TestStoreThatIsNotOpenIsUnavailable(t *testing.T) {
	q := querierOn(&fakeTier{name: "1s", resolution: time.Second, queryable: storage.QueryableFunc(func(int64, int64) (storage.Querier, error) {
		return nil, store.ErrOpening
	})})
	_, err := q.Instant(t.Context(), "g", day)
	var known *Error
	if !asQueryError(err, &known) || known.Type != Unavailable {
		t.Errorf("error %v, want that the store is not open", err)
	}
}
