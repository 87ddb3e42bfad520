// Package storetest is a conformance suite for query.Source: the embedded tiers and
// any other storage must pass it. Run is the entry point; the rules are in rules.go
// and queries.go. It also makes history for tests: Recording is ten minutes of a
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

// Series has the samples of one series in order of time.
type Series struct {
	Labels  labels.Labels
	Samples []Sample
}

// Open makes a tier with the series; it may have others without the label Mark. All
// times are in the past, within the tier's retention, and multiples of its
// resolution. After stop the tier is down, as if its server or disk were gone.
type Open func(tb testing.TB, tier store.TierConfig, series []Series) (source query.Source, stop func())

// Mark is a label of all series of the suite.
const Mark = "storetest"

// Rule is one requirement for every tier.
type Rule struct {
	Name  string
	check func(ctx context.Context, s *subject) error
}

// Rules lists the rules. The last one stops the tier.
func Rules() []Rule {
	return []Rule{
		{"name, resolution and oldest sample are right", identity},
		{"selectors return exactly what they match", selectors},
		{"a range includes both ends and nothing beyond", ranges},
		{"values are preserved", values},
		{"a gap stays a gap", gaps},
		{"the end of a series has a staleness marker", ends},
		{"label names and values are complete", labelNames},
		{"any time is a valid range", anyTime},
		{"concurrent queries work", concurrency},
		{"a canceled query returns everything or an error", cancellation},
		{"an empty tier has no samples", emptiness},
		{"minimum and maximum have names", minMax},
		{"PromQL returns the same as for the reference", expressions},
		{"series queries return the same as for the reference", seriesQueries},
		{"limits are enforced", limits},
		{"a tier that is down returns errors", down},
	}
}

// Run checks every rule with two tiers, one that is the finest and one that is not.
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

// subject is a tier under test.
type subject struct {
	tier   store.TierConfig
	source query.Source
	stop   func()
	// empty is a tier of the same kind without samples.
	empty query.Source
	// reference has the same samples.
	reference query.Source
	series    []Series
	base      time.Time
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
	s.reference = newReference(tb, s.tier, s.series)
	return s
}

// at returns the time of a step in milliseconds.
func (s *subject) at(step int) int64 {
	return s.base.UnixMilli() + int64(step)*s.tier.Resolution.Milliseconds()
}
