package alerting

import (
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// need is what an expression needs in order to have a result: a selector that matches,
// all parts, or, with either, one of them. Without any it has a result in any case, as
// absent(x) and vector(0) do.
type need struct {
	selector *sighting
	parts    []*need
	either   bool
}

// missing returns the selectors for whose want the expression has no result, nil if it
// can have one.
func (n *need) missing() (all []*sighting) {
	if n.selector != nil {
		if n.selector.seen {
			return nil
		}
		return []*sighting{n.selector}
	}
	for _, part := range n.parts {
		some := part.missing()
		if n.either && len(some) == 0 {
			return nil
		}
		for _, s := range some {
			if len(all) < maxSelectors && !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// isEmpty reports whether the expression has a result in any case.
func (n *need) isEmpty() bool { return n.selector == nil && len(n.parts) == 0 }

// allOf needs all of some parts, eitherOf one of them.
func allOf(parts ...*need) *need {
	parts = slices.DeleteFunc(parts, (*need).isEmpty)
	if len(parts) == 1 {
		return parts[0]
	}
	return &need{parts: parts}
}

func eitherOf(parts ...*need) *need {
	if len(parts) == 0 || slices.ContainsFunc(parts, (*need).isEmpty) {
		return &need{}
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return &need{parts: parts, either: true}
}

// needs returns what an expression needs. see returns the sighting of a selector. A
// series that a rule records needs what that rule needs; depth is how many of those are
// followed. The caller holds mu.
func (a *Alerting) needs(expr parser.Expr, depth int, see func(*parser.VectorSelector) *sighting) *need {
	inner := func(e parser.Expr) *need {
		if e == nil {
			return &need{}
		}
		return a.needs(e, depth, see)
	}
	switch e := expr.(type) {
	case *parser.VectorSelector:
		return a.needsSelector(e, depth, see)
	case *parser.MatrixSelector:
		return inner(e.VectorSelector)
	case *parser.SubqueryExpr:
		return inner(e.Expr)
	case *parser.ParenExpr:
		return inner(e.Expr)
	case *parser.StepInvariantExpr:
		return inner(e.Expr)
	case *parser.UnaryExpr:
		return inner(e.Expr)
	case *parser.AggregateExpr:
		return allOf(inner(e.Expr), inner(e.Param))
	case *parser.BinaryExpr:
		left, right := inner(e.LHS), inner(e.RHS)
		switch {
		case e.Op == parser.LOR:
			return eitherOf(left, right)
		case e.Op == parser.LUNLESS:
			return left
		}
		if m := e.VectorMatching; m != nil { // What is missing on one side is filled in.
			fillsLeft, fillsRight := m.FillValues.LHS != nil, m.FillValues.RHS != nil
			switch {
			case fillsLeft && fillsRight:
				return eitherOf(left, right)
			case fillsLeft:
				return right
			case fillsRight:
				return left
			}
		}
		return allOf(left, right)
	case *parser.Call:
		switch e.Func.Name {
		case "absent", "absent_over_time":
			return &need{}
		case "info": // The second argument chooses labels.
			return inner(e.Args[0])
		}
		parts := make([]*need, len(e.Args))
		for i, arg := range e.Args {
			parts[i] = inner(arg)
		}
		return allOf(parts...)
	}
	return &need{} // A number or a text.
}

// needsSelector returns what a selector needs.
func (a *Alerting) needsSelector(e *parser.VectorSelector, depth int, see func(*parser.VectorSelector) *sighting) *need {
	name := nameOf(e.LabelMatchers, model.MetricNameLabel)
	switch name {
	case alertsName, forStateName:
		// They are there while an alert is; only a rule that does not exist never has one.
		of := nameOf(e.LabelMatchers, model.AlertNameLabel)
		if of == "" || slices.ContainsFunc(a.byName[of], func(r *rule) bool { return r.alerting != nil }) {
			return &need{}
		}
	case silentName, lateName:
		if a.options.Hosts != nil {
			return &need{}
		}
	default:
		var recorders []*need
		for _, r := range a.byName[name] {
			if r.alerting != nil {
				continue
			}
			if depth == 0 {
				return &need{}
			}
			recorders = append(recorders, a.needs(r.expr, depth-1, see))
		}
		if len(recorders) > 0 {
			return eitherOf(recorders...)
		}
	}
	return &need{selector: see(e)}
}

// textOf is a selector without its range, offset and time.
func textOf(matchers []*labels.Matcher) string {
	s := parser.VectorSelector{Name: nameOf(matchers, model.MetricNameLabel), LabelMatchers: matchers}
	return s.String()
}
