// Package difftest holds the answers of agent/query against those of a real Prometheus,
// the module's TSDB and engine, that kept every second of the same history. Read
// expressions.go first (what is asked and how far an answer may be off), then history.go
// (what was measured), moments.go (when it is asked) and bound.go (what is allowed).
//
// Only tests import it.
package difftest

import (
	"slices"
	"strings"
	"testing"

	"sysotel/agent/query"
)

// Subject is what is tested: a querier on some tiers that hold a history.
type Subject struct {
	Querier *query.Querier
	// Tiers are its tiers, finest first.
	Tiers []query.Source
	// Known are the expressions that are known to be answered wrongly, with the reason.
	Known map[string]string
	// Every is set to ask at every such moment only. If it is not, each of Known must be
	// wrong at least once.
	Every int
	// Coarse is set if coarser tiers than the finest that reaches back answer ranges.
	Coarse bool
}

// Run asks every expression at every moment and fails the test for each answer that is
// further off than its bound.
func Run(t *testing.T, s Subject, h *History, p *Prometheus) {
	t.Logf("seed %d: %s to %s", h.Seed, h.Start().UTC().Format(clockTime), h.End().UTC().Format(clockTime))
	for text := range s.Known {
		if !slices.ContainsFunc(Expressions(), func(e Expression) bool { return e.Text == text }) {
			t.Errorf("%s is known to be wrong, but it is not asked", text)
		}
	}
	for _, e := range Expressions() {
		why, known := s.Known[e.Text]
		t.Run(e.Text, func(t *testing.T) {
			t.Parallel()
			c := &comparison{Subject: s, prometheus: p, expression: e, history: h, known: map[string]map[string]float64{}}
			c.all(t.Context(), t)
			switch {
			case known && len(c.wrong) > 0:
				t.Logf("known to be wrong, %d times: %s; such as %s", len(c.wrong), why, c.wrong[0])
			case known && s.Every == 0:
				t.Errorf("it is right at all moments: remove it from the list of those known to be wrong")
			case len(c.wrong) > 0:
				t.Errorf("seed %d: %d of %d answers are wrong:\n%s", h.Seed, len(c.wrong), c.asked, strings.Join(c.wrong[:min(len(c.wrong), most)], "\n"))
			}
		})
	}
}

// most is how many wrong answers of an expression are shown.
const most = 4

const clockTime = "2006-01-02 15:04:05.999"
