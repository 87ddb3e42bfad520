package query

import (
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// Limits bound the cost of one query.
type Limits struct {
	// Points is the maximum number of points per series, and per subquery.
	Points int
	// Memory is what one evaluation may take, in bytes: its series, their labels and
	// all intermediate results.
	Memory float64
	// Samples is the number of samples from which on a query over a range reads coarser
	// tiers, where they can answer.
	Samples float64
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

// DefaultLimits are generous for users and charts: as many points as Prometheus, and
// lists of 2,000 hosts in an expression. All evaluations together take
// 64 MiB at most: two light ones, a heavy one, a rule, and the results being sent.
func DefaultLimits() Limits {
	return Limits{
		Points:      11_000,
		Memory:      heavyMemory,
		Samples:     float64(DefaultOptions().MaxSamples),
		Series:      2_000,
		Timeout:     30 * time.Second,
		Concurrency: 2,
		Waiting:     512,
		Length:      256 << 10,
		Depth:       200,
	}
}

// checkDepth bounds the nesting of an expression.
func (l Limits) checkDepth(expr parser.Expr) error {
	if depth := depthOf(expr); depth > l.Depth {
		return badData("the expression is nested more than %d deep", l.Depth)
	}
	return nil
}

// checkSubqueries bounds the steps of subqueries.
func checkSubqueries(expr parser.Expr) (wrong error) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		sub, ok := node.(*parser.SubqueryExpr)
		if !ok {
			return nil
		}
		if points := sub.Range / subqueryStep(sub); points > maxSubquery {
			wrong = badData("the subquery [%s:%s] has %d points, at most %d are allowed; use a longer step", sub.Range, subqueryStep(sub), points, maxSubquery)
		}
		return wrong
	})
	return wrong
}

// maxSubquery is the maximum number of points in a subquery of one series; with more
// series the memory of the evaluation bounds it. A month of minutes are 43,200.
const maxSubquery = 100_000

// depthOf is how deep an expression is nested.
func depthOf(expr parser.Expr) int {
	deepest := 0
	parser.Inspect(expr, func(_ parser.Node, path []parser.Node) error {
		deepest = max(deepest, len(path))
		return nil
	})
	return deepest
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
