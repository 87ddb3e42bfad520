package query

import (
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// pin replaces what depends on the time range of the whole query by its value, because
// a segment starts and ends elsewhere: @ start() and @ end(), the functions of the
// range, and durations that are computed. It changes the expression; false if there was
// nothing to replace.
func pin(expr parser.Expr, text string, s steps) (string, bool, error) {
	if !ranging(expr) {
		return text, false, nil
	}
	expr, err := promql.PreprocessExpr(expr, s.start, s.end, s.step)
	if err != nil {
		return "", false, badExpr(err)
	}
	pinDurations(expr)
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			n.StartOrEnd = 0
		case *parser.SubqueryExpr:
			n.StartOrEnd = 0
		}
		return nil
	})
	return expr.String(), true, nil
}

// ranging reports whether an expression depends on the time range of the query.
func ranging(expr parser.Expr) (found bool) {
	eachDuration(expr, func(_ *time.Duration, computed **parser.DurationExpr) { found = found || *computed != nil })
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			found = found || n.StartOrEnd != 0
		case *parser.SubqueryExpr:
			found = found || n.StartOrEnd != 0
		case *parser.Call:
			switch n.Func.Name {
			case "start", "end", "range", "step":
				found = true
			}
		}
		return nil
	})
	return found
}
