package api

import (
	"context"
	"net/http"
	"slices"

	"sysotel/agent/alerting"
)

// AlertRules is the answer of /alerts/rules.
type AlertRules struct {
	Rules []alerting.RuleStatus `json:"rules" nullable:"false" doc:"Every rule, disabled ones among them, by name."`
}

// RuleChange changes what can be changed of every rule.
type RuleChange struct {
	Enabled bool `json:"enabled" doc:"Whether the rule is evaluated. What it found is resolved when it is disabled."`
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
	ruleChangeInput struct {
		Name string `path:"name" maxLength:"128" doc:"Name of the rule."`
		Body RuleChange
	}
)

func (s *Server) registerAlertRules() {
	see, change := Access{Role: Viewer, Cost: Query}, Access{Role: Admin, Cost: Query}
	const path = alertPath + "/rules"
	refusals := []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable}
	register(s, Operation{
		ID: "list-alert-rules", Method: http.MethodGet, Path: path,
		Summary:     "The alert rules",
		Description: "Every rule with its source and how it fares: those that sysotel brings, those of the files of `alerting.rules`, and simple thresholds.",
		Access:      see, Example: AlertRules{[]alerting.RuleStatus{exampleRule()}}, Errors: []int{http.StatusServiceUnavailable},
	}, func(context.Context, *struct{}) (*alertRulesOutput, error) {
		alerts, err := s.alerting()
		if err != nil {
			return nil, err
		}
		rules := alerts.Rules()
		if rules == nil {
			rules = []alerting.RuleStatus{}
		}
		return &alertRulesOutput{AlertRules{rules}}, nil
	})
	register(s, Operation{
		ID: "export-alert-rules", Method: http.MethodGet, Path: path + "/export",
		Summary:     "The alert rules as a rule file",
		Description: "Every rule that is enabled, thresholds among them, as a rule file of Prometheus: `promtool check rules` takes it, and so do Prometheus and vmalert.",
		Access:      see, Example: "groups: …", Media: "application/yaml", Errors: []int{http.StatusServiceUnavailable},
	}, func(context.Context, *struct{}) (*rulesFileOutput, error) {
		alerts, err := s.alerting()
		if err != nil {
			return nil, err
		}
		text, err := alerts.Export()
		return &rulesFileOutput{"application/yaml", text}, err
	})
	register(s, Operation{
		ID: "add-threshold", Method: http.MethodPost, Path: path,
		Summary: "Make a rule of a threshold",
		Description: "The rule is evaluated from now on and outlives the agent. It is refused whole where anything is wrong with it.\n\n" +
			"With `recover` an alert is over only when the value came back that far: it does not come and go with a value that wavers about the threshold.",
		Access: change, Example: exampleRule(), Errors: []int{http.StatusConflict, http.StatusServiceUnavailable},
	}, func(ctx context.Context, in *thresholdInput) (*alertRuleOutput, error) {
		return s.changeRule(ctx, "add alert rule", in.Body.Name, func(a Alerting) (alerting.RuleStatus, error) { return a.AddThreshold(ctx, in.Body) })
	})
	register(s, Operation{
		ID: "change-threshold", Method: http.MethodPut, Path: path + "/{name}",
		Summary:     "Change a threshold",
		Description: "Puts another threshold in the place of one that was made here; it may have another name. Rules of the configuration and of files are changed there.",
		Access:      change, Example: exampleRule(), Errors: refusals,
	}, func(ctx context.Context, in *thresholdChangeInput) (*alertRuleOutput, error) {
		return s.changeRule(ctx, "change alert rule", in.Name, func(a Alerting) (alerting.RuleStatus, error) {
			return a.ChangeThreshold(ctx, in.Name, in.Body)
		})
	})
	register(s, Operation{
		ID: "enable-alert-rule", Method: http.MethodPatch, Path: path + "/{name}",
		Summary: "Enable or disable a rule", Description: "Any rule can be disabled and enabled again, wherever it comes from. That outlives the agent.",
		Access: change, Example: exampleRule(), Errors: refusals,
	}, func(ctx context.Context, in *ruleChangeInput) (*alertRuleOutput, error) {
		action := "disable alert rule"
		if in.Body.Enabled {
			action = "enable alert rule"
		}
		return s.changeRule(ctx, action, in.Name, func(a Alerting) (alerting.RuleStatus, error) {
			return a.EnableRule(ctx, in.Name, in.Body.Enabled)
		})
	})
	register(s, Operation{
		ID: "delete-threshold", Method: http.MethodDelete, Path: path + "/{name}",
		Summary: "Delete a threshold", Description: "Deletes a threshold that was made here. What it found is resolved.",
		Access: change, Example: Done{true}, Errors: refusals,
	}, func(ctx context.Context, in *ruleNameInput) (*doneOutput, error) {
		alerts, err := s.alerting()
		if err != nil {
			return nil, err
		}
		if err := alerts.RemoveThreshold(ctx, in.Name); err != nil {
			return nil, alertProblem(err)
		}
		s.audit(callerOf(ctx).did("delete alert rule", in.Name))
		return &doneOutput{Body: Done{true}}, nil
	})
}

// changeRule does a change and has it in the audit log.
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
