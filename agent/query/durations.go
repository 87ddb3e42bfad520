package query

import (
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// NewParser returns the parser of all expressions: what Prometheus takes by default
// (parserOpts in its cmd/prometheus), and the experimental functions.
func NewParser() parser.Parser { return newParser(false) }

// newParser returns a parser, with or without what only plans write.
func newParser(extended bool) parser.Parser {
	return parser.NewParser(parser.Options{ExperimentalDurationExpr: true, EnableExperimentalFunctions: true, EnableExtendedRangeSelectors: extended})
}

// resolveDurations computes the durations of an expression that are expressions
// themselves, such as [5s*2] and [2*step()], as the engine does in a copy of its own, and
// checks them.
func (q *Querier) resolveDurations(expr parser.Expr, text string, s steps) error {
	found := false
	eachDuration(expr, func(_ *time.Duration, computed **parser.DurationExpr) { found = found || *computed != nil })
	if !found {
		return checkSubqueries(expr)
	}
	own, err := q.parser.ParseExpr(text)
	if err != nil {
		return &Error{Type: Internal, Err: err}
	}
	if own, err = promql.PreprocessExpr(own, s.start, s.end, s.step); err != nil {
		return badExpr(err)
	}
	var resolved []time.Duration
	eachDuration(own, func(d *time.Duration, _ **parser.DurationExpr) { resolved = append(resolved, *d) })
	eachDuration(expr, func(d *time.Duration, _ **parser.DurationExpr) { *d, resolved = resolved[0], resolved[1:] })
	return checkSubqueries(expr)
}

// pinDurations makes the computed durations those of an expression, and reports whether
// there were any.
func pinDurations(expr parser.Expr) (found bool) {
	eachDuration(expr, func(_ *time.Duration, computed **parser.DurationExpr) {
		found = found || *computed != nil
		*computed = nil
	})
	return found
}

// eachDuration calls f with every duration of an expression, and with the expression from
// which it is computed, nil if there is none.
func eachDuration(expr parser.Expr, f func(*time.Duration, **parser.DurationExpr)) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			f(&n.OriginalOffset, &n.OriginalOffsetExpr)
		case *parser.MatrixSelector:
			f(&n.Range, &n.RangeExpr)
		case *parser.SubqueryExpr:
			f(&n.OriginalOffset, &n.OriginalOffsetExpr)
			f(&n.Step, &n.StepExpr)
			f(&n.Range, &n.RangeExpr)
		}
		return nil
	})
}
