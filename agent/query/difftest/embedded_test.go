package difftest_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"sysotel/agent/query"
	"sysotel/agent/query/difftest"
)

var update = flag.Bool("update", false, "write ANSWERS.md")

// TestAnswersOfTheStore asks the tiers of an embedded store.
func TestAnswersOfTheStore(t *testing.T) {
	ask(t, difftest.NewHistory(1, difftest.Noon, difftest.ShortLength), 0)
}

// TestAnswersOfCoarserTiers asks of a store that may read nearly nothing, so that a coarser
// tier answers wherever it can. No tier is written until the end.
func TestAnswersOfCoarserTiers(t *testing.T) {
	askCoarse(t, difftest.NewHistory(1, difftest.Noon.Add(38*time.Minute+20*time.Second), difftest.ShortLength))
}

// TestSoakAnswers asks about histories of other seeds for as long as SYSOTEL_TEST_SOAK
// says, or about that of SYSOTEL_TEST_SEED.
func TestSoakAnswers(t *testing.T) {
	if seed, err := strconv.ParseUint(os.Getenv("SYSOTEL_TEST_SEED"), 10, 64); err == nil {
		ask(t, random(seed), 1)
		askCoarse(t, random(seed))
		return
	}
	text := os.Getenv("SYSOTEL_TEST_SOAK")
	if text == "" {
		t.Skip("set SYSOTEL_TEST_SOAK=10m to run it")
	}
	long, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < long; {
		seed := rand.Uint64()
		ask(t, random(seed), 1)
		askCoarse(t, random(seed))
	}
}

// random is a history of which also the end and the length follow from the seed.
func random(seed uint64) *difftest.History {
	r := rand.New(rand.NewPCG(seed, 2))
	end := difftest.Noon.Add(time.Duration(r.Int64N(int64(24*time.Hour/time.Second))) * time.Second)
	return difftest.NewHistory(seed, end, difftest.ShortLength+time.Duration(r.IntN(12*3600))*time.Second)
}

// ask asks about a history; with every 0 the known must be wrong.
func ask(t *testing.T, h *difftest.History, every int) {
	t.Run(h.Name(), func(t *testing.T) {
		s := h.Store(t, difftest.Tiers())
		tiers := query.Sources(s.Tiers())
		subject := difftest.Subject{Querier: difftest.Querier(s, tiers), Tiers: tiers, Known: difftest.Known(), Every: every}
		difftest.Run(t, subject, h, difftest.NewPrometheus(t, h))
	})
}

// askCoarse asks about a history of which nearly nothing may be read at once.
func askCoarse(t *testing.T, h *difftest.History) {
	t.Run(h.Name()+", coarse", func(t *testing.T) {
		s := h.Store(t, difftest.Tiers())
		tiers, limits := query.Sources(s.Tiers()), query.DefaultLimits()
		limits.Samples = 1
		subject := difftest.Subject{Querier: difftest.Limited(s, tiers, limits), Tiers: tiers, Every: 2, Coarse: true}
		difftest.Run(t, subject, h, difftest.NewPrometheus(t, h))
	})
}

// TestGoldenAnswers holds the document of what is asked against the table that is tested.
func TestGoldenAnswers(t *testing.T) {
	const path = "../ANSWERS.md"
	text := difftest.Document()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // A document.
			t.Fatal(err)
		}
		return
	}
	written, err := os.ReadFile(path)
	if err != nil || string(written) != text {
		t.Errorf("%s is not the table that is tested (%v); run make golden", path, err)
	}
	if n := len(difftest.Expressions()); n < 150 {
		t.Errorf("only %d expressions are asked", n)
	}
}
