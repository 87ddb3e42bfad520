package query

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/value"
)

// TestRollupNamesAtTheFinestTier: an equality matcher on a roll-up's name returns
// the samples of the raw series, or their rate.
func TestRollupNamesAtTheFinestTier(t *testing.T) {
	at := func(seconds int64) int64 { return day.UnixMilli() + 1000*seconds }
	stale := math.Float64frombits(value.StaleNaN)
	fine := &fakeTier{name: "1s", resolution: time.Second, oldest: day.Add(-5 * time.Minute), queryable: storageOf(t,
		samples{named("g", "i", "a"), map[int64]float64{at(1): 5, at(2): 7}},
		samples{named("tricky_max", "i", "a"), map[int64]float64{at(1): 50, at(2): 70}},
		samples{named("other_max", "i", "a"), map[int64]float64{at(2): 1}},
		samples{named("c_total", "i", "a"), map[int64]float64{
			at(0): 100, at(1): 110, at(3): 150, // 10/s, then 20/s over a lost second
			at(4): 20, at(5): 25, // a reset, then 5/s
			at(400): 1000, at(401): 1001, // silent for longer than a rate may span
			at(402): stale, at(403): 2000, at(404): 2003,
		}})}
	coarse := &fakeTier{name: "1m", resolution: time.Minute, oldest: day.Add(-time.Hour), queryable: storageOf(t,
		samples{named("g_max", "i", "a"), map[int64]float64{at(-600): 99}})}
	q := querierOn(fine, coarse)
	f := func(expr string, seconds int64, want string) {
		t.Helper()
		a, err := q.Instant(t.Context(), expr, day.Add(time.Duration(seconds)*time.Second))
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			return
		}
		defer a.Close()
		if got := written(a.Value); got != want {
			t.Errorf("%s after %d s: %q, want %q", expr, seconds, got, want)
		}
	}
	f("g_max", 4, `{__name__="g_max", i="a"} 7@1772409604000`+"\n")
	f(`{__name__="g_min",i="a"}`, 4, `{__name__="g_min", i="a"} 7@1772409604000`+"\n")
	f(`g_max{i="b"}`, 4, "")
	f(`{__name__="g_max",__name__=~"g.*"}`, 4, `{__name__="g_max", i="a"} 7@1772409604000`+"\n")
	f(`{__name__="g_max",__name__!="g_max"}`, 4, "")
	// A name that only looks like a roll-up's is none.
	f("tricky_max", 4, `{__name__="tricky_max", i="a"} 70@1772409604000`+"\n")
	f("tricky_max_max", 4, `{__name__="tricky_max_max", i="a"} 70@1772409604000`+"\n")
	f("other_max", 4, `{__name__="other_max", i="a"} 1@1772409604000`+"\n")
	f("other_min", 4, "")
	// Rates: at the first second, over a lost one, a reset, a pause, an end.
	f("c_rate_max[1m]", 10, `{__name__="c_rate_max", i="a"} 10@1772409601000 20@1772409603000 5@1772409605000`+"\n")
	f("c_rate_min[1m]", 410, `{__name__="c_rate_min", i="a"} 1@1772410001000 3@1772410004000`+"\n")
	f("c_rate_max", 401, `{__name__="c_rate_max", i="a"} 1@1772410001000`+"\n")
	f("c_rate_max", 402, "")
	f("max_over_time(c_rate_max[1s])", 5, `{i="a"} 5@1772409605000`+"\n")
	// The coarser tier has the roll-up itself.
	f("g_max", -600, `{__name__="g_max", i="a"} 99@1772409000000`+"\n")
}
