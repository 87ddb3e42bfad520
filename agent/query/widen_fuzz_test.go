package query

import (
	"testing"
	"time"
)

// FuzzWiden: a widened expression is valid and needs no more widening.
func FuzzWiden(f *testing.F) {
	for _, seed := range []string{
		"rate(x[30s])", "-increase(x[30s]) ^ 2", "max_over_time(rate(x[30s])[30s:10s])", "topk(3, last_over_time(x[1m]))",
		`sum by (a) (delta((x{a="b"}[1s] offset 1d)))`, "rate(x[1m] @ end())", "increase(x[0s])", "{}", "1",
	} {
		f.Add(seed, int64(60))
	}
	p := NewParser()
	limits := DefaultLimits()
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		if _, err := limits.scan(text); err != nil {
			return
		}
		expr, err := p.ParseExpr(text)
		if err != nil || limits.checkDepth(expr) != nil || checkSubqueries(expr) != nil {
			return
		}
		resolution := time.Duration(1+uint64(seconds)%86400) * time.Second
		wide := widen(expr, resolution)
		if needsWidening(wide, resolution) {
			t.Errorf("%q is not wide enough after widening: %s", text, wide)
		}
		if _, err := p.ParseExpr(wide.String()); err != nil {
			t.Errorf("%q became %q: %v", text, wide, err)
		}
	})
}
