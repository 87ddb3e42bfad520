package victoriametrics_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"sysotel/agent/query/victoriametrics"
	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
	"sysotel/otel-collector/programs"
)

// BenchmarkSelect reads a chart's data from a real node.
func BenchmarkSelect(b *testing.B) {
	for _, c := range []struct {
		name    string
		tier    time.Duration
		series  int
		samples int
	}{
		{"an hour at 1s of 1 series", time.Second, 1, 3600},
		{"a day at 1m of 16 series", time.Minute, 16, 1440},
		{"a year at 1h of 1 series", time.Hour, 1, 8760},
		{"a year at 1h of 16 series", time.Hour, 16, 8760},
	} {
		b.Run(c.name, func(b *testing.B) {
			_, url := programs.StartVictoriaMetrics(b, "-retentionPeriod=2y")
			start := time.Now().Add(-time.Duration(c.samples) * c.tier).Truncate(c.tier)
			all := make([]storetest.Series, c.series)
			for i := range all {
				all[i].Labels = labels.FromStrings("__name__", "g", "host_name", "h", "n", fmt.Sprint(i))
				for k := range c.samples {
					at := start.Add(time.Duration(k) * c.tier)
					all[i].Samples = append(all[i].Samples, storetest.Sample{T: at.UnixMilli(), V: float64(k*7919%10000) / 10000})
				}
			}
			write(b, url, all)
			node, err := victoriametrics.New(victoriametrics.Options{URL: url, Tier: store.TierConfig{Resolution: c.tier, Retention: 2 * 365 * 24 * time.Hour}})
			if err != nil {
				b.Fatal(err)
			}
			mint, maxt := start.UnixMilli(), time.Now().UnixMilli()
			b.ReportAllocs()
			for b.Loop() {
				q, err := node.Queryable().Querier(mint, maxt)
				if err != nil {
					b.Fatal(err)
				}
				set, n := q.Select(b.Context(), true, &storage.SelectHints{Start: mint, End: maxt}, labels.MustNewMatcher(labels.MatchEqual, "__name__", "g")), 0
				for set.Next() {
					n++
				}
				if set.Err() != nil || n != c.series {
					b.Fatalf("%d series, %v", n, set.Err())
				}
			}
		})
	}
}
