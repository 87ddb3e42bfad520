package query

import (
	"slices"
	"testing"
	"time"
)

// TestRewritesForACoarserTier: a function reads what a bucket keeps for it, and ranges
// that are too short are widened only where the result means the same.
func TestRewritesForACoarserTier(t *testing.T) {
	q := querierOn(fourTiers(day)...)
	f := func(text, want string) {
		t.Helper()
		p, err := q.plan(parse(t, text), text, steps{start: day, end: day, count: 1})
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.rewrite(slices.Repeat([]int{1}, len(p.windows)))
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
		if _, err := q.engineParser.ParseExpr(got); err != nil {
			t.Errorf("%s became %s: %v", text, got, err)
		}
	}
	const start = `__tier__=~"1m `
	f(`g`, `g{`+start+`value - step"}`)
	f(`g{a="b"} offset 1d`, `g{`+start+`value - step",a="b"} offset 1d`)
	f(`max_over_time(g[5m])`, `max_over_time(g{`+start+`max max_over_time step"}[5m59s999ms] offset -59s999ms)`)
	f(`min_over_time((g[5s]))`, `min_over_time((g{`+start+`min min_over_time step 5s"}[1m4s999ms] offset -59s999ms))`)
	f(`sum_over_time(g[5m])`, `sum_over_time(g{`+start+`sum sum_over_time step"}[5m])`)
	f(`count_over_time(g[5m] @ 7)`, `sum_over_time(g{`+start+`count count_over_time step"}[5m] @ 7.000)`)
	f(`avg_over_time(g[5m])`, `sum_over_time(g{`+start+`mean avg_over_time:5m step"}[1ms])`)
	f(`avg_over_time({__name__=~"g|h"}[5m])`, `avg_over_time({__name__=~"g|h",`+start+`points avg_over_time step"}[5m])`)
	f(`rate(c_total[30s] offset 1d)`, `sum_over_time(c_total{`+start+`one rate:30s step 30s"}[1ms] offset 1d)`)
	f(`-increase(c_total[30s]) ^ 2`, `-sum_over_time(c_total{`+start+`one increase:30s step 30s"}[1ms]) ^ 2`)
	f(`irate(c_total[5s])`, `irate(c_total{`+start+`one irate step 5s"}[2m])`)
	f(`topk(3, last_over_time(g[5s]))`, `topk(3, last_over_time(g{`+start+`one last_over_time step 5s"}[1m]))`)
	f(`quantile_over_time(0.9, g[5m])`, `quantile_over_time(0.9, g{`+start+`one quantile_over_time step"}[5m])`)
	f(`max_over_time(rate(c_total[30s])[30s:10s])`, `max_over_time(sum_over_time(c_total{`+start+`one rate:30s subquery 10s"}[1ms])[30s:10s])`)
	f(`absent_over_time(g[5m])`, `absent_over_time(g{`+start+`points absent_over_time step"}[5m])`)
	f(`1 + 1`, `1 + 1`)
	if got := withoutTags(`g{a="b",` + start + `value of x"} + h{` + start + `max"}[5m] + g{` + start + `sum",a="b"}`); got != `g{a="b"} + h[5m] + g{a="b"}` {
		t.Errorf("without tags: %s", got)
	}
}

// FuzzRewrite: what is written for a coarser tier is valid.
func FuzzRewrite(f *testing.F) {
	for _, seed := range []string{
		"rate(x[30s])", "-increase(x[30s]) ^ 2", "max_over_time(rate(x[30s])[30s:10s])", "topk(3, last_over_time(x[1m]))",
		`sum by (a) (delta((x{a="b"}[1s] offset 1d)))`, "rate(x[1m] @ end())", "avg_over_time(x[5s*2])", "{}", "1", `info(x, {a="b"})`,
	} {
		f.Add(seed)
	}
	q := querierOn(fourTiers(day)...)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := q.config.Limits.scan(text); err != nil {
			return
		}
		s := steps{start: day, end: day.Add(time.Hour), step: time.Minute, count: 61}
		expr, err := q.parse(text)
		if err != nil || q.resolveDurations(expr, text, s) != nil {
			return
		}
		p, err := q.plan(expr, text, s)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if _, err := p.rewrite(slices.Repeat([]int{2}, len(p.windows))); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		coarse, _ := p.rewrite(slices.Repeat([]int{2}, len(p.windows)))
		if _, err := q.engineParser.ParseExpr(coarse); err != nil {
			t.Errorf("%q became %q: %v", text, coarse, err)
		}
	})
}
