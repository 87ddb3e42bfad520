package query

import (
	"testing"
	"time"
)

// TestWidensOnlyWhatMeansTheSame covers ranges that are too short for a tier.
func TestWidensOnlyWhatMeansTheSame(t *testing.T) {
	f := func(resolution time.Duration, text, want string) {
		t.Helper()
		expr := parse(t, text)
		changed := needsWidening(expr, resolution)
		if changed != (text != want) {
			t.Errorf("%s at %s: is changed %v", text, resolution, changed)
		}
		if got := widen(expr, resolution).String(); got != want {
			t.Errorf("%s at %s: %s, want %s", text, resolution, got, want)
		}
		parse(t, want)
	}
	const m = time.Minute
	f(m, "rate(x[1m])", "rate(x[2m])")
	f(m, "rate(x[2m])", "rate(x[2m])")
	f(m, `irate(x{a="b"}[5s] offset 1d)`, `irate(x{a="b"}[2m] offset 1d)`)
	f(m, "deriv(x[10s])", "deriv(x[2m])")
	f(5*m, "avg_over_time(x[1m])", "avg_over_time(x[5m])")
	f(5*m, "min_over_time(x[5m])", "min_over_time(x[5m])")
	f(5*m, "sum by (a) (max_over_time((x[1m]))) / 2", "sum by (a) (max_over_time((x[5m]))) / 2")
	f(5*m, "topk(3, last_over_time(x[1m]))", "topk(3, last_over_time(x[5m]))")
	f(m, "increase(x[30s])", "(increase(x[2m]) * 0.25)")
	f(m, "delta(x[1m])", "(delta(x[2m]) * 0.5)")
	f(m, "-increase(x[30s]) ^ 2", "-(increase(x[2m]) * 0.25) ^ 2")
	f(m, "increase(x[2m])", "increase(x[2m])")
	f(m, "count_over_time(x[30s])", "count_over_time(x[30s])")
	f(m, "sum_over_time(x[30s])", "sum_over_time(x[30s])")
	f(m, "stddev_over_time(x[30s])", "stddev_over_time(x[30s])")
	f(m, "changes(x[30s])", "changes(x[30s])")
	f(m, "resets(x[30s])", "resets(x[30s])")
	f(m, "predict_linear(x[30s], 60)", "predict_linear(x[30s], 60)")
	f(m, "quantile_over_time(0.9, x[30s])", "quantile_over_time(0.9, x[30s])")
	// A subquery makes its own points; its inner expression may need widening.
	f(m, "max_over_time(x[30s:10s])", "max_over_time(x[30s:10s])")
	f(m, "max_over_time(rate(x[30s])[30s:10s])", "max_over_time(rate(x[2m])[30s:10s])")
	f(m, "predict_linear(x[5m], scalar(rate(y[30s])))", "predict_linear(x[5m], scalar(rate(y[2m])))")
	f(m, "clamp_max(rate(x[1m]), 5)", "clamp_max(rate(x[2m]), 5)")
}

// TestWidenedRangesHaveResults: over a range shorter than the tier's resolution a
// rate is that of the tier, and an increase is that rate times the range.
func TestWidenedRangesHaveResults(t *testing.T) {
	c := samples{named("c_total"), map[int64]float64{}}
	g := samples{named("g"), map[int64]float64{}}
	for i := range int64(60) {
		at := day.UnixMilli() + i*60e3
		c.at[at], g.at[at] = float64(1e6+600*i), float64(i)
	}
	q := querierOn(&fakeTier{name: "1m", resolution: time.Minute, oldest: day, queryable: storageOf(t, c, g)})
	when := day.Add(30*time.Minute + 17*time.Second)
	f := func(expr string, want string) {
		t.Helper()
		a, err := q.Instant(t.Context(), expr, when)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if got := written(a.Value); got != want {
			t.Errorf("%s is %q, want %q", expr, got, want)
		}
	}
	stamp := "@1772411417000\n"
	f("rate(c_total[5s])", "{} 10"+stamp)
	f("irate(c_total[5s])", "{} 10"+stamp)
	f("increase(c_total[5s])", "{} 50"+stamp)
	f("avg_over_time(g[5s])", "{} 30"+stamp)
	f("last_over_time(g[5s])", `{__name__="g"} 30`+stamp)
}
