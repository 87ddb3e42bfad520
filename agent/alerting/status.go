package alerting

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/rules"

	"sysotel/agent/query"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// stateOrder is the order of states, most severe first.
var stateOrder = map[State]int{Firing: 0, NoData: 1, Pending: 2, Resolved: 3, Inactive: 4}

// Alerts lists the current alerts, most severe state first, then newest first.
func (a *Alerting) Alerts() []Alert {
	a.mu.RLock()
	defer a.mu.RUnlock()
	now := a.options.Clock.Now()
	all := make([]Alert, 0, len(a.states))
	for _, t := range a.states {
		if t.State == Resolved && now.Sub(t.EndedAt) > resolvedFor {
			continue
		}
		value, texts := t.told()
		one := Alert{
			Fingerprint: t.Fingerprint, Rule: t.Rule, State: t.State, Severity: t.severity(), Host: t.Labels["host_name"],
			Labels: t.Labels, Annotations: maps.Clone(texts), Summary: summary(t.Rule, texts), Description: texts[annotationDescription],
			Threshold: t.Limit, Unit: t.Unit, Since: t.ActiveAt.UTC(), FiredAt: t.FiredAt, NoDataSince: t.NoDataSince, EndedAt: t.EndedAt,
			Silences: a.silencedBy(t.Labels, now), Flapping: t.Flapping, Channels: append([]string{}, t.Channels...), Link: a.link(t, now),
		}
		if value != nil {
			v := *value
			one.Value = &v
		}
		for _, c := range t.Changes {
			if now.Sub(c) <= flapWindow {
				one.Changes++
			}
		}
		if one.Host == "" {
			one.Host = a.options.Host
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(stateOrder[a.State], stateOrder[b.State]), b.Since.Compare(a.Since), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return all
}

// Rules lists all rules by name, including disabled ones.
func (a *Alerting) Rules() []RuleStatus {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var all []RuleStatus
	for _, r := range a.rules {
		all = append(all, a.describe(r, true))
	}
	for _, r := range a.disabled {
		all = append(all, a.describe(r, false))
	}
	for _, m := range a.misfits {
		all = append(all, m.describe())
	}
	slices.SortStableFunc(all, func(a, b RuleStatus) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// describe returns the status of a threshold that is not evaluated.
func (m misfit) describe() RuleStatus {
	t := m.threshold
	return RuleStatus{
		Name: t.Name, Source: FromAPI, File: apiRulesFile, Group: thresholdGroup, Enabled: t.Enabled, Expr: cmp.Or(t.Expr, t.Metric), For: cmp.Or(t.For, "0s"),
		Labels: map[string]string{}, Annotations: map[string]string{}, Severity: t.Severity, State: Inactive,
		Health: string(rules.HealthBad), Error: "it does not fit the configuration and is not evaluated: " + m.err.Error(), Threshold: &t,
	}
}

// lostChannels describes the rules from the API whose channels are not all configured.
// Their alerts go to those that are, or to all channels. The caller holds mu.
func (a *Alerting) lostChannels() string {
	var lost []string
	for _, r := range a.rules {
		if r.source != FromAPI || r.threshold == nil {
			continue
		}
		for _, name := range r.threshold.Channels {
			if !slices.Contains(a.channelNames(), name) {
				lost = append(lost, r.Name()+" ("+name+")")
			}
		}
	}
	if len(lost) == 0 {
		return ""
	}
	slices.Sort(lost)
	if n := len(lost); n > maxShown {
		lost = append(lost[:maxShown], fmt.Sprintf("and %d more", n-maxShown))
	}
	return "rules name channels that are not configured, so that their alerts go to the others they name, or to all: " + strings.Join(lost, ", ")
}

// ruleStatus returns one rule by name.
func (a *Alerting) ruleStatus(name string) (RuleStatus, error) {
	for _, r := range a.Rules() {
		if r.Name == name {
			return r, nil
		}
	}
	return RuleStatus{}, ErrUnknown
}

// describe returns the status of a rule. The caller holds mu.
func (a *Alerting) describe(r *rule, enabled bool) (s RuleStatus) {
	s = RuleStatus{
		Name: r.Name(), Source: r.source, File: r.file, Group: r.group, Enabled: enabled, Expr: query.Shown(r.expr.String()), For: "0s",
		Labels: r.Labels().Map(), Annotations: map[string]string{}, Severity: r.Labels().Get(severityLabel), State: Inactive,
		Health: string(r.Health()), EvaluatedAt: r.GetEvaluationTimestamp(), Seconds: r.GetEvaluationDuration().Seconds(), Threshold: r.threshold, Builtin: r.builtin,
	}
	if err := r.LastError(); err != nil {
		s.Error = err.Error()
	}
	if enabled {
		defer a.describeNoSeries(r, &s)
	}
	if r.alerting == nil {
		return s
	}
	s.For = model.Duration(r.alerting.HoldDuration()).String()
	if written, ok := r.Rule.(*rules.AlertingRule); ok {
		s.Annotations = written.Annotations().Map()
	}
	if !enabled {
		return s
	}
	for _, t := range a.states {
		if t.Owner != r.key || t.State == Resolved {
			continue
		}
		s.Alerts++
		if stateOrder[t.State] < stateOrder[s.State] {
			s.State = t.State
		}
	}
	return s
}

// describeNoSeries adds what a rule misses. The caller holds mu.
func (a *Alerting) describeNoSeries(r *rule, s *RuleStatus) {
	var off bool
	if s.NoSeries, off = a.noSeries(r); len(s.NoSeries) == 0 {
		return
	}
	state := WithoutSeries
	if off {
		state = Off
	} else if s.Health == string(rules.HealthGood) {
		s.Health = WithoutSeries
	}
	if s.State == Inactive {
		s.State = state
	}
}

// PrometheusGroup is a group of rules for Prometheus' API.
type PrometheusGroup struct {
	Name, File string
	Interval   float64
	Limit      int
	Rules      []PrometheusRule
}

// PrometheusRule is a rule with its state and its alerts, as in the rules library.
type PrometheusRule struct {
	Rule   rules.Rule
	State  rules.AlertState
	Alerts []*rules.Alert
	// NoSeries says which selectors have matched no series since the start, "" if the rule
	// can have a result.
	NoSeries string
}

// Groups lists the enabled rules for Prometheus' API.
func (a *Alerting) Groups() (groups []PrometheusGroup) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, r := range a.rules {
		i := slices.IndexFunc(groups, func(g PrometheusGroup) bool { return g.Name == r.group && g.File == r.file })
		if i < 0 {
			groups = append(groups, PrometheusGroup{Name: r.group, File: r.file, Interval: r.interval.Seconds(), Limit: r.limit})
			i = len(groups) - 1
		}
		one := PrometheusRule{Rule: r.Rule}
		if all, off := a.noSeries(r); off {
			one.NoSeries = "off: there is no such source: " + textOfAll(all)
		} else if len(all) > 0 {
			one.NoSeries = "no_series since the start: " + textOfAll(all)
		}
		if r.alerting != nil {
			one.State, one.Alerts = r.alerting.State(), r.alerting.ActiveAlerts()
		}
		groups[i].Rules = append(groups[i].Rules, one)
	}
	return groups
}
