package query

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// TestSamplesOfAChart: a chart has the finest tier where that reaches while the number of
// samples allows it, the newest steps first; those that then have the same tier are
// evaluated as one.
func TestSamplesOfAChart(t *testing.T) {
	opened := map[string]int{}
	tier := func(resolution, span time.Duration) *fakeTier {
		s := samples{labels: named("g"), at: map[int64]float64{}}
		for at := day.Add(-span); !at.After(day); at = at.Add(resolution) {
			s.at[at.UnixMilli()] = float64(at.Unix() % 7)
		}
		name, inner := resolution.String(), storageOf(t, s)
		return &fakeTier{name: name, resolution: resolution, oldest: day.Add(-span), queryable: storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
			opened[name]++
			return inner.Querier(mint, maxt)
		})}
	}
	sources := Sources([]*fakeTier{tier(time.Minute, 5*time.Hour), tier(5*time.Minute, 10*time.Hour), tier(time.Hour, 48*time.Hour)})
	f := func(most float64, coarse int, want ...string) {
		t.Helper()
		clear(opened)
		limits := DefaultLimits()
		limits.Samples = most
		q := NewQuerier(Config{Tiers: func() []Source { return sources }, Names: fakeNames{}, Interval: time.Second, Limits: limits})
		r, err := q.Range(t.Context(), "g", day.Add(-20*time.Hour), day, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if len(r.Tiers) != len(want) {
			t.Fatalf("at most %g samples: tiers %v, want %v", most, r.Tiers, want)
		}
		before := day.Add(-21 * time.Hour)
		for i, span := range r.Tiers {
			if span.Tier != want[i] || !span.From.After(before) || span.To.Before(span.From) {
				t.Errorf("at most %g samples: tiers %v, want %v in order of time", most, r.Tiers, want)
			}
			before = span.To
		}
		matrix, _ := r.Value.(promql.Matrix)
		if len(matrix) != 1 || len(matrix[0].Floats) != 21 {
			t.Fatalf("at most %g samples: %v", most, matrix)
		}
		for i, p := range matrix[0].Floats {
			if at := day.Add(time.Duration(i-20) * time.Hour); p.T != at.UnixMilli() || p.F != float64(at.Unix()%7) {
				t.Errorf("at most %g samples: %v at %d, want that of %s", most, p, i, at)
			}
		}
		if opened["1h0m0s"] != coarse {
			t.Errorf("at most %g samples: the coarsest tier was opened %d times, want %d", most, opened["1h0m0s"], coarse)
		}
	}
	f(100_000, 1, "1h0m0s", "5m0s", "1m0s")
	f(270, 1, "1h0m0s", "1m0s") // What is left does not suffice for the five hours before.
	f(150, 1, "1h0m0s", "5m0s")
	f(5, 1, "1h0m0s")
}
