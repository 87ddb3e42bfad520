package query

import "github.com/prometheus/prometheus/promql/parser"

// pinTimes replaces @ start(), @ end() and the functions of the time range by the
// times of the whole query, because a segment starts and ends elsewhere. It changes
// the expression, and reports whether there were any.
func pinTimes(expr parser.Expr, s steps) (parser.Expr, bool) {
	start, end := s.start, s.at(s.count-1)
	found := false
	stamp := func(which *parser.ItemType, at **int64) {
		if *which != parser.START && *which != parser.END {
			return
		}
		ms := start.UnixMilli()
		if *which == parser.END {
			ms = end.UnixMilli()
		}
		*at, *which, found = &ms, 0, true
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			stamp(&n.StartOrEnd, &n.Timestamp)
		case *parser.SubqueryExpr:
			stamp(&n.StartOrEnd, &n.Timestamp)
		}
		return nil
	})
	return replaceCalls(expr, func(call *parser.Call) parser.Expr {
		if s.step == 0 {
			return call // The engine knows.
		}
		value := 0.0
		switch call.Func.Name {
		case "start":
			value = float64(start.UnixMilli()) / 1000
		case "end":
			value = float64(end.UnixMilli()) / 1000
		case "range":
			value = end.Sub(start).Seconds()
		case "step":
			value = s.step.Seconds()
		default:
			return call
		}
		found = true
		return &parser.NumberLiteral{Val: value, PosRange: call.PosRange}
	}), found
}
