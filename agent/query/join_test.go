package query

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestJoinedResultsEqualOneTiersResult: if two tiers hold the same, splitting the
// range between them changes nothing.
func TestJoinedResultsEqualOneTiersResult(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 5))
	var all []samples
	for i, name := range []string{"g", "g", "h", "c_total"} {
		s := samples{named(name, "i", string(rune('a'+i))), map[int64]float64{}}
		v := 1e6
		for k := range int64(1800) {
			if name == "h" && k > 600 && k < 900 {
				continue // A series that is there only part of the time.
			}
			v += random.Float64() * 10
			s.at[day.UnixMilli()+k*2000] = v
		}
		all = append(all, s)
	}
	shared := storageOf(t, all...)
	one := querierOn(&fakeTier{name: "all", resolution: time.Second, oldest: day, queryable: shared})
	one.config.Interval = 4 * time.Second
	expressions := []string{
		"g", "g + on() group_left h", "sum(g) by (i)", "changes(c_total[20s])", "resets(c_total[1m])", "last_over_time(c_total[40s])",
		"topk(1, g)", "g @ end()", "g - g @ start()", "avg_over_time(sum(g)[2m:10s])", "absent(h)", "g offset 30s", "g offset -10s",
		"label_replace(changes(c_total[20s]), \"x\", \"$1\", \"i\", \"(.*)\")", "time() - timestamp(g)", "count_values(\"v\", round(g / 1000))",
		"{__name__=~\"g|h\"}", "h and g", "sort_desc(h)", "quantile(0.5, {i=~\".\"})", "scalar(sum(h))",
	}
	joined := 0
	for range 400 {
		expr := expressions[random.IntN(len(expressions))]
		start := day.Add(time.Duration(random.IntN(1800)) * time.Second).Add(5 * time.Minute)
		end := start.Add(time.Duration(random.IntN(1200)) * time.Second)
		step := time.Second + time.Duration(random.IntN(1000))*time.Millisecond
		if random.IntN(4) == 0 {
			step *= 10
		}
		// The look-back is the same everywhere: that of a collector read every 4 s.
		cut := func(name string, resolution time.Duration, from time.Time) *fakeTier {
			return &fakeTier{name: name, resolution: resolution, oldest: from, queryable: shared}
		}
		middle := start.Add(time.Duration(random.Int64N(int64(end.Sub(start)) + 1)))
		many := querierOn(cut("1s", time.Second, middle), cut("2s", 2*time.Second, middle.Add(-2*time.Minute)), cut("4s", 4*time.Second, day))
		many.config.Interval = 4 * time.Second
		a, err := one.Range(t.Context(), expr, start, end, step)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		b, err := many.Range(t.Context(), expr, start, end, step)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		if len(b.Tiers) > 1 {
			joined++
		}
		if got, want := written(b.Value), written(a.Value); got != want {
			t.Fatalf("%s from %s to %s by %s joined of %v:\n%.2000s\nwant\n%.2000s", expr, start, end, step, b.Tiers, got, want)
		}
		a.Close()
		b.Close()
	}
	t.Logf("%d answers joined of several tiers", joined)
	if joined < 50 {
		t.Errorf("only %d answers were joined", joined)
	}
}
