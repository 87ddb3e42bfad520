package alerting

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// What is compared of the seconds since the last evaluation.
const (
	// Mean is their mean.
	Mean = "mean"
	// Worst is the one that is furthest beyond the threshold, or, with == and !=, any that
	// fits.
	Worst = "worst"
	// Last is the newest alone.
	Last = "last"
)

// ordered reports whether an operator has a better and a worse side.
func ordered(op string) bool { return op != "==" && op != "!=" }

// reduction is how the threshold reduces an interval to one value.
func (t Threshold) reduction(wrong func(string, any, string)) string {
	switch {
	case t.Reduce == "" && (strings.Contains(t.Expr, silentName) || strings.Contains(t.Expr, lateName)):
		return Last // It has no other.
	case t.Reduce == "" && !ordered(t.Op):
		return Worst
	case t.Reduce == "":
		return Mean
	case !slices.Contains([]string{Mean, Worst, Last}, t.Reduce):
		wrong("reduce", t.Reduce, "must be one of mean, worst, last")
	case t.Reduce == Mean && !ordered(t.Op):
		wrong("reduce", t.Reduce, "is allowed with >, >=, < and <= only: a mean is seldom equal to anything")
	}
	return t.Reduce
}

// of is PromQL for the value of an interval. The finest tier has its seconds; a coarser
// one has what it keeps of them, which the range functions know.
func (c checked) of(m Metric, interval time.Duration, finest bool) string {
	value, one := "("+strings.TrimSpace(c.Expr)+")", false
	if c.Expr == "" {
		value, _ = m.selector(c.Match) // It was checked.
		one = true
	}
	if c.Reduce == Last || interval <= time.Second {
		if one {
			return m.scaled(value)
		}
		return strings.TrimSpace(c.Expr)
	}
	window := model.Duration(interval).String()
	seconds := "[" + window + ":1s]"
	switch {
	case !finest && one:
		seconds = "[" + window + "]"
	case !finest:
		seconds = "[" + window + ":" + window + "]"
	}
	switch {
	case c.Reduce == Mean:
		return m.scaled("avg_over_time(" + value + seconds + ")")
	case strings.HasPrefix(c.Op, ">"):
		return m.scaled("max_over_time(" + value + seconds + ")")
	case strings.HasPrefix(c.Op, "<"):
		return m.scaled("min_over_time(" + value + seconds + ")")
	}
	if !finest {
		seconds = "[" + window + ":" + window + "]"
	}
	return fmt.Sprintf("last_over_time((%s %s %s)%s)", m.scaled(value), c.Op, number(c.Threshold.Threshold), seconds)
}

// how says in words what is compared; empty for the value alone.
func (c checked) how() string {
	window := model.Duration(c.interval).String()
	switch {
	case c.interval <= time.Second || c.Reduce == Last:
		return ""
	case c.Reduce == Mean:
		return window + " mean"
	}
	return "worst second in " + window
}
