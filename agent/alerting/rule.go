package alerting

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
)

// The sources of rules.
const (
	// FromDefaults are the built-in rules.
	FromDefaults = "default"
	// FromFile are the rules from the files of alerting.rules.
	FromFile = "file"
	// FromConfig are the thresholds of the configuration.
	FromConfig = "config"
	// FromAPI are the thresholds that were added through the API.
	FromAPI = "api"
)

// RuleStatus is a rule with its status.
type RuleStatus struct {
	Name        string            `json:"name" doc:"Name of the rule."`
	Source      string            `json:"source" enum:"default,file,config,api" doc:"Where it comes from: default is a built-in rule, file a file of alerting.rules, config alerting.thresholds, api this API. Only the last can be changed and deleted here; of the first threshold and duration can be adjusted; all can be disabled."`
	File        string            `json:"file" doc:"File that contains it."`
	Group       string            `json:"group" doc:"Group in the file."`
	Enabled     bool              `json:"enabled" doc:"Whether it is evaluated."`
	Expr        string            `json:"expr" doc:"PromQL expression of the condition."`
	For         string            `json:"for" doc:"How long the condition must hold before it fires, such as 5m."`
	Labels      map[string]string `json:"labels" doc:"Labels added to its alerts."`
	Annotations map[string]string `json:"annotations" doc:"Annotations of its alerts, as templates."`
	Severity    string            `json:"severity" doc:"Severity of its alerts; may be empty."`
	State       State             `json:"state" enum:"inactive,pending,firing,no_data,no_series,off" doc:"Most severe state of its alerts. Without alerts no_series if its selectors have matched no series since the agent started, so that it cannot fire, and off if it is a built-in rule for what this machine does not have."`
	Alerts      int               `json:"alerts" doc:"Number of active alerts, including pending ones."`
	Health      string            `json:"health" enum:"unknown,ok,err,no_series" doc:"unknown before the first evaluation; no_series as in state."`
	Error       string            `json:"error,omitempty" doc:"Why the last evaluation failed."`
	NoSeries    []NoSeries        `json:"no_series,omitempty" nullable:"false" doc:"Selectors that have matched no series since the agent started and without which the rule has no result, with the reason."`
	EvaluatedAt time.Time         `json:"evaluated_at,omitzero" doc:"When it was last evaluated; absent before."`
	Seconds     float64           `json:"seconds" doc:"Duration of the last evaluation in seconds."`
	Builtin     *Builtin          `json:"builtin,omitempty" doc:"Of a built-in rule, what can be adjusted; absent for others."`
	Threshold   *Threshold        `json:"threshold,omitempty" doc:"Threshold that the rule was generated from; absent for rules from files."`
}

// rule is one rule with the state of its evaluation.
type rule struct {
	// Rule is the rule as it was written. If it is an alerting rule it is only shown.
	rules.Rule
	// alerting is evaluated instead, nil for a recording rule: the rule without its
	// templates, which the library would expand without bounds. labelTexts and
	// annotationTexts are those.
	alerting                    *rules.AlertingRule
	labelTexts, annotationTexts []namedText
	annotations                 labels.Labels // those that are no templates
	// key identifies the rule among all: several may have the same name.
	key string
	// content identifies the rule as it is written.
	content string
	// strikes and slow count evaluations in a row that exceeded their memory and their
	// time.
	strikes, slow int
	// source, file, group and where are its origin.
	source, file, group, where string
	threshold                  *Threshold
	builtin                    *Builtin
	expr                       parser.Expr
	interval, offset           time.Duration
	limit                      int
	remind                     time.Duration
	channels                   []string
	limits                     struct{ text, unit string }
	// scraped is set if its texts show the labels job or instance of its alerts.
	scraped bool
	// selectors are the measured inputs of its expression, need what it needs of them, and
	// toldNoSeries whether it was logged that they match nothing.
	selectors    []selector
	need         *need
	toldNoSeries bool

	// last are the elements of the last result, after filtering, by the hash of their
	// labels; evaluated is its time.
	last      map[uint64]element
	evaluated time.Time
	// holds are the elements that are held because their input is missing.
	holds map[uint64]*hold
	// made are the series that it made when it was evaluated last, at madeAt, by the hash
	// of their labels, and ended those that it made before; unkept is how many are not
	// kept.
	made   map[uint64]promql.Sample
	madeAt time.Time
	ended  []labels.Labels
	unkept int
}

// element is one element of a result.
type element struct {
	labels labels.Labels
	value  float64
	// alert are the labels of its alert, texts its annotations.
	alert, texts labels.Labels
}

const (
	// maxAlerts bounds the alerts of one rule, maxRecorded the series of a recording rule,
	// where their group does not.
	maxAlerts, maxRecorded = 1000, 10_000
)

// most is how many elements its result may have.
func (r *rule) most() int {
	most := maxAlerts
	if r.alerting == nil {
		most = maxRecorded
	}
	if r.limit > 0 {
		most = min(most, r.limit)
	}
	return most
}

// identify sets key and content of the nth rule with the same group, name, labels and
// expression, from 1. They are the same after a restart.
func (r *rule) identify(nth int) {
	parts := []string{r.group, r.Name(), r.Labels().String(), r.expr.String()}
	if nth > 1 {
		parts = append(parts, strconv.Itoa(nth))
	}
	r.key = digest(parts...)
	r.content = digest(r.key, r.String(), r.offset.String())
}

// digest is a short hash of texts.
func digest(parts ...string) string {
	sum := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(sum, "%d %s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// fits reports whether an alert can be one of this rule, by its name and those labels
// of the rule that are the same for all its alerts.
func (r *rule) fits(t *alertState) bool {
	if r.alerting == nil || t.Rule != r.Name() {
		return false
	}
	same := true
	r.alerting.Labels().Range(func(l labels.Label) {
		if t.Labels[l.Name] != l.Value {
			same = false
		}
	})
	return same
}

// selector is one selector of an expression.
type selector struct {
	matchers []*labels.Matcher
	// window is how far back it reads, 0 for the newest sample only; width is the range
	// of its own range vector. Both end offset ago.
	window, width, offset time.Duration
}

// most selectors of a rule that are looked at, those of its recording rules included.
const maxSelectors = 100

// inputs collects the measured selectors of an expression. Those of a recorded series
// are those of its recording rules, over both windows.
func (a *Alerting) inputs(expr parser.Expr, depth int) (all []selector) {
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
		recorded := false
		for _, r := range a.byName[nameOf(vector.LabelMatchers, model.MetricNameLabel)] {
			if r.alerting != nil {
				continue
			}
			recorded = true
			if depth == 0 {
				continue
			}
			for _, inner := range a.inputs(r.expr, depth-1) {
				inner.window, inner.offset = inner.window+s.window, inner.offset+s.offset
				all = append(all, inner)
			}
		}
		if !recorded {
			all = append(all, s)
		}
		all = all[:min(len(all), maxSelectors)]
		return nil
	})
	return all
}
