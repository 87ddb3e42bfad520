package promql

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"

	"sysotel/agent/alerting"
	"sysotel/agent/query"
)

// ruleGroup is a group of rules as Prometheus lists it.
type ruleGroup struct {
	Name           string    `json:"name"`
	File           string    `json:"file"`
	Rules          []any     `json:"rules"`
	Interval       float64   `json:"interval"`
	Limit          int       `json:"limit"`
	EvaluationTime float64   `json:"evaluationTime"`
	LastEvaluation time.Time `json:"lastEvaluation"`
}

// evaluation is the last evaluation of a rule.
type evaluation struct {
	Health         rules.RuleHealth `json:"health"`
	LastError      string           `json:"lastError,omitempty"`
	EvaluationTime float64          `json:"evaluationTime"`
	LastEvaluation time.Time        `json:"lastEvaluation"`
}

// alertingRule is an alerting rule.
type alertingRule struct {
	State         string        `json:"state"`
	Name          string        `json:"name"`
	Query         string        `json:"query"`
	Duration      float64       `json:"duration"`
	KeepFiringFor float64       `json:"keepFiringFor"`
	Labels        labels.Labels `json:"labels"`
	Annotations   labels.Labels `json:"annotations"`
	Alerts        []activeAlert `json:"alerts"`
	evaluation
	Type string `json:"type"`
}

// recordingRule is a recording rule.
type recordingRule struct {
	Name   string        `json:"name"`
	Query  string        `json:"query"`
	Labels labels.Labels `json:"labels"`
	evaluation
	Type string `json:"type"`
}

// activeAlert is a pending or firing alert.
type activeAlert struct {
	Labels          labels.Labels `json:"labels"`
	Annotations     labels.Labels `json:"annotations"`
	State           string        `json:"state"`
	ActiveAt        time.Time     `json:"activeAt"`
	KeepFiringSince *time.Time    `json:"keepFiringSince,omitempty"`
	Value           string        `json:"value"`
}

// rules lists the evaluated rules with their alerts.
func (a *api) rules(w http.ResponseWriter, r *http.Request) error {
	kind := r.Form.Get("type")
	if kind != "" && kind != "alert" && kind != "record" {
		return &query.Error{Type: query.BadData, Err: errors.New("not supported value " + strconv.Quote(kind))}
	}
	bare := r.Form.Get("exclude_alerts") == "true"
	groups := []ruleGroup{}
	for _, g := range a.config.Rules() {
		if !among(r.Form["file[]"], g.File) || !among(r.Form["rule_group[]"], g.Name) {
			continue
		}
		listed := ruleGroup{Name: g.Name, File: g.File, Rules: []any{}, Interval: g.Interval}
		for _, one := range g.Rules {
			if !among(r.Form["rule_name[]"], one.Rule.Name()) {
				continue
			}
			listed.EvaluationTime += one.Rule.GetEvaluationDuration().Seconds()
			listed.LastEvaluation = one.Rule.GetEvaluationTimestamp()
			if rule := describeRule(one, kind, bare); rule != nil {
				listed.Rules = append(listed.Rules, rule)
			}
		}
		if len(listed.Rules) > 0 {
			groups = append(groups, listed)
		}
	}
	return succeed(w, struct {
		Groups []ruleGroup `json:"groups"`
	}{groups})
}

// describeRule returns a rule, nil if its kind was not requested.
func describeRule(one alerting.PrometheusRule, kind string, bare bool) any {
	state := evaluation{Health: one.Rule.Health(), EvaluationTime: one.Rule.GetEvaluationDuration().Seconds(), LastEvaluation: one.Rule.GetEvaluationTimestamp()}
	if err := one.Rule.LastError(); err != nil {
		state.LastError = err.Error()
	}
	switch rule := one.Rule.(type) {
	case *rules.AlertingRule:
		if kind == "record" {
			return nil
		}
		listed := alertingRule{
			State: one.State.String(), Name: rule.Name(), Query: rule.Query().String(), Duration: rule.HoldDuration().Seconds(), KeepFiringFor: rule.KeepFiringFor().Seconds(),
			Labels: rule.Labels(), Annotations: rule.Annotations(), Alerts: []activeAlert{}, evaluation: state, Type: "alerting",
		}
		if !bare {
			listed.Alerts = activeAlerts(one.Alerts)
		}
		return listed
	default:
		if kind == "alert" {
			return nil
		}
		return recordingRule{Name: rule.Name(), Query: rule.Query().String(), Labels: rule.Labels(), evaluation: state, Type: "recording"}
	}
}

func activeAlerts(found []*rules.Alert) []activeAlert {
	listed := []activeAlert{}
	for _, alert := range found {
		one := activeAlert{
			Labels: alert.Labels, Annotations: alert.Annotations, State: alert.State.String(), ActiveAt: alert.ActiveAt.UTC(),
			Value: strconv.FormatFloat(alert.Value, 'e', -1, 64),
		}
		if !alert.KeepFiringSince.IsZero() {
			one.KeepFiringSince = &alert.KeepFiringSince
		}
		listed = append(listed, one)
	}
	slices.SortFunc(listed, func(a, b activeAlert) int { return labels.Compare(a.Labels, b.Labels) })
	return listed
}

// alerts lists the pending and firing alerts.
func (a *api) alerts(w http.ResponseWriter, _ *http.Request) error {
	all := []activeAlert{}
	for _, g := range a.config.Rules() {
		for _, one := range g.Rules {
			all = append(all, activeAlerts(one.Alerts)...)
		}
	}
	return succeed(w, struct {
		Alerts []activeAlert `json:"alerts"`
	}{all})
}

// among reports whether a name is requested; an empty list requests all.
func among(requested []string, name string) bool {
	return len(requested) == 0 || slices.Contains(requested, name)
}

// succeed writes a short response.
func succeed(w http.ResponseWriter, data any) error {
	body, err := json.Marshal(struct {
		Status string `json:"status"`
		Data   any    `json:"data"`
	}{"success", data})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // The client may have disconnected.
	return nil
}
