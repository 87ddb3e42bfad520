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

// evaluated is what is told of every rule.
type evaluated struct {
	Health         rules.RuleHealth `json:"health"`
	LastError      string           `json:"lastError,omitempty"`
	EvaluationTime float64          `json:"evaluationTime"`
	LastEvaluation time.Time        `json:"lastEvaluation"`
}

// alertingRule is a rule that finds alerts.
type alertingRule struct {
	State         string        `json:"state"`
	Name          string        `json:"name"`
	Query         string        `json:"query"`
	Duration      float64       `json:"duration"`
	KeepFiringFor float64       `json:"keepFiringFor"`
	Labels        labels.Labels `json:"labels"`
	Annotations   labels.Labels `json:"annotations"`
	Alerts        []activeAlert `json:"alerts"`
	evaluated
	Type string `json:"type"`
}

// recordingRule is a rule that keeps what it evaluates.
type recordingRule struct {
	Name   string        `json:"name"`
	Query  string        `json:"query"`
	Labels labels.Labels `json:"labels"`
	evaluated
	Type string `json:"type"`
}

// activeAlert is an alert that is pending or fires.
type activeAlert struct {
	Labels          labels.Labels `json:"labels"`
	Annotations     labels.Labels `json:"annotations"`
	State           string        `json:"state"`
	ActiveAt        time.Time     `json:"activeAt"`
	KeepFiringSince *time.Time    `json:"keepFiringSince,omitempty"`
	Value           string        `json:"value"`
}

// rules lists the rules that are evaluated, with their alerts.
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
		told := ruleGroup{Name: g.Name, File: g.File, Rules: []any{}, Interval: g.Interval}
		for _, one := range g.Rules {
			if !among(r.Form["rule_name[]"], one.Rule.Name()) {
				continue
			}
			told.EvaluationTime += one.Rule.GetEvaluationDuration().Seconds()
			told.LastEvaluation = one.Rule.GetEvaluationTimestamp()
			if rule := describeRule(one, kind, bare); rule != nil {
				told.Rules = append(told.Rules, rule)
			}
		}
		if len(told.Rules) > 0 {
			groups = append(groups, told)
		}
	}
	return succeed(w, struct {
		Groups []ruleGroup `json:"groups"`
	}{groups})
}

// describeRule tells of one rule, nil where its kind was not asked for.
func describeRule(one alerting.PrometheusRule, kind string, bare bool) any {
	state := evaluated{Health: one.Rule.Health(), EvaluationTime: one.Rule.GetEvaluationDuration().Seconds(), LastEvaluation: one.Rule.GetEvaluationTimestamp()}
	if err := one.Rule.LastError(); err != nil {
		state.LastError = err.Error()
	}
	switch rule := one.Rule.(type) {
	case *rules.AlertingRule:
		if kind == "record" {
			return nil
		}
		told := alertingRule{
			State: rule.State().String(), Name: rule.Name(), Query: rule.Query().String(), Duration: rule.HoldDuration().Seconds(), KeepFiringFor: rule.KeepFiringFor().Seconds(),
			Labels: rule.Labels(), Annotations: rule.Annotations(), Alerts: []activeAlert{}, evaluated: state, Type: "alerting",
		}
		if !bare {
			told.Alerts = activeAlerts(one.Alerts)
		}
		return told
	default:
		if kind == "alert" {
			return nil
		}
		return recordingRule{Name: rule.Name(), Query: rule.Query().String(), Labels: rule.Labels(), evaluated: state, Type: "recording"}
	}
}

func activeAlerts(found []*rules.Alert) []activeAlert {
	told := []activeAlert{}
	for _, alert := range found {
		one := activeAlert{
			Labels: alert.Labels, Annotations: alert.Annotations, State: alert.State.String(), ActiveAt: alert.ActiveAt.UTC(),
			Value: strconv.FormatFloat(alert.Value, 'e', -1, 64),
		}
		if !alert.KeepFiringSince.IsZero() {
			one.KeepFiringSince = &alert.KeepFiringSince
		}
		told = append(told, one)
	}
	slices.SortFunc(told, func(a, b activeAlert) int { return labels.Compare(a.Labels, b.Labels) })
	return told
}

// alerts lists the alerts that are pending or fire.
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

// among tells whether a name is one of those asked for; none asks for all.
func among(asked []string, name string) bool { return len(asked) == 0 || slices.Contains(asked, name) }

// succeed writes an answer that is short.
func succeed(w http.ResponseWriter, data any) error {
	body, err := json.Marshal(struct {
		Status string `json:"status"`
		Data   any    `json:"data"`
	}{"success", data})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // The client may be gone.
	return nil
}
