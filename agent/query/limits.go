package query

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/promql/parser"
)

// Limits bound the cost of one query.
type Limits struct {
	// Points is the maximum number of points per series, and per subquery.
	Points int
	// Samples is the maximum number of samples in memory, 16 bytes each.
	Samples int
	// Series is the maximum number of series in a REST response.
	Series int
	// Timeout includes the wait for a turn.
	Timeout time.Duration
	// Concurrency is the number of queries evaluated at once. Waiting is the number
	// of those that may wait, a quarter of them of one client; others are refused.
	Concurrency, Waiting int
	// Length is the maximum size of an expression in bytes, Depth its maximum
	// nesting.
	Length, Depth int
}

// DefaultLimits are generous for users and charts: as many points as Prometheus,
// and at most 128 MiB of samples for four queries at once.
func DefaultLimits() Limits {
	return Limits{
		Points:      11_000,
		Samples:     2_000_000,
		Series:      2_000,
		Timeout:     30 * time.Second,
		Concurrency: 4,
		Waiting:     64,
		Length:      16 << 10,
		Depth:       200,
	}
}

// checkText checks what can be checked without parsing.
func (l Limits) checkText(text string) error {
	if len(text) > l.Length {
		return badData("the expression has %d bytes, at most %d are allowed", len(text), l.Length)
	}
	if !utf8.ValidString(text) {
		return badData("the expression is not valid UTF-8")
	}
	return nil
}

// checkExpr bounds nesting and the windows of subqueries: the engine counts samples
// only and does not even interrupt those.
func (l Limits) checkExpr(expr parser.Expr) error {
	var wrong error
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		if len(path) > l.Depth {
			wrong = badData("the expression is nested more than %d deep", l.Depth)
			return wrong
		}
		if sub, ok := node.(*parser.SubqueryExpr); ok {
			if points := sub.Range / subqueryStep(sub); points > time.Duration(l.Points) {
				wrong = badData("the subquery [%s:%s] has %d points, at most %d are allowed; use a longer step", sub.Range, subqueryStep(sub), points, l.Points)
				return wrong
			}
		}
		return nil
	})
	return wrong
}

// defaultSubqueryStep is Prometheus' default evaluation interval, for subqueries
// like [1h:].
const defaultSubqueryStep = time.Minute

func subqueryStep(sub *parser.SubqueryExpr) time.Duration {
	if sub.Step > 0 {
		return sub.Step
	}
	return defaultSubqueryStep
}

// checkRange checks the grid of a range query.
func (l Limits) checkRange(start, end time.Time, step time.Duration) error {
	if step < time.Millisecond {
		return badData("step must be at least 1ms, got %s", step)
	}
	if end.Before(start) {
		return badData("end timestamp must not be before start time")
	}
	if err := checkYears(start, end); err != nil {
		return err
	}
	if end.Sub(start)/step > time.Duration(l.Points) {
		return badData("exceeded maximum resolution of %s points per timeseries. Try decreasing the query resolution (?step=XX)", thousands(l.Points))
	}
	return nil
}

// thousands formats a number as Prometheus' messages do.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// checkYears checks that times are dates, whose sums cannot overflow.
func checkYears(times ...time.Time) error {
	for _, t := range times {
		if t.Year() < 1 || t.Year() > 9999 {
			return badData("time %d is outside the years 1 to 9999", t.Unix())
		}
	}
	return nil
}
