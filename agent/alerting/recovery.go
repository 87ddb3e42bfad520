package alerting

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// recovery is the value that ended an alert, with its annotations at that value.
type recovery struct {
	value float64
	texts map[string]string
}

// recoveries returns the values that ended alerts of the rule, by their fingerprints.
// Those that are not known are missing: there is no data any more, or the condition does
// not compare a value.
func (v *evaluation) recoveries(ctx context.Context) map[string]recovery {
	var ended []*alertState
	active := map[uint64]bool{}
	for _, alert := range v.rule.alerting.ActiveAlerts() {
		active[alert.Labels.Hash()] = true
	}
	for _, t := range v.a.states {
		if t.Owner == v.rule.key && t.fires() && !active[labels.FromMap(t.Labels).Hash()] {
			ended = append(ended, t)
		}
	}
	if len(ended) == 0 {
		return nil
	}
	found := map[uint64]promql.Sample{}
	for _, expr := range compared(v.rule.expr) {
		result, err := v.a.options.Querier.EvalRule(ctx, expr.String(), v.at.Add(-v.rule.offset), v.a.present(ctx, v.at))
		if err != nil {
			v.a.log.Warn("cannot tell the value that ended an alert", "rule", v.rule.Name(), "err", err)
			continue
		}
		for _, s := range result {
			if _, before := found[s.Metric.Hash()]; !before && finite(s.F) {
				found[s.Metric.Hash()] = s
			}
		}
	}
	all := map[string]recovery{}
	for _, t := range ended {
		if s, ok := found[labels.FromMap(t.Element).Hash()]; ok {
			one := recovery{value: s.F}
			if e, err := v.element(ctx, s); err == nil {
				one.texts = e.texts.Map()
			}
			all[t.Fingerprint] = one
		}
	}
	return all
}

// compared are the values that a condition compares with something: x of x > 0.8.
func compared(expr parser.Expr) []parser.Expr {
	switch n := expr.(type) {
	case *parser.ParenExpr:
		return compared(n.Expr)
	case *parser.BinaryExpr:
		switch {
		case n.Op == parser.LOR:
			return append(compared(n.LHS), compared(n.RHS)...)
		case n.Op == parser.LAND || n.Op == parser.LUNLESS:
			return compared(n.LHS)
		case !n.Op.IsComparisonOperator() || n.ReturnBool:
		case n.LHS.Type() == parser.ValueTypeScalar:
			return []parser.Expr{n.RHS}
		default:
			return append([]parser.Expr{n.LHS}, compared(n.LHS)...)
		}
	case *parser.Call: // last_over_time((x == 0)[15s:1s]) == 0
		if n.Func.Name == "last_over_time" {
			if subquery, ok := n.Args[0].(*parser.SubqueryExpr); ok {
				return compared(subquery.Expr)
			}
		}
	}
	return nil
}
