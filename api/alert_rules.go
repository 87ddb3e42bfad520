package api

import (
	"context"
	"net/http"
	"slices"

	"sysotel/agent/alerting"
)

// AlertRules is the response of /alerts/rules.
type AlertRules struct {
	Rules []alerting.RuleStatus `json:"rules" nullable:"false" doc:"All rules by name, including disabled ones."`
}

// RuleChange enables or disables a rule.
type RuleChange struct {
	Enabled bool `json:"enabled" doc:"Whether the rule is evaluated. Disabling it resolves its alerts."`
}

type (
	alertRulesOutput struct{ Body AlertRules }
	alertRuleOutput  struct{ Body alerting.RuleStatus }
	rulesFileOutput  struct {
		ContentType string `header:"Content-Type"`
		Body        []byte
	}
	thresholdInput struct{ Body alerting.Threshold }
	ruleNameInput  struct {
		Name string `path:"name" maxLength:"128" doc:"Name of the rule."`
	}
	thresholdChangeInput struct {
		Name string `path:"name" maxLength:"128" doc:"Name of the rule."`
		Body alerting.Threshold
	}
	adjustmentInput struct {
		Name string `path:"name" maxLength:"128" doc:"Name of the rule."`
		Body alerting.Adjustment
	}
	ruleChangeInput struct {
		Name string `path:"name" maxLength:"128" doc:"Name of the rule."`
		Body RuleChange
	}
)

// AlertRules registers the operations of this file.
func (operations) AlertRules(s *Server) {
	see, change := Access{Role: Viewer, Cost: Query}, Access{Role: Admin, Cost: Query}
	const path = alertPath + "/rules"
	refusals := []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable}
	register(s, Operation{
		ID: "list-alert-rules", Method: http.MethodGet, Path: path, Table: "rules",
		Summary:     "List alert rules",
		Description: "All rules with source and status: built-in rules, rules from the files of `alerting.rules`, and thresholds.",
		Access:      see, Example: AlertRules{[]alerting.RuleStatus{exampleRule()}}, Errors: []int{http.StatusServiceUnavailable},
	}, s.listAlertRules)
	register(s, Operation{
		ID: "export-alert-rules", Method: http.MethodGet, Path: path + "/export",
		Summary:     "Export alert rules",
		Description: "All enabled rules, including thresholds, as a Prometheus rule file for Prometheus, vmalert and promtool.",
		Access:      see, Example: "groups: …", Media: "application/yaml", Errors: []int{http.StatusServiceUnavailable},
	}, s.exportAlertRules)
	register(s, Operation{
		ID: "add-threshold", Method: http.MethodPost, Path: path,
		Summary: "Add a threshold",
		Description: "Adds a rule, which survives restarts.\n\n" +
			"With `recover` the alert resolves only at that value, so that it does not flap when the value oscillates around the threshold.",
		Access: change, Example: exampleRule(), Errors: []int{http.StatusConflict, http.StatusServiceUnavailable},
	}, s.addThreshold)
	register(s, Operation{
		ID: "change-threshold", Method: http.MethodPut, Path: path + "/{name}",
		Summary:     "Change a threshold",
		Description: "Replaces a threshold that was added through the API; its name may change. Rules from the configuration and from files cannot be changed here.",
		Access:      change, Example: exampleRule(), Errors: refusals,
	}, s.changeThreshold)
	register(s, Operation{
		ID: "enable-alert-rule", Method: http.MethodPatch, Path: path + "/{name}",
		Summary: "Enable or disable a rule", Description: "Works for rules from every source and survives restarts.",
		Access: change, Example: exampleRule(), Errors: refusals,
	}, s.enableAlertRule)
	register(s, Operation{
		ID: "adjust-alert-rule", Method: http.MethodPut, Path: path + "/{name}/adjustment",
		Summary: "Adjust a built-in rule",
		Description: "Sets the threshold and the duration of a built-in rule, which survives restarts; what the body omits is as built in. " +
			"`alerting.defaults: false` in the configuration switches the built-in rules off, adjusted or not.",
		Access: change, Example: exampleBuiltin(), Errors: refusals,
	}, s.adjustRule)
	register(s, Operation{
		ID: "reset-alert-rule", Method: http.MethodDelete, Path: path + "/{name}/adjustment",
		Summary: "Reset a built-in rule", Description: "Gives a built-in rule its own threshold and duration again.",
		Access: change, Example: exampleBuiltin(), Errors: refusals,
	}, s.resetRule)
	register(s, Operation{
		ID: "delete-threshold", Method: http.MethodDelete, Path: path + "/{name}",
		Summary: "Delete a threshold", Description: "Deletes a threshold that was added through the API and resolves its alerts.",
		Access: change, Example: Done{true}, Errors: refusals,
	}, s.deleteThreshold)
}

