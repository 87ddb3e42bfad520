package query

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/teststorage"
)

// chartTier is a tier with 20 gauges and 20 counters, their roll-ups and numbers of
// readings, over a time.
func chartTier(b testing.TB, resolution, span time.Duration) *fakeTier {
	b.Helper()
	// Blocks of the tier's own size, or the head would have thousands of chunks.
	s := teststorage.New(b, func(o *tsdb.Options) {
		for _, c := range store.Defaults().Tiers {
			if c.Resolution == resolution {
				o.MinBlockDuration = c.BlockRange().Milliseconds()
				o.MaxBlockDuration = 3 * o.MinBlockDuration
			}
		}
	})
	random := rand.New(rand.NewPCG(1, 2))
	var refs [121]storage.SeriesRef
	app := s.Appender(b.Context())
	put := func(i int, l labels.Labels, at time.Time, v float64) {
		ref, err := app.Append(refs[i], l, at.UnixMilli(), v)
		if err != nil {
			b.Fatal(err)
		}
		refs[i] = ref
	}
	var total [20]float64
	n := 0
	for at := day.Add(-span); !at.After(day); at = at.Add(resolution) {
		for i := range 20 {
			total[i] += 1e6 * random.Float64()
			id := fmt.Sprint(i)
			put(i, named("g", "i", id), at, random.Float64())
			put(20+i, named("c_total", "i", id), at, total[i])
			if resolution > time.Second {
				for k, name := range []string{"g_min", "g_max", "c_rate_min", "c_rate_max"} {
					put(40+20*k+i, named(name, "i", id), at, random.Float64())
				}
			}
		}
		put(120, named(countsName, familyLabel, "fam"), at, resolution.Seconds())
		if n++; n%1000 == 0 {
			if err := app.Commit(); err != nil {
				b.Fatal(err)
			}
			app = s.Appender(b.Context())
		}
	}
	if err := app.Commit(); err != nil {
		b.Fatal(err)
	}
	// Now, and not while it is measured.
	if err := s.Compact(b.Context()); err != nil {
		b.Fatal(err)
	}
	s.DisableCompactions()
	return &fakeTier{name: store.TierName(resolution), resolution: resolution, oldest: day.Add(-span), queryable: store.Whole(s, resolution)}
}

// BenchmarkCharts runs a chart's query, 20 series of at most 500 points, at the
// presets of the dashboard; p99-ms must stay below 50.
func BenchmarkCharts(b *testing.B) {
	tiers := []*fakeTier{
		chartTier(b, time.Second, 2*time.Hour),
		chartTier(b, time.Minute, 2*24*time.Hour),
		chartTier(b, 5*time.Minute, 15*24*time.Hour),
		chartTier(b, time.Hour, 365*24*time.Hour),
	}
	q := querierOn(tiers...)
	for _, preset := range []time.Duration{5 * time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour, 365 * 24 * time.Hour} {
		step := max(time.Second, preset/500).Round(time.Second)
		start := day.Add(-preset)
		run := func(name string, ask func() error) {
			b.Run(name+"/"+store.TierName(preset), func(b *testing.B) {
				b.ReportAllocs()
				var took []time.Duration
				for b.Loop() {
					began := time.Now()
					if err := ask(); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(began))
				}
				slices.Sort(took)
				b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
			})
		}
		promql := func(expr string) func() error {
			return func() error {
				a, err := q.Range(b.Context(), expr, start, day, step)
				if err == nil {
					a.Close()
				}
				return err
			}
		}
		run("gauge", promql("g"))
		run("max", promql(fmt.Sprintf("max_over_time(g_max[%s])", store.TierName(step))))
		run("rate", promql(fmt.Sprintf("rate(c_total[%s])", store.TierName(2*step))))
		run("series", func() error {
			_, err := q.Select(b.Context(), SeriesQuery{Matchers: matchers("g"), Start: start, End: day, MaxPoints: 500, Avg: true, Min: true, Max: true})
			return err
		})
		run("series-rate", func() error {
			_, err := q.Select(b.Context(), SeriesQuery{Matchers: matchers("c_total"), Start: start, End: day, MaxPoints: 500, Avg: true, Min: true, Max: true, AsRate: true})
			return err
		})
	}
}
