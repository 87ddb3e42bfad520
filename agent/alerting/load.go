package alerting

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"go.yaml.in/yaml/v3"

	_ "embed"

	"sysotel/agent/template"
)

// defaultRules are the built-in rules. Prometheus and vmalert can use the file too.
//
//go:embed sysotel_alerts.yml
var defaultRules []byte

// defaultFile is their file name.
const defaultFile = "sysotel_alerts.yml"

// document is a rule file, or thresholds converted to one.
type document struct {
	source, file string
	text         []byte
	thresholds   map[string]*Threshold
}

// loader loads rules from documents: all or none.
type loader struct {
	parser   parser.Parser
	querier  Querier
	channels []string
	interval time.Duration
	// fromAPI adjusts the built-in rules.
	fromAPI apiRules
	log     *slog.Logger
}

// Bounds of the rules, which keep an evaluation and its texts short.
const (
	maxRules  = 5000
	maxGroups = 1000
	// maxName bounds the names of groups and rules, maxTexts the labels, and the
	// annotations, of a rule.
	maxName, maxTexts = 256, 64
)

// load loads the rules of all documents. As in Prometheus several may have the same name
// and labels; what is written twice, word for word, is evaluated once.
func (l *loader) load(documents []document) ([]*rule, error) {
	var all []*rule
	var wrong []error
	written, times := map[string]bool{}, map[string]int{}
	for _, d := range documents {
		found, errs := l.document(d)
		wrong = append(wrong, errs...)
		for _, r := range found {
			whole := r.content + r.interval.String() + strconv.Itoa(r.limit)
			if r.threshold == nil && written[whole] {
				continue
			}
			written[whole] = true
			if times[r.key]++; times[r.key] > 1 {
				r.identify(times[r.key])
			}
			all = append(all, r)
		}
	}
	if len(all) > maxRules {
		wrong = append(wrong, fmt.Errorf("there are %d rules; at most %d are allowed", len(all), maxRules))
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return all, nil
}

// document loads the rules of one document.
func (l *loader) document(d document) (all []*rule, wrong []error) {
	l = l.of(d)
	if err := checkTexts(d); err != nil {
		return nil, []error{fmt.Errorf("%s %w", d.file, err)}
	}
	groups, errs := rulefmt.Parse(d.text, false, model.UTF8Validation, l.parser, l.log)
	for _, err := range errs {
		wrong = append(wrong, fmt.Errorf("%s: %w", d.file, err))
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	if n := len(groups.Groups); n > maxGroups {
		return nil, []error{fmt.Errorf("%s: there are %d groups; at most %d are allowed", d.file, n, maxGroups)}
	}
	lines := ruleLines(d.text)
	n := 0
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			where := d.file
			if n < len(lines) && d.thresholds == nil {
				where = fmt.Sprintf("%s line %d", d.file, lines[n])
			}
			n++
			var own *Builtin
			var err error
			if d.source == FromDefaults && r.Alert != "" {
				own, err = l.adjust(&r, l.fromAPI.adjustedFor(r.Alert))
			}
			var made *rule
			if err == nil {
				made, err = l.rule(g, r)
			}
			if err != nil {
				wrong = append(wrong, fmt.Errorf("%s: group %s: rule %s: %w", where, shown(g.Name), shown(r.Alert+r.Record), err))
				continue
			}
			made.source, made.file, made.where, made.threshold, made.builtin = d.source, d.file, where, d.thresholds[r.Alert], own
			all = append(all, made)
		}
	}
	return all, wrong
}

// of is the loader for a document. What was added through the API goes on when a channel
// that it names is configured no more: better to the wrong people than to no one.
func (l *loader) of(d document) *loader {
	if d.source != FromAPI {
		return l
	}
	with := *l
	with.channels = slices.Clone(l.channels)
	for _, t := range d.thresholds {
		with.channels = append(with.channels, t.Channels...)
	}
	return &with
}

