package query

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// parseNamed parses an expression and replaces the names that have another one here, such
// as OpenTelemetry's; results have the name that is kept. It returns the text of what it
// has changed.
func (q *Querier) parseNamed(text string) (parser.Expr, string, error) {
	expr, err := q.parse(text)
	if err != nil {
		return nil, "", err
	}
	changed := false
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		if q.rename(selector.LabelMatchers) {
			changed, selector.Name = true, metricName(selector.LabelMatchers)
		}
		return nil
	})
	if changed {
		text = expr.String()
	}
	return expr, text, nil
}

// rename replaces names in matchers, in place, and reports whether there were any.
func (q *Querier) rename(matchers []*labels.Matcher) bool {
	changed := false
	for i, m := range matchers {
		kept, ok := q.config.Aliases[m.Value]
		if ok && m.Name == model.MetricNameLabel && (m.Type == labels.MatchEqual || m.Type == labels.MatchNotEqual) {
			matchers[i], changed = labels.MustNewMatcher(m.Type, m.Name, kept), true
		}
	}
	return changed
}
