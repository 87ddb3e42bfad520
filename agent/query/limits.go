package query

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/promql/parser"
)

// Limits hold one question within bounds, however it is meant.
type Limits struct {
	// Points is how many points a series of an answer, or a subquery, may have.
	Points int
	// Samples is how many samples a question may hold in memory, 16 bytes each.
	Samples int
	// Series is how many series a REST answer may have.
	Series int
	// Timeout is how long a question may take, its wait for a turn included.
	Timeout time.Duration
	// Concurrency is how many questions are answered at once; others wait.
	Concurrency int
	// Length is how many bytes an expression may have, Depth how deeply it may be
	// nested.
	Length, Depth int
}

// DefaultLimits are generous for people and charts: the longest answer is that
// of Prometheus, and four questions at once hold at most 128 MiB of samples.
func DefaultLimits() Limits {
	return Limits{
		Points:      11_000,
		Samples:     2_000_000,
		Series:      2_000,
		Timeout:     30 * time.Second,
		Concurrency: 4,
		Length:      16 << 10,
		Depth:       200,
	}
}

// checkText refuses what need not even be parsed.
func (l Limits) checkText(text string) error {
	if len(text) > l.Length {
		return badData("the expression has %d bytes, at most %d are allowed", len(text), l.Length)
	}
	if !utf8.ValidString(text) {
		return badData("the expression is not valid UTF-8")
	}
	return nil
}

// checkExpr refuses what would take memory or time without bound: the engine
// counts samples, but neither deep nesting nor the windows of a subquery, which
// it does not even interrupt.
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

// defaultSubqueryStep is Prometheus' default evaluation interval, which [1h:]
// stands for.
const defaultSubqueryStep = time.Minute

func subqueryStep(sub *parser.SubqueryExpr) time.Duration {
	if sub.Step > 0 {
		return sub.Step
	}
	return defaultSubqueryStep
}

// checkRange refuses a range query whose grid makes no sense.
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

// thousands writes a number as Prometheus does in its messages.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// checkYears refuses times that are not even dates; sums of others do not
// overflow.
func checkYears(times ...time.Time) error {
	for _, t := range times {
		if t.Year() < 1 || t.Year() > 9999 {
			return badData("time %d is outside the years 1 to 9999", t.Unix())
		}
	}
	return nil
}
