package alerting

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"

	"sysotel/agent/template"
)

// The annotations that this package interprets. Rules in files can have them too.
const (
	annotationSummary     = "summary"
	annotationDescription = "description"
	annotationThreshold   = "threshold"
	annotationUnit        = "unit"
	annotationChannels    = "channels"
	annotationRemind      = "remind"
)

// severityLabel is the label with the severity of an alert.
const severityLabel = "severity"

// ops are the comparison operators.
var ops = []string{">", ">=", "<", "<=", "==", "!="}

// checked is a valid threshold.
type checked struct {
	Threshold
	// value is the PromQL expression of the value, unit its unit; over is the value of
	// another interval than that between two evaluations.
	value, unit string
	over        func(interval time.Duration, finest bool) string
	interval    time.Duration
	hold        time.Duration
	remind      time.Duration
}

// check validates a threshold that is evaluated at an interval.
func (t Threshold) check(metrics func(string) (Metric, bool), channels []string, interval time.Duration) (checked, ValidationErrors) {
	c := checked{Threshold: t, interval: interval}
	var errs ValidationErrors
	wrong := func(field string, value any, rule string) {
		errs = append(errs, ValidationError{Field: field, Value: shown(value), Rule: rule})
	}
	if t.Name == "" || len(t.Name) > 128 || strings.ContainsFunc(t.Name, func(r rune) bool { return !unicode.IsPrint(r) || r == '/' || r == unicode.ReplacementChar }) {
		wrong("name", t.Name, "must be 1 to 128 printable characters without /")
	}
	c.Reduce = t.reduction(wrong)
	metric := t.source(metrics, wrong)
	c.unit = metric.Unit
	c.over = func(interval time.Duration, finest bool) string { return c.of(metric, interval, finest) }
	c.value = c.over(interval, true)
	if !slices.Contains(ops, t.Op) {
		wrong("op", t.Op, "must be one of "+strings.Join(ops, ", "))
	}
	if !finite(t.Threshold) {
		wrong("threshold", t.Threshold, "must be a number")
	}
	if t.Recover != nil {
		back := *t.Recover
		switch {
		case !finite(back):
			wrong("recover", back, "must be a number")
		case strings.HasPrefix(t.Op, ">") && back > t.Threshold:
			wrong("recover", back, "must be at most the threshold, "+number(t.Threshold))
		case strings.HasPrefix(t.Op, "<") && back < t.Threshold:
			wrong("recover", back, "must be at least the threshold, "+number(t.Threshold))
		case strings.HasSuffix(t.Op, "=") && len(t.Op) == 2 && t.Op[0] != '>' && t.Op[0] != '<':
			wrong("recover", back, "is allowed with >, >=, < and <= only")
		}
	}
	c.hold = duration(t.For, "for", 0, wrong)
	c.remind = duration(t.Remind, "remind", time.Minute, wrong)
	for i, r := range t.Severity {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_' || i > 32 {
			wrong("severity", t.Severity, "must be one word of letters, digits, - and _, such as warning")
			break
		}
	}
	if _, err := template.Parse(t.Summary); err != nil {
		wrong("summary", t.Summary, err.Error())
	}
	for i, name := range t.Channels {
		if !slices.Contains(channels, name) {
			wrong(fmt.Sprintf("channels[%d]", i), name, channelRule(channels))
		}
	}
	return c, errs
}

// source returns the metric; the zero Metric for an expression.
func (t Threshold) source(metrics func(string) (Metric, bool), wrong func(string, any, string)) Metric {
	switch {
	case (t.Metric == "") == (t.Expr == ""):
		wrong("metric", t.Metric, "is required, or expr instead; not both")
		return Metric{}
	case t.Expr != "":
		if len(t.Match) > 0 {
			wrong("match", "", "is allowed with metric only; with expr, put the labels into the expression")
		}
		return Metric{}
	}
	metric, known := metrics(t.Metric)
	if !known {
		if !model.UTF8Validation.IsValidMetricName(t.Metric) {
			wrong("metric", t.Metric, "must be a name of the REST API such as cpu_usage_total, or of PromQL such as sysotel_cpu_usage_ratio")
			return Metric{}
		}
		metric = Metric{Name: t.Metric}
	}
	if _, err := metric.selector(t.Match); err != nil {
		wrong("match", "", err.Error())
	}
	return metric
}

