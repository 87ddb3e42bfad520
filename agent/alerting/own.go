package alerting

import (
	"context"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// The series that this package makes beside those of recording rules.
const (
	alertsName   = "ALERTS"
	forStateName = "ALERTS_FOR_STATE"
	// silentName is the number of seconds since each known machine last sent data. It is
	// known at the current time only.
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

// isOwn reports whether a selector is of series that nothing measures.
func isOwn(matchers []*labels.Matcher) bool {
	switch nameOf(matchers, model.MetricNameLabel) {
	case alertsName, forStateName, silentName:
		return true
	}
	return false
}

// present resolves the selectors of rules at a time.
func (a *Alerting) present(ctx context.Context, at time.Time) storage.Queryable {
	return a.options.Querier.RuleQueryable(a.own(ctx, at))
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
