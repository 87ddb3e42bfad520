package query_test

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// TestLabelsOfRollUps: what is said of labels is what the series of the same matchers have,
// in every tier: roll-ups are found by their name only.
func TestLabelsOfRollUps(t *testing.T) {
	c := openCoarse(t)
	end := c.end()
	is := func(kind labels.MatchType, name, value string) *labels.Matcher {
		return labels.MustNewMatcher(kind, name, value)
	}
	f := func(want []string, matchers ...*labels.Matcher) {
		t.Helper()
		// The seconds, a minute that they do not hold, and both.
		for _, times := range [][2]time.Time{{end.Add(-20 * time.Second), end}, {end.Add(-2 * time.Hour), end.Add(-time.Hour)}, {c.start, end}} {
			sets := [][]*labels.Matcher{matchers}
			all, _, err := c.Series(t.Context(), sets, times[0], times[1], 0)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, l := range all {
				names = append(names, l.Get(model.MetricNameLabel))
			}
			values, _, err := c.LabelValues(t.Context(), model.MetricNameLabel, sets, times[0], times[1], 0)
			if err != nil || !slices.Equal(values, want) || !slices.Equal(names, want) {
				t.Errorf("%v from %s: names %v, series %v, %v; want %v", matchers, times[0], values, names, err, want)
			}
			hosts, _, err := c.LabelValues(t.Context(), "host_name", sets, times[0], times[1], 0)
			if err != nil || (len(hosts) > 0) != (len(want) > 0) {
				t.Errorf("%v from %s: hosts %v, %v; want those of %v", matchers, times[0], hosts, err, want)
			}
			words, _, err := c.LabelNames(t.Context(), sets, times[0], times[1], 0)
			if err != nil || slices.Contains(words, "host_name") != (len(want) > 0) {
				t.Errorf("%v from %s: labels %v, %v; want those of %v", matchers, times[0], words, err, want)
			}
		}
	}
	f([]string{"alt"}, is(labels.MatchRegexp, model.MetricNameLabel, "alt.*"))
	f(nil, is(labels.MatchRegexp, model.MetricNameLabel, "alt_.*"))
	f([]string{"alt", "c_total"}, is(labels.MatchRegexp, model.MetricNameLabel, "alt.*|c_.*"), is(labels.MatchEqual, "host_name", "h"))
	f([]string{"alt_max"}, is(labels.MatchEqual, model.MetricNameLabel, "alt_max"))
	f([]string{"c_rate_min"}, is(labels.MatchEqual, model.MetricNameLabel, "c_rate_min"))
	f(nil, is(labels.MatchEqual, model.MetricNameLabel, "alt_max"), is(labels.MatchNotEqual, model.MetricNameLabel, "alt_max"))
}
