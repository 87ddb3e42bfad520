// Package storetest is a conformance suite for query.Source: the embedded tiers and
// any other storage must pass it. Run is the entry point; the rules are in rules.go
// and questions.go. It also makes history for tests: Recording is ten minutes of a
// real machine, Year a data directory as it is after a year.
//
// Only tests import it.
package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/query"
	"sysotel/agent/store"
)

// Sample is one point of a series, its time in milliseconds.
type Sample struct {
	T int64
	V float64 // A staleness marker where the series ends.
}

// Series is what a tier is to hold of one series, in the order of time.
type Series struct {
	Labels  labels.Labels
	Samples []Sample
}

// Open makes a tier that holds the series, and may hold others that have no
// label called Mark. All times lie in the past, within the tier's retention, on
// multiples of its resolution. After stop the tier is away, as when its server
// or its disk is gone.
type Open func(tb testing.TB, tier store.TierConfig, series []Series) (source query.Source, stop func())

// Mark is the label of all series that the rules ask for.
const Mark = "storetest"

// Rule is one thing that every tier keeps to.
type Rule struct {
	Name  string
	check func(ctx context.Context, s *subject) error
}

// Rules are all rules. The last one stops the tier.
func Rules() []Rule {
	return []Rule{
		{"it tells its name, its resolution and how far it reaches back", identity},
		{"selectors find what they match and nothing else", selectors},
		{"a range holds both its ends and nothing beyond", ranges},
		{"values are kept", values},
		{"a gap stays a gap", gaps},
		{"the end of a series is marked", ends},
		{"labels are told", words},
		{"any time may be asked for", anyTime},
		{"many may ask at once", concurrency},
		{"who went away gets all or an error, never a part", cancellation},
		{"nothing is held by a tier that is empty", emptiness},
		{"the least and the greatest have their names", extremes},
		{"questions in PromQL are answered as from plain samples", expressions},
		{"courses of series are those of plain samples", courses},
		{"a question keeps to its limits", limits},
		{"a tier that is away says so", away},
	}
}

// Run holds the tiers that open makes against every rule, one that is the
// finest and one that is not.
func Run(t *testing.T, open Open) {
	for _, resolution := range []time.Duration{time.Second, 5 * time.Minute} {
		t.Run(fmt.Sprintf("every %s", resolution), func(t *testing.T) {
			s := newSubject(t, open, resolution)
			for _, rule := range Rules() {
				t.Run(rule.Name, func(t *testing.T) {
					if err := rule.check(t.Context(), s); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

// subject is a tier with what it was given.
type subject struct {
	tier   store.TierConfig
	source query.Source
	stop   func()
	// empty is a tier of the same kind that was given nothing.
	empty query.Source
	// plain holds the same in the simplest way.
	plain  query.Source
	series []Series
	base   time.Time
}

func newSubject(tb testing.TB, open Open, resolution time.Duration) *subject {
	tb.Helper()
	s := &subject{
		tier: store.TierConfig{Resolution: resolution, Retention: 4 * steps * resolution},
		base: time.Now().Add(-(steps + 10) * resolution).Truncate(resolution),
	}
	s.series = s.make()
	s.source, s.stop = open(tb, s.tier, s.series)
	s.empty, _ = open(tb, store.TierConfig{Resolution: time.Second, Retention: s.tier.Retention}, nil)
	s.plain = newPlain(tb, s.tier, s.series)
	return s
}

// at is the time of a step in milliseconds.
func (s *subject) at(step int) int64 {
	return s.base.UnixMilli() + int64(step)*s.tier.Resolution.Milliseconds()
}