// checkTexts bounds the texts of a document before they are parsed, which a text that is
// long and deeply nested could make expensive.
func checkTexts(d document) error {
	var root yaml.Node
	if yaml.Unmarshal(d.text, &root) != nil {
		return nil // Its parser has a better error.
	}
	var check func(*yaml.Node) error
	check = func(n *yaml.Node) error {
		if len(n.Value) > template.MaxSource {
			return fmt.Errorf("line %d: the text has %d bytes; at most %d are allowed", n.Line, len(n.Value), template.MaxSource)
		}
		for _, inner := range n.Content {
			if err := check(inner); err != nil {
				return err
			}
		}
		return nil
	}
	return check(&root)
}

// ruleLines are the first lines of the rules in a file.
func ruleLines(text []byte) (lines []int) {
	var file struct {
		Groups []struct {
			Rules []yaml.Node `yaml:"rules"`
		} `yaml:"groups"`
	}
	if yaml.Unmarshal(text, &file) != nil {
		return nil // It was parsed before; errors then have no lines.
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			lines = append(lines, r.Line)
		}
	}
	return lines
}

// rule creates one rule.
func (l *loader) rule(g rulefmt.RuleGroup, r rulefmt.Rule) (*rule, error) {
	switch {
	case len(g.Name) > maxName || len(r.Alert+r.Record) > maxName:
		return nil, fmt.Errorf("the name of a group or a rule has at most %d bytes", maxName)
	case len(g.Labels)+len(r.Labels) > maxTexts || len(r.Annotations) > maxTexts:
		return nil, fmt.Errorf("a rule has at most %d labels and %d annotations", maxTexts, maxTexts)
	}
	// The query limits apply to rules too.
	expr, err := l.querier.Parse(r.Expr)
	if err != nil {
		return nil, err
	}
	made := &rule{group: g.Name, interval: l.interval, limit: g.Limit, expr: expr, last: map[uint64]element{}, holds: map[uint64]*hold{}}
	if g.Interval != 0 {
		made.interval = time.Duration(g.Interval)
	}
	if g.QueryOffset != nil {
		made.offset = time.Duration(*g.QueryOffset)
	}
	if err := checkSilent(expr); err != nil {
		return nil, err
	}
	if r.Alert == "" {
		made.Rule = rules.NewRecordingRule(r.Record, expr, rules.FromMaps(g.Labels, r.Labels))
		made.identify(1)
		return made, nil
	}
	whole := rules.FromMaps(g.Labels, r.Labels)
	plain, templates, err := texts(whole.Map(), maxLabel)
	if err != nil {
		return nil, err
	}
	made.labelTexts = templates
	same, templates, err := texts(r.Annotations, maxAnnotation)
	if err != nil {
		return nil, err
	}
	made.annotations, made.annotationTexts = labels.FromMap(same), templates
	if err := made.readAnnotations(r.Annotations, l.channels); err != nil {
		return nil, err
	}
	hold, keep := time.Duration(r.For), time.Duration(r.KeepFiringFor)
	log := l.log.With("alert", r.Alert)
	made.Rule = rules.NewAlertingRule(r.Alert, expr, hold, keep, whole, labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, log)
	made.alerting = rules.NewAlertingRule(r.Alert, expr, hold, keep, labels.FromMap(plain), labels.EmptyLabels(), labels.EmptyLabels(), "", true, log)
	made.identify(1)
	made.scraped = slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(r.Annotations)), slices.Collect(maps.Values(whole.Map()))), scrapeLabel.MatchString)
	if made.limits.text == "" {
		made.limits.text = comparison(expr)
	}
	return made, nil
}

// scrapeLabel matches a text that shows a label of the scrape.
var scrapeLabel = regexp.MustCompile(`(?i)labels\.(job|instance)\b`)

