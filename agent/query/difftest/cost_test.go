package difftest_test

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"sysotel/agent/query"
	"sysotel/agent/query/difftest"
	"sysotel/agent/store"
)

// BenchmarkIncrease takes the increase of 40 counters over a day of seconds, here and in
// Prometheus with the same seconds in its own storage.
func BenchmarkIncrease(b *testing.B) {
	const text = "increase(c_total[1d])"
	h := difftest.NewCounters(1, 40, difftest.Noon, 25*time.Hour)
	s := h.Store(b, []store.TierConfig{{Resolution: time.Second, Retention: 48 * time.Hour}})
	s.Maintain(b.Context())
	ours := difftest.Querier(s, query.Sources(s.Tiers()))
	theirs := difftest.NewPrometheus(b, h)
	b.Run("tiers", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, err := ours.Instant(b.Context(), text, h.End())
			if err != nil {
				b.Fatal(err)
			}
			r.Close()
		}
	})
	b.Run("prometheus", func(b *testing.B) {
		b.ReportAllocs()
		engine := difftest.NewEngine(parser.NewParser(parser.Options{}))
		for b.Loop() {
			q, err := engine.NewInstantQuery(b.Context(), theirs.Queryable(), nil, text, h.End())
			if err != nil {
				b.Fatal(err)
			}
			if r := q.Exec(b.Context()); r.Err != nil {
				b.Fatal(r.Err)
			}
			q.Close()
		}
	})
}
