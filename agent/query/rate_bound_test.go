package query

import (
	"fmt"
	"math"
	"testing"
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/prometheus/promql"
)

// TestRatesAgreeWithinOneResolutionStep: PromQL looks at the samples inside the
// window only, so it ignores the first resolution step of the window and
// extrapolates from the rest. The bound is therefore, for a window and a time that
// are whole multiples of the resolution:
//
//	|increase − exact| ≤ resolution × (maximum rate − minimum rate)
//
// and for rate the same divided by the window. It holds on every tier, so two tiers
// differ by at most the sum of their bounds.
func TestRatesAgreeWithinOneResolutionStep(t *testing.T) {
	c := samples{named("c_total"), map[int64]float64{}}
	exact := map[int64]float64{}
	total, minimum, maximum := 1e12, math.Inf(1), math.Inf(-1)
	for k := range int64(4 * 3600) {
		at := day.UnixMilli() + 1000*k
		rate := 1000 + 900*math.Sin(float64(k)/300) + 90*math.Sin(float64(k)/7)
		minimum, maximum = min(minimum, rate), max(maximum, rate)
		total += rate
		c.at[at], exact[at] = total, total
	}
	var tiers []*fakeTier
	for _, r := range []time.Duration{time.Second, time.Minute, 5 * time.Minute} {
		kept := samples{c.labels, map[int64]float64{}}
		for at, v := range c.at {
			if at%r.Milliseconds() == 0 {
				kept.at[at] = v
			}
		}
		tiers = append(tiers, &fakeTier{name: store.TierName(r), resolution: r, oldest: day, queryable: storageOf(t, kept)})
	}
	checked := 0
	for _, tier := range tiers {
		q := querierOn(tier)
		for _, window := range []time.Duration{2, 3, 10} {
			window *= tier.resolution
			for _, function := range []string{"rate", "increase"} {
				a, err := q.Range(t.Context(), fmt.Sprintf("%s(c_total[%s])", function, store.TierName(window)), day.Add(time.Hour), day.Add(4*time.Hour-time.Second), 5*time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range a.Value.(promql.Matrix)[0].Floats {
					increase := p.F
					if function == "rate" {
						increase *= window.Seconds()
					}
					want := exact[p.T] - exact[p.T-window.Milliseconds()]
					if bound := tier.resolution.Seconds() * (maximum - minimum) * (1 + 1e-9); math.Abs(increase-want) > bound {
						t.Errorf("%s over %s on %s at %d: %v, want %v within %v", function, window, tier.name, p.T, increase, want, bound)
					}
					checked++
				}
				a.Close()
			}
		}
	}
	if checked < 600 {
		t.Errorf("only %d points were checked", checked)
	}
}
