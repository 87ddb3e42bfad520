package alerting

import "time"

// The sources of rules.
const (
	// FromDefaults are the rules that the program brings.
	FromDefaults = "default"
	// FromFile are those of the files of alerting.rules.
	FromFile = "file"
	// FromConfig are the thresholds of the configuration.
	FromConfig = "config"
	// FromAPI are the thresholds that were made over the API.
	FromAPI = "api"
)

// RuleStatus is a rule and how it fares.
type RuleStatus struct {
	Name        string            `json:"name" doc:"Name of the rule."`
	Source      string            `json:"source" enum:"default,file,config,api" doc:"Where it comes from: the rules that sysotel brings, a file of alerting.rules, alerting.thresholds, or this API. Only the last can be changed and deleted here; all can be disabled."`
	File        string            `json:"file" doc:"File that it stands in."`
	Group       string            `json:"group" doc:"Its group in the file."`
	Enabled     bool              `json:"enabled" doc:"Whether it is evaluated."`
	Expr        string            `json:"expr" doc:"PromQL of the condition."`
	For         string            `json:"for" doc:"How long the condition must hold, such as 5m."`
	Labels      map[string]string `json:"labels" doc:"Labels that its alerts get."`
	Annotations map[string]string `json:"annotations" doc:"What it says about its alerts, as templates."`
	Severity    string            `json:"severity" doc:"How grave its alerts are; may be empty."`
	State       State             `json:"state" enum:"inactive,pending,firing,no_data" doc:"The gravest state of its alerts."`
	Alerts      int               `json:"alerts" doc:"How many alerts it has now, pending ones among them."`
	Health      string            `json:"health" enum:"unknown,ok,err" doc:"unknown before the first evaluation."`
	Error       string            `json:"error,omitempty" doc:"Why the last evaluation failed."`
	EvaluatedAt time.Time         `json:"evaluated_at,omitzero" doc:"When it was last evaluated; absent before."`
	Seconds     float64           `json:"seconds" doc:"How long the last evaluation took."`
	Threshold   *Threshold        `json:"threshold,omitempty" doc:"The threshold that the rule was made of; absent for the rules of files."`
}
