package query

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// TestComputedDurations: a duration that is computed gives what the same duration written
// out gives, on one tier and on two, and as the expression of a rule.
func TestComputedDurations(t *testing.T) {
	raw := map[int64]float64{}
	for s := range int64(600) {
		raw[s*1000] = float64(s * s)
	}
	held := storageOf(t, samples{named("g"), raw})
	epoch := time.Unix(0, 0)
	fine := &fakeTier{"1s", time.Second, epoch.Add(300 * time.Second), held}
	coarse := &fakeTier{"10s", 10 * time.Second, epoch.Add(-time.Hour), held}
	for _, q := range []*Querier{querierOn(fine), querierOn(fine, coarse)} {
		for computed, plain := range map[string]string{
			"sum_over_time(g[5s*4])":                     "sum_over_time(g[20s])",
			"avg_over_time(g[2*step()])":                 "avg_over_time(g[20s])",
			"max_over_time(g[max_of(range()/10,1m)])":    "max_over_time(g[60s])",
			"g offset -(5s+1s)":                          "g offset -6s",
			"max_over_time(g[1m:step()] offset (1m/2))":  "max_over_time(g[1m:10s] offset 30s)",
			"sum_over_time(g[-5s+15s]) + g offset (2*3)": "sum_over_time(g[10s]) + g offset 6s",
		} {
			var got [2]string
			for i, text := range []string{computed, plain} {
				result, err := q.Range(t.Context(), text, epoch.Add(100*time.Second), epoch.Add(600*time.Second), 10*time.Second)
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				got[i] = written(result.Value)
				result.Close()
			}
			if got[0] != got[1] || got[0] == "" {
				t.Errorf("%s\n%swant\n%s", computed, got[0], got[1])
			}
		}
		expr, err := q.Parse("max_over_time(g[5s*2])")
		if err != nil || expr.(*parser.Call).Args[0].(*parser.MatrixSelector).Range != 10*time.Second || expr.String() != "max_over_time(g[5s * 2])" {
			t.Errorf("%v, %v", expr, err)
		}
		for text, want := range map[string]string{
			"max_over_time(g[5s-5s])":       "duration must be greater than 0",
			"max_over_time(g[step()])":      "duration must be greater than 0",
			"g offset (1s/0)":               "division by zero",
			"max_over_time(g[2*1y:1s])":     "63072000 points",
			"max_over_time(g[5s*])":         "parse error",
			"max_over_time(g[1m] anchored)": "not enabled",
		} {
			if _, err := q.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", text, err, want)
			}
		}
	}
}
