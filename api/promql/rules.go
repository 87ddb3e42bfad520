package promql

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"

	"sysotel/agent/alerting"
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
	f, err := a.ruleFilter(r)
	if err != nil {
		return err
	}
	groups, next := []ruleGroup{}, ""
	found := f.token == ""
	for _, g := range a.config.Rules() {
		if found = found || f.token == token(g); !found || !among(r.Form["file[]"], g.File) || !among(r.Form["rule_group[]"], g.Name) {
			continue
		}
		listed := f.group(g)
		if len(listed.Rules) == 0 {
			continue
		}
		if f.limit > 0 && len(groups) == f.limit {
			next = token(g)
			break
		}
		groups = append(groups, listed)
	}
	if !found {
		return badParameter("group_next_token", fmt.Errorf("invalid group_next_token '%v'. were rule groups changed?", f.token))
	}
	return succeed(w, struct {
		Groups []ruleGroup `json:"groups"`
		Next   string      `json:"groupNextToken,omitempty"`
	}{groups, next})
}

// ruleFilter has the parameters of a list of rules.
type ruleFilter struct {
	kind  string
	names []string
	sets  [][]*labels.Matcher
	bare  bool // without alerts
	// limit is the number of groups, 0 for all; token is the first.
	limit int
	token string
}

func (a *api) ruleFilter(r *http.Request) (f ruleFilter, err error) {
	f = ruleFilter{kind: strings.ToLower(r.Form.Get("type")), names: r.Form["rule_name[]"], token: r.Form.Get("group_next_token")}
	if f.kind != "" && f.kind != "alert" && f.kind != "record" {
		return f, badParameter("type", errors.New("not supported value "+strconv.Quote(f.kind)))
	}
	if text := strings.ToLower(r.Form.Get("exclude_alerts")); text != "" {
		if f.bare, err = strconv.ParseBool(text); err != nil {
			return f, badParameter("exclude_alerts", fmt.Errorf("error converting exclude_alerts: %w", err))
		}
	}
	switch text := r.Form.Get("group_limit"); {
	case text == "" && f.token != "":
		return f, badParameter("group_next_token", errors.New("group_limit needs to be present in order to paginate over the groups"))
	case text != "":
		limit, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return f, badParameter("group_limit", fmt.Errorf("group_limit needs to be a valid number: %w", err))
		}
		if limit <= 0 {
			return f, badParameter("group_limit", errors.New("group_limit needs to be greater than 0"))
		}
		f.limit = int(limit)
	}
	if selectors := r.Form["match[]"]; len(selectors) > 0 {
		f.sets, err = a.config.Querier.Matchers(r.Context(), selectors)
	}
	return f, err
}

// token names a group in a list that is continued.
func token(g alerting.PrometheusGroup) string {
	sum := sha256.Sum256([]byte(g.File + ";" + g.Name))
	return hex.EncodeToString(sum[:])
}

// group describes a group with the rules that the filter lets through.
func (f ruleFilter) group(g alerting.PrometheusGroup) ruleGroup {
	listed := ruleGroup{Name: g.Name, File: g.File, Rules: []any{}, Interval: g.Interval, Limit: g.Limit}
	for _, one := range g.Rules {
		listed.EvaluationTime += one.Rule.GetEvaluationDuration().Seconds()
		listed.LastEvaluation = one.Rule.GetEvaluationTimestamp()
		if !among(f.names, one.Rule.Name()) || !f.matches(one.Rule.Labels()) {
			continue
		}
		if rule := describeRule(one, f.kind, f.bare); rule != nil {
			listed.Rules = append(listed.Rules, rule)
		}
	}
	return listed
}

// matches reports whether a rule's labels fit one of the selectors.
func (f ruleFilter) matches(own labels.Labels) bool {
	return len(f.sets) == 0 || slices.ContainsFunc(f.sets, func(set []*labels.Matcher) bool {
		return !slices.ContainsFunc(set, func(m *labels.Matcher) bool { return !m.Matches(own.Get(m.Name)) })
	})
}

// describeRule returns a rule, nil if its kind was not requested.
func describeRule(one alerting.PrometheusRule, kind string, bare bool) any {
	state := evaluation{Health: one.Rule.Health(), EvaluationTime: one.Rule.GetEvaluationDuration().Seconds(), LastEvaluation: one.Rule.GetEvaluationTimestamp()}
	if err := one.Rule.LastError(); err != nil {
		state.LastError = err.Error()
	} else if one.NoSeries != "" {
		// Whether the condition holds is unknown. Prometheus has no other word for it.
		state.Health, state.LastError = rules.HealthUnknown, one.NoSeries
	}
	switch rule := one.Rule.(type) {
	case *rules.AlertingRule:
		if kind == "record" {
			return nil
		}
		listed := alertingRule{
			State: one.State.String(), Name: rule.Name(), Query: rule.Query().String(), Duration: rule.HoldDuration().Seconds(), KeepFiringFor: rule.KeepFiringFor().Seconds(),
			Labels: rule.Labels(), Annotations: rule.Annotations(), evaluation: state, Type: "alerting",
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