func (s *Server) listAlertRules(context.Context, *struct{}) (*alertRulesOutput, error) {
	alerts, err := s.alerting()
	if err != nil {
		return nil, err
	}
	rules := alerts.Rules()
	if rules == nil {
		rules = []alerting.RuleStatus{}
	}
	return &alertRulesOutput{AlertRules{rules}}, nil
}

func (s *Server) exportAlertRules(context.Context, *struct{}) (*rulesFileOutput, error) {
	alerts, err := s.alerting()
	if err != nil {
		return nil, err
	}
	text, err := alerts.Export()
	return &rulesFileOutput{"application/yaml", text}, err
}

func (s *Server) addThreshold(ctx context.Context, in *thresholdInput) (*alertRuleOutput, error) {
	return s.changeRule(ctx, "add alert rule", in.Body.Name, func(a Alerting) (alerting.RuleStatus, error) {
		return a.AddThreshold(ctx, in.Body)
	})
}

func (s *Server) changeThreshold(ctx context.Context, in *thresholdChangeInput) (*alertRuleOutput, error) {
	return s.changeRule(ctx, "change alert rule", in.Name, func(a Alerting) (alerting.RuleStatus, error) {
		return a.ChangeThreshold(ctx, in.Name, in.Body)
	})
}

func (s *Server) enableAlertRule(ctx context.Context, in *ruleChangeInput) (*alertRuleOutput, error) {
	action := "disable alert rule"
	if in.Body.Enabled {
		action = "enable alert rule"
	}
	return s.changeRule(ctx, action, in.Name, func(a Alerting) (alerting.RuleStatus, error) {
		return a.EnableRule(ctx, in.Name, in.Body.Enabled)
	})
}

func (s *Server) adjustRule(ctx context.Context, in *adjustmentInput) (*alertRuleOutput, error) {
	return s.changeRule(ctx, "adjust alert rule", in.Name, func(a Alerting) (alerting.RuleStatus, error) {
		return a.AdjustRule(ctx, in.Name, in.Body)
	})
}

func (s *Server) resetRule(ctx context.Context, in *ruleNameInput) (*alertRuleOutput, error) {
	return s.changeRule(ctx, "reset alert rule", in.Name, func(a Alerting) (alerting.RuleStatus, error) {
		return a.AdjustRule(ctx, in.Name, alerting.Adjustment{})
	})
}

func (s *Server) deleteThreshold(ctx context.Context, in *ruleNameInput) (*doneOutput, error) {
	alerts, err := s.alerting()
	if err != nil {
		return nil, err
	}
	if err := alerts.RemoveThreshold(ctx, in.Name); err != nil {
		return nil, alertProblem(err)
	}
	s.audit(callerOf(ctx).did("delete alert rule", in.Name))
	return &doneOutput{Body: Done{true}}, nil
}

// changeRule makes a change and writes an audit entry.
func (s *Server) changeRule(ctx context.Context, action, name string, do func(Alerting) (alerting.RuleStatus, error)) (*alertRuleOutput, error) {
	alerts, err := s.alerting()
	if err != nil {
		return nil, err
	}
	rule, err := do(alerts)
	if err != nil {
		return nil, alertProblem(err)
	}
	s.audit(callerOf(ctx).did(action, name))
	return &alertRuleOutput{rule}, nil
}

func exampleBuiltin() alerting.RuleStatus {
	was, now := 80.0, 95.0
	return alerting.RuleStatus{
		Name: "ProcessorsBusy", Source: alerting.FromDefaults, File: "sysotel_alerts.yml", Group: "sysotel", Enabled: true,
		Expr: `100 * avg_over_time(sysotel_cpu_usage_ratio[1m:1s]) > 95`, For: "10m",
		Labels: map[string]string{"severity": "warning"}, Annotations: map[string]string{"unit": "%"}, Severity: "warning",
		State: alerting.Inactive, Health: "ok", EvaluatedAt: exampleTime, Seconds: 0.0002,
		Builtin: &alerting.Builtin{Op: ">", Threshold: &was, For: "5m", Current: &now, Adjusted: true},
	}
}

func exampleRule() alerting.RuleStatus {
	back := 80.0
	return alerting.RuleStatus{
		Name: "DataDiskFull", Source: alerting.FromAPI, File: "thresholds", Group: "thresholds", Enabled: true,
		Expr: `100 * sysotel_disk_utilization_ratio{mountpoint="/data"} > 85 or …`, For: "5m",
		Labels: map[string]string{"severity": "warning"}, Annotations: map[string]string{"threshold": "> 85", "unit": "%"}, Severity: "warning",
		State: alerting.Inactive, Health: "ok", EvaluatedAt: exampleTime, Seconds: 0.0002,
		Threshold: &alerting.Threshold{
			Name: "DataDiskFull", Metric: "disk_percent", Match: map[string]string{"mountpoint": "/data"}, Op: ">", Threshold: 85, Recover: &back,
			For: "5m", Remind: "4h", Severity: "warning", Channels: slices.Clone([]string{"mail"}), Enabled: true,
		},
	}
}
