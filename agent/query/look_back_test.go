package query

import (
	"testing"
	"time"
)

// TestLookBack: a query may choose how long a sample is valid, on each tier not less than
// the time between two of its points.
func TestLookBack(t *testing.T) {
	held := storageOf(t, samples{named("g"), map[int64]float64{60_000: 1}})
	tiers := map[time.Duration]*Querier{}
	for _, resolution := range []time.Duration{time.Second, 10 * time.Second} {
		tiers[resolution] = querierOn(&fakeTier{resolution.String(), resolution, time.Unix(-1000, 0), held})
	}
	for _, c := range []struct {
		resolution, asked time.Duration
		age               int64 // of the sample
		found             bool
	}{
		{time.Second, 0, 2, true}, {time.Second, 0, 3, false},
		{time.Second, time.Minute, 59, true}, {time.Second, time.Minute, 61, false},
		{time.Second, time.Second, 0, true}, {time.Second, time.Second, 1, false},
		{10 * time.Second, time.Second, 24, true}, {10 * time.Second, 15 * time.Second, 14, true}, {10 * time.Second, 15 * time.Second, 16, false},
	} {
		for _, q := range []string{"g", "sum(g)", "timestamp(g)"} {
			result, err := tiers[c.resolution].Instant(WithLookBack(t.Context(), c.asked), q, time.Unix(60+c.age, 0))
			if err != nil {
				t.Fatal(err)
			}
			if got := written(result.Value) != ""; got != c.found {
				t.Errorf("%s on %s, %s asked, %d s after the sample: found %v, want %v", q, c.resolution, c.asked, c.age, got, c.found)
			}
			result.Close()
		}
	}
}
