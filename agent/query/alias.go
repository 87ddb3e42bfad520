package query

import (
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// parseNamed parses an expression and replaces the names that have another one here, such
// as OpenTelemetry's of metrics and attributes; results have the names that are kept. It
// returns the text of what it has changed.
func (q *Querier) parseNamed(text string) (parser.Expr, string, error) {
	expr, err := q.parse(text)
	if err != nil {
		return nil, "", err
	}
	changed := false
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			renamed := false
			if n.LabelMatchers, renamed = q.rename(n.LabelMatchers); renamed {
				changed, n.Name = true, metricName(n.LabelMatchers)
			}
		case *parser.AggregateExpr:
			changed = renameLabels(n.Grouping) || changed
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				changed = renameLabels(n.VectorMatching.MatchingLabels) || changed
				changed = renameLabels(n.VectorMatching.Include) || changed
			}
		}
		return nil
	})
	if changed {
		text = expr.String()
	}
	return expr, text, nil
}

// rename replaces names in matchers, in place, and reports whether there were any.
func (q *Querier) rename(matchers []*labels.Matcher) ([]*labels.Matcher, bool) {
	matchers, changed := q.viewed(matchers)
	for i, m := range matchers {
		kept, ok := q.config.Aliases[m.Value]
		if ok && m.Name == model.MetricNameLabel && (m.Type == labels.MatchEqual || m.Type == labels.MatchNotEqual) {
			matchers[i], changed = labels.MustNewMatcher(m.Type, m.Name, kept), true
		} else if name, ok := labelOf(m.Name); ok {
			renamed := *m
			renamed.Name = name
			matchers[i], changed = &renamed, true
		}
	}
	return matchers, changed
}

// renameLabels replaces the names of attributes, in place, and reports whether there were
// any.
func renameLabels(names []string) bool {
	changed := false
	for i, name := range names {
		if label, ok := labelOf(name); ok {
			names[i], changed = label, true
		}
	}
	return changed
}

// labelOf is the label in which an attribute is kept; false if a name is no attribute's.
// Kept labels have no dots.
func labelOf(attribute string) (string, bool) {
	if !strings.Contains(attribute, ".") {
		return "", false
	}
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, attribute), true
}
