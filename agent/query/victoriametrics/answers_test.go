package victoriametrics_test

import (
	"testing"
	"time"

	"sysotel/agent/query"
	"sysotel/agent/query/difftest"
	"sysotel/agent/query/victoriametrics"
	"sysotel/agent/store"
	"sysotel/otel-collector/programs"
)

// TestAnswersOfVictoriaMetrics asks nodes that have what the tiers of a store have. Each
// question takes requests, so it asks at some moments only.
func TestAnswersOfVictoriaMetrics(t *testing.T) {
	h := difftest.NewHistory(1, difftest.Noon, difftest.ShortLength)
	s := h.Store(t, difftest.Tiers())
	var nodes []query.Source
	for _, tier := range s.Tiers() {
		_, url := programs.StartVictoriaMetrics(t, "-retentionPeriod=100y")
		write(t, url, all(t, tier))
		// A node answers within its retention before now only, and the history is older.
		node, err := victoriametrics.New(victoriametrics.Options{URL: url, Tier: store.TierConfig{Resolution: tier.Resolution(), Retention: 100 * 365 * 24 * time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		// A node knows its oldest sample by the day.
		nodes = append(nodes, &reaching{node, tier})
	}
	difftest.Run(t, difftest.Subject{Querier: difftest.Querier(s, nodes), Tiers: nodes, Known: difftest.Known(), Every: 5}, h, difftest.NewPrometheus(t, h))
}
