package config

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"sysotel/agent/alerting"
	"sysotel/agent/export"
	"sysotel/agent/query"
	"sysotel/instruments"
)

// validateAlerting checks channels and rules. It parses every rule, so that an
// error in one is found before the agent runs.
func (c Config) validateAlerting(wrong func(path string, value any, rule string)) {
	under := func(path string, value any, rule string) { wrong("alerting."+path, value, rule) }
	c.Alerting.Rules.Validate(under)
	dir := c.DataDir
	if whole, err := filepath.Abs(dir); err == nil {
		dir = whole
	}
	c.Alerting.Notify.Validate(dir, under)
	// The querier only parses: it has no store.
	language := query.NewQuerier(query.Config{Limits: query.DefaultLimits()})
	c.Alerting.Rules.Check(language, c.Alerting.Notify.Names(), c.AlertMetric, under)
}

// Catalogue returns the names of all metrics that the agent can measure, in both
// conventions, and those of the REST API. An error is a name that Prometheus cannot have.
func (c Config) Catalogue() (all alerting.Catalogue, err error) {
	own := c.Instruments
	own.Conventions = instruments.Both
	names, err := export.OwnNames(instruments.NewCollectors(own, nil), instruments.Both, c.Export)
	if err != nil {
		return alerting.Catalogue{}, err
	}
	all.Metrics = slices.Collect(maps.Keys(names))
	for _, node := range instruments.NodeNames() {
		all.Metrics = append(all.Metrics, node.Name) // Queries know them in any case.
	}
	if len(c.Export.Prometheus.Jobs) > 0 {
		all.Metrics = append(all.Metrics, query.UpName)
	}
	for _, q := range instruments.Quantities() {
		all.REST = append(all.REST, q.Name)
	}
	return all, nil
}

// Unmeasured returns a warning for each rule of the configuration that names a metric
// which is none of the agent's and none of the others.
func (c Config) Unmeasured(others []string) []string {
	all, err := c.Catalogue()
	if err != nil {
		return []string{err.Error()}
	}
	all.Metrics = append(all.Metrics, others...)
	language := query.NewQuerier(query.Config{Limits: query.DefaultLimits()})
	return c.Alerting.Rules.Unmeasured(language, c.Alerting.Notify.Names(), c.AlertMetric, all)
}

// AlertMetric translates a metric name of the REST API to PromQL; ok is false for an
// unknown name.
func (c Config) AlertMetric(name string) (alerting.Metric, bool) {
	conventions := c.Instruments.Conventions
	for _, q := range instruments.Quantities() {
		if q.Name != name || q.Metric == nil {
			continue
		}
		selection, ok := q.Metric.Select(conventions, q.Values)
		names, err := export.PrometheusNames(q.Metric, conventions)
		if !ok || err != nil || len(names) == 0 {
			return alerting.Metric{}, false
		}
		m := alerting.Metric{Name: names[0], Labels: map[string]string{}, Alias: map[string]string{}, Scale: q.Scale, Unit: q.Unit}
		for i, key := range selection.Keys {
			label, value := strings.ReplaceAll(key, ".", "_"), selection.Values[i]
			if value == "" {
				value = "*" // A threshold applies to each device, not to their sum.
			}
			m.Labels[label] = value
			own := q.Metric.Keys[i].Name
			m.Alias[own] = label
			switch {
			case own == "cpu":
				m.Alias["core"] = label
			case own == "device" && strings.HasPrefix(name, "net_"):
				m.Alias["interface"] = label
			}
		}
		return m, true
	}
	return alerting.Metric{}, false
}