// duration parses a duration with a minimum; 0 if text is empty.
func duration(text, field string, minimum time.Duration, wrong func(string, any, string)) time.Duration {
	if text == "" {
		return 0
	}
	d, err := model.ParseDuration(text)
	switch {
	case err != nil:
		wrong(field, text, DurationRule)
	case time.Duration(d) < minimum:
		wrong(field, text, "must be at least "+model.Duration(minimum).String())
	}
	return time.Duration(d)
}

// channelRule is the rule for names of channels.
func channelRule(channels []string) string {
	if len(channels) == 0 {
		return "no channels are configured (alerting.channels)"
	}
	return "must be one of " + strings.Join(channels, ", ")
}

// rule converts the threshold to a Prometheus rule. With a recovery threshold the
// expression also selects the firing alert itself, for which only the recovery
// threshold counts.
func (c checked) rule() rulefmt.Rule {
	severity := c.Severity
	if severity == "" {
		severity = "warning"
	}
	value := c.value
	if c.Expr != "" && c.Reduce == Last || strings.Contains(c.value, " * ") || strings.Contains(c.value, " / ") {
		value = "(" + value + ")"
	}
	expr := fmt.Sprintf("%s %s %s", value, c.Op, number(c.Threshold.Threshold))
	if c.Recover != nil && *c.Recover != c.Threshold.Threshold {
		expr = fmt.Sprintf("%s or (%s %s %s and ignoring(alertname, alertstate, %s) ALERTS{alertname=%s,alertstate=\"firing\"})",
			expr, value, c.Op, number(*c.Recover), severityLabel, strconv.Quote(c.Name))
	}
	what := c.Metric
	if what == "" {
		what = "the value"
	}
	if how := c.how(); how != "" {
		what = how + " of " + what
	}
	summary := c.Summary
	if summary == "" {
		unit := c.unit
		if unit != "" {
			unit = " " + unit
		}
		summary = fmt.Sprintf("%s{{ with $labels.host_name }} of {{ . }}{{ end }} is {{ printf \"%%.4g\" $value }}%s", what, unit)
		for _, label := range slices.Sorted(maps.Keys(c.Match)) {
			summary += ", " + label + " " + strings.ReplaceAll(c.Match[label], "{{", "{ {")
		}
	}
	annotations := map[string]string{annotationSummary: summary, annotationThreshold: c.Op + " " + number(c.Threshold.Threshold)}
	if c.unit != "" {
		annotations[annotationUnit] = c.unit
	}
	if len(c.Channels) > 0 {
		annotations[annotationChannels] = strings.Join(c.Channels, ", ")
	}
	if c.Remind != "" {
		annotations[annotationRemind] = c.Remind
	}
	return rulefmt.Rule{
		Alert: c.Name, Expr: expr, For: model.Duration(c.hold),
		Labels: map[string]string{severityLabel: severity}, Annotations: annotations,
	}
}

// parse checks the expression by itself, so that an error is at its place, then the rule.
func (c checked) parse(q Querier) error {
	if c.Expr != "" {
		if _, err := q.Parse(c.Expr); err != nil {
			return err
		}
	}
	expr, err := q.Parse(c.rule().Expr)
	if err != nil {
		return err
	}
	return checkSilent(expr)
}

// number formats a number for PromQL.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// shown formats a value for a validation error.
func shown(value any) string {
	text := strings.ToValidUTF8(fmt.Sprint(value), "?")
	if runes := []rune(text); len(runes) > 80 {
		return string(runes[:80]) + "…"
	}
	return text
}
