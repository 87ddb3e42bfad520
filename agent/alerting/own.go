package alerting

import (
	"context"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"

	"sysotel/agent/query"
)

// The series that this package holds itself. They exist at the current time only,
// without look-back or staleness.
const (
	alertsName   = "ALERTS"
	forStateName = "ALERTS_FOR_STATE"
	// silentName is the number of seconds since each known machine last sent data.
	silentName = "sysotel_host_silent_seconds"
)

// nameOf is the value that matchers require of a label by equality, or "".
func nameOf(matchers []*labels.Matcher, label string) string {
	for _, m := range matchers {
		if m.Name == label && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// isOwn reports whether a selector is resolved here, whatever rules there are.
func isOwn(matchers []*labels.Matcher) bool {
	switch nameOf(matchers, model.MetricNameLabel) {
	case alertsName, forStateName, silentName:
		return true
	}
	return false
}

// present resolves the selectors of rules.
func (a *Alerting) present(ctx context.Context) storage.Queryable {
	return a.options.Querier.RuleQueryable(a.own(ctx))
}

// own resolves the selectors of series that this package holds.
func (a *Alerting) own(ctx context.Context) query.OwnSeries {
	return func(at int64, matchers []*labels.Matcher) ([]promql.Sample, bool, error) {
		name := nameOf(matchers, model.MetricNameLabel)
		switch name {
		case "":
			return nil, false, nil
		case alertsName, forStateName:
			return a.ownAlerts(name, at, matchers), true, nil
		case silentName:
			samples, err := a.silentHosts(ctx, at, matchers)
			return samples, true, err
		}
		// The results of recording rules.
		var samples []promql.Sample
		found := false
		for _, r := range a.byName[name] {
			if r.alerting != nil {
				continue
			}
			found = true
			for _, sample := range r.recorded {
				if matches(sample.Metric, matchers) {
					samples = append(samples, promql.Sample{Metric: sample.Metric, T: at, F: sample.F})
				}
			}
		}
		return samples, found, nil
	}
}

// ownAlerts are the series of pending and firing alerts.
func (a *Alerting) ownAlerts(name string, at int64, matchers []*labels.Matcher) (samples []promql.Sample) {
	candidates := a.rules
	if rule := nameOf(matchers, model.AlertNameLabel); rule != "" {
		candidates = a.byName[rule]
	}
	for _, r := range candidates {
		if r.alerting == nil {
			continue
		}
		for _, alert := range r.alerting.ActiveAlerts() {
			b := labels.NewBuilder(alert.Labels).Set(model.MetricNameLabel, name).Set(model.AlertNameLabel, r.Name())
			v := float64(alert.ActiveAt.Unix())
			if name == alertsName {
				b.Set("alertstate", alert.State.String())
				v = 1
			}
			if series := b.Labels(); (alert.State == rules.StateFiring || alert.State == rules.StatePending) && matches(series, matchers) {
				samples = append(samples, promql.Sample{Metric: series, T: at, F: v})
			}
		}
	}
	return samples
}

// hostsTimeout bounds the listing of machines, which delays all rules.
const hostsTimeout = 3 * time.Second

// silentHosts are the series of silentName.
func (a *Alerting) silentHosts(ctx context.Context, at int64, matchers []*labels.Matcher) (samples []promql.Sample, err error) {
	if a.options.Hosts == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, hostsTimeout)
	defer cancel()
	hosts, err := a.options.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		series := labels.FromStrings(model.MetricNameLabel, silentName, "host_name", h.Name)
		if matches(series, matchers) {
			samples = append(samples, promql.Sample{Metric: series, T: at, F: max(0, time.UnixMilli(at).Sub(h.LastSeen).Seconds())})
		}
	}
	return samples, nil
}

// matches reports whether labels satisfy all matchers.
func matches(series labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(series.Get(m.Name)) {
			return false
		}
	}
	return true
}
