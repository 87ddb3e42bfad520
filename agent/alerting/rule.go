package alerting

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
)

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

// rule is one rule that is evaluated.
type rule struct {
	rules.Rule
	// alerting is the rule itself, nil for a recording rule.
	alerting *rules.AlertingRule
	// source, file, group and where tell where it stands.
	source, file, group, where string
	threshold                  *Threshold
	expr                       parser.Expr
	interval, offset           time.Duration
	limit                      int
	// templated tells that the labels of its alerts are not known before they are
	// made.
	templated bool
	remind    time.Duration
	channels  []string
	limits    struct{ text, unit string }
	// selectors are what its expression reads.
	selectors []selector

	// last are the elements of the newest result that was believed, by the hash of
	// their labels; evaluated is when that was.
	last      map[uint64]element
	evaluated time.Time
	// holds are the elements that are held because nothing is measured.
	holds map[uint64]*hold
	// recorded is the newest result of a recording rule.
	recorded promql.Vector
}

// element is one element of a result.
type element struct {
	labels labels.Labels
	value  float64
}

// selector is one selector of an expression.
type selector struct {
	matchers []*labels.Matcher
	// window is how far back it reads, 0 where it asks for the newest sample only;
	// width is the range that it stands in itself. Both end offset ago.
	window, width, offset time.Duration
}

// readSelectors finds the selectors of an expression, but for those of what the
// rules themselves keep.
func (r *rule) readSelectors(expr parser.Expr) {
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		vector, ok := node.(*parser.VectorSelector)
		if !ok || isOwn(vector.LabelMatchers) {
			return nil
		}
		s := selector{matchers: vector.LabelMatchers, offset: vector.OriginalOffset}
		for _, above := range path {
			switch n := above.(type) {
			case *parser.MatrixSelector:
				s.width = n.Range
				s.window += n.Range
			case *parser.SubqueryExpr:
				s.window += n.Range
				s.offset += n.OriginalOffset
			}
		}
		r.selectors = append(r.selectors, s)
		return nil
	})
}