// checkSilent refuses what would always be empty.
func checkSilent(expr parser.Expr) (wrong error) {
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		vector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		name := nameOf(vector.LabelMatchers, model.MetricNameLabel)
		if !isSilence(name) {
			return nil
		}
		past := vector.OriginalOffset != 0 || vector.Timestamp != nil
		for _, above := range path {
			switch above.(type) {
			case *parser.MatrixSelector, *parser.SubqueryExpr:
				past = true
			}
		}
		if past {
			wrong = fmt.Errorf("%s has no history: a range, an offset or @ of it is always empty", name)
		}
		return nil
	})
	return wrong
}

// readAnnotations reads the annotations that this package interprets.
func (r *rule) readAnnotations(annotations map[string]string, channels []string) error {
	var errs ValidationErrors
	wrong := func(field string, value any, rule string) {
		errs = append(errs, ValidationError{Field: field, Value: shown(value), Rule: rule})
	}
	r.remind = duration(annotations[annotationRemind], annotationRemind, time.Minute, wrong)
	for name := range strings.SplitSeq(annotations[annotationChannels], ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !slices.Contains(channels, name) {
			wrong(annotationChannels, name, channelRule(channels))
		}
		r.channels = append(r.channels, name)
	}
	r.limits.text, r.limits.unit = annotations[annotationThreshold], annotations[annotationUnit]
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// comparison returns the threshold in an expression: "> 0.8" for x > 0.8, "" if
// there is none.
func comparison(expr parser.Expr) string {
	binary, limit := firstLimit(expr)
	if binary == nil {
		return ""
	}
	return binary.Op.String() + " " + number(limit.Val)
}

// thresholdGroup is the name of the group of thresholds.
const thresholdGroup = "thresholds"

// thresholdDocument converts thresholds to a document.
func (l *loader) thresholdDocument(source, file string, thresholds []Threshold, metrics func(string) (Metric, bool)) (document, ValidationErrors) {
	d := document{source: source, file: file, thresholds: map[string]*Threshold{}}
	group := rulefmt.RuleGroup{Name: thresholdGroup}
	var errs ValidationErrors
	for i := range thresholds {
		t := thresholds[i]
		channels := l.channels
		if source == FromAPI {
			channels = append(slices.Clone(channels), t.Channels...)
		}
		c, wrong := t.check(metrics, channels, l.interval)
		if _, twice := d.thresholds[t.Name]; twice {
			wrong = append(wrong, ValidationError{Field: "name", Value: shown(t.Name), Rule: "is used twice; names of thresholds must be unique"})
		}
		d.thresholds[t.Name] = &t
		if len(wrong) == 0 {
			rule := c.rule()
			if err := c.parse(l.querier); err != nil {
				wrong = append(wrong, ValidationError{Field: fieldOf(t), Value: shown(t.Metric + t.Expr), Rule: err.Error()})
			}
			group.Rules = append(group.Rules, rule)
		}
		for _, m := range wrong {
			m.Field = fmt.Sprintf("[%d].%s", i, m.Field)
			errs = append(errs, m)
		}
	}
	if len(errs) > 0 || len(group.Rules) == 0 {
		return d, errs
	}
	text, err := yaml.Marshal(rulefmt.RuleGroups{Groups: []rulefmt.RuleGroup{group}})
	if err != nil {
		return d, ValidationErrors{{Rule: err.Error()}}
	}
	d.text = text
	return d, nil
}

// fieldOf is the field with the metric or expression of a threshold.
func fieldOf(t Threshold) string {
	if t.Expr != "" {
		return "expr"
	}
	return "metric"
}

// maxFile is the maximum size of a rule file.
const maxFile = 1 << 20

// readFile reads a rule file.
func readFile(path string) (document, error) {
	info, err := os.Stat(path)
	if err != nil {
		return document{}, err
	}
	if info.Size() > maxFile {
		return document{}, fmt.Errorf("%s has %d bytes; at most %d are allowed", path, info.Size(), maxFile)
	}
	text, err := os.ReadFile(path)
	return document{source: FromFile, file: path, text: text}, err
}
