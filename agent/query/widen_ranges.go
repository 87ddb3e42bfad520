package query

import (
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// rangeRule is how a function handles a range that is too short for a tier.
type rangeRule struct {
	// points is the number of points that the range must hold.
	points time.Duration
	// widen: the range may be widened, the result means the same.
	widen bool
	// scale: the result is scaled back to the original range.
	scale bool
}

// rangeRuleOf returns the rule of a function. Functions that are not widened count,
// add or weigh the points: over another range, or from averages, the result would
// differ.
func rangeRuleOf(function string) rangeRule {
	switch function {
	case "rate", "irate", "deriv":
		return rangeRule{points: 2, widen: true}
	case "increase", "delta":
		return rangeRule{points: 2, widen: true, scale: true}
	case "avg_over_time", "min_over_time", "max_over_time", "last_over_time":
		return rangeRule{points: 1, widen: true}
	case "changes", "resets", "stddev_over_time", "stdvar_over_time", "mad_over_time", "idelta", "predict_linear", "double_exponential_smoothing":
		return rangeRule{points: 2}
	}
	return rangeRule{points: 1}
}

// ranged returns the range selector that a call reads, nil if there is none. A
// subquery is none, because it makes its own points.
func ranged(call *parser.Call) *parser.MatrixSelector {
	for _, arg := range call.Args {
		for {
			paren, ok := arg.(*parser.ParenExpr)
			if !ok {
				break
			}
			arg = paren.Expr
		}
		if selector, ok := arg.(*parser.MatrixSelector); ok {
			return selector
		}
	}
	return nil
}

// needsWidening reports whether an expression has to be changed for a tier.
func needsWidening(expr parser.Expr, resolution time.Duration) bool {
	found := false
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if call, ok := node.(*parser.Call); ok {
			rule := rangeRuleOf(call.Func.Name)
			if selector := ranged(call); selector != nil && rule.widen && selector.Range < rule.points*resolution {
				found = true
			}
		}
		return nil
	})
	return found
}

// widen widens, in place, the ranges that are too short for a tier, and returns the
// expression to evaluate.
func widen(expr parser.Expr, resolution time.Duration) parser.Expr {
	return replaceCalls(expr, func(call *parser.Call) parser.Expr {
		rule, selector := rangeRuleOf(call.Func.Name), ranged(call)
		needed := rule.points * resolution
		if selector == nil || !rule.widen || selector.Range >= needed {
			return call
		}
		asked := selector.Range
		selector.Range = needed
		if !rule.scale {
			return call
		}
		return &parser.ParenExpr{Expr: &parser.BinaryExpr{
			Op:  parser.MUL,
			LHS: call,
			RHS: &parser.NumberLiteral{Val: float64(asked) / float64(needed)},
		}}
	})
}

// replaceCalls replaces the calls in an expression, in place, the innermost first.
func replaceCalls(expr parser.Expr, by func(*parser.Call) parser.Expr) parser.Expr {
	switch e := expr.(type) {
	case *parser.AggregateExpr:
		e.Expr = replaceCalls(e.Expr, by)
		if e.Param != nil {
			e.Param = replaceCalls(e.Param, by)
		}
	case *parser.BinaryExpr:
		e.LHS, e.RHS = replaceCalls(e.LHS, by), replaceCalls(e.RHS, by)
	case *parser.ParenExpr:
		e.Expr = replaceCalls(e.Expr, by)
	case *parser.UnaryExpr:
		e.Expr = replaceCalls(e.Expr, by)
	case *parser.SubqueryExpr:
		e.Expr = replaceCalls(e.Expr, by)
	case *parser.Call:
		for i, arg := range e.Args {
			e.Args[i] = replaceCalls(arg, by)
		}
		return by(e)
	}
	return expr
}
