package alerting

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"sysotel/agent/query"
)

// Check reports the validation errors of the rules of a configuration.
func (c Config) Check(q Querier, channels []string, metrics func(string) (Metric, bool), wrong func(path string, value any, rule string)) {
	a := &Alerting{options: Options{Config: c, Querier: q, Metrics: metrics}, channels: channels, interval: c.Interval, log: discard(), parser: query.NewParser()}
	l := &loader{parser: a.parser, querier: q, channels: channels, interval: c.Interval, log: a.log}
	if _, errs := l.thresholdDocument(FromConfig, "", c.Thresholds, metrics); len(errs) > 0 {
		for _, m := range errs {
			var value any
			if m.Value != "" {
				value = m.Value
			}
			wrong("thresholds"+m.Field, value, m.Rule)
		}
		return
	}
	if _, _, err := a.load(apiRules{}); err != nil {
		for line := range strings.Lines(err.Error()) {
			wrong("rules", nil, strings.TrimSpace(line))
		}
	}
}

// Unmeasured returns a warning for each rule of a configuration that cannot have a result
// for want of a metric, because no metric of the catalogue has its name and no rule
// records it. The built-in rules are left out.
func (c Config) Unmeasured(q Querier, channels []string, metrics func(string) (Metric, bool), all Catalogue) (warnings []string) {
	c.Defaults = false
	a := &Alerting{options: Options{Config: c, Querier: q, Metrics: metrics}, channels: channels, interval: c.Interval, log: discard(), parser: query.NewParser(), byName: map[string][]*rule{}}
	active, _, err := a.load(apiRules{})
	if err != nil {
		return nil // Check reports it.
	}
	for _, r := range active {
		a.byName[r.Name()] = append(a.byName[r.Name()], r)
	}
	a.sight(active)
	known := newNames(slices.Clone(all.Metrics), all.REST)
	for _, s := range a.sightings {
		switch name := nameOf(s.matchers, model.MetricNameLabel); {
		case isOwn(s.matchers):
			s.seen = isSilence(name) // Whether there are other machines is not known here.
		default:
			s.seen = name == "" || known.has[name]
		}
	}
	for _, r := range active {
		var missing []NoSeries
		for _, s := range r.need.missing() {
			missing = append(missing, a.explainName(s, known))
		}
		if len(missing) > 0 {
			warnings = append(warnings, fmt.Sprintf("%s: rule %s cannot have a result: %s", r.where, shown(r.Name()), textOfAll(missing)))
		}
	}
	return warnings
}
