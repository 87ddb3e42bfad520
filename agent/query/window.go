package query

import (
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// window is what one selector of a query reads.
type window struct {
	selector *parser.VectorSelector
	// name is that of an equality matcher, "" if there is none.
	name string
	// function is the one that reads a range of samples, "" for all others.
	function string
	// width is the length of the range, 0 for a selector without one.
	width time.Duration
	// back is how far before a step the range or the sample lies, at most; at replaces
	// the step if it is fixed.
	back time.Duration
	at   *int64
	// span is the time that it reads at one step.
	span time.Duration
	// every is the time between two evaluations: that of a subquery, or the step.
	every    time.Duration
	subquery bool
	// tiers is the number of tiers that keep the series.
	tiers int
}

// windowsOf returns what the selectors of an expression read, in the order in which
// the engine resolves them.
func windowsOf(expr parser.Expr, step time.Duration) []window {
	var windows []window
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		w := window{selector: selector, name: metricName(selector.LabelMatchers), every: step}
		// The same sums as those of the engine (subqueryTimes in promql/engine.go).
		for i, around := range path {
			switch n := around.(type) {
			case *parser.SubqueryExpr:
				w.every, w.subquery = subqueryStep(n), true
				if n.Timestamp != nil {
					w.at, w.back = n.Timestamp, 0
				}
				w.back += n.OriginalOffset + n.Range
				w.span += n.Range
			case *parser.MatrixSelector:
				w.width = n.Range
				w.function = functionAround(path[:i])
			}
		}
		if selector.Timestamp != nil {
			w.at, w.back = selector.Timestamp, 0
		}
		w.back += selector.OriginalOffset + w.width
		w.span += w.width
		windows = append(windows, w)
		return nil
	})
	return windows
}

// asksPresence reports whether an expression asks whether there are series at moments: in
// a range it is known.
func asksPresence(expr parser.Expr) (asks bool) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if call, ok := node.(*parser.Call); ok {
			switch call.Func.Name {
			case "absent":
				asks = true
			case "absent_over_time", "present_over_time":
				asks = asks || ranged(call) == nil
			}
		}
		return nil
	})
	return asks
}

// functionAround returns the function whose argument ends a path.
func functionAround(path []parser.Node) string {
	for i := len(path) - 1; i >= 0; i-- {
		switch n := path[i].(type) {
		case *parser.Call:
			return n.Func.Name
		case *parser.ParenExpr, *parser.StepInvariantExpr:
		default:
			return ""
		}
	}
	return ""
}

// earliest is the time after which a window needs samples, in milliseconds.
func (w *window) earliest(step time.Time, lookBack time.Duration) int64 {
	at := step.UnixMilli()
	if w.at != nil {
		at = *w.at
	}
	back := w.back
	if w.width == 0 {
		back += lookBack
	}
	return at - back.Milliseconds() + 1
}

// metricName returns the name in an equality matcher, or "".
func metricName(matchers []*labels.Matcher) string {
	for _, m := range matchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// keepers is the number of tiers that keep a metric.
func (q *Querier) keepers(name string, tiers int) int {
	if q.config.Names == nil || name == "" || tiers <= briefTiers {
		return tiers
	}
	if rollup, ok := q.config.Names.Lookup(name); ok {
		name = rollup.Raw
	}
	if q.config.Names.Brief(name) {
		return briefTiers
	}
	return tiers
}

// briefTiers is the number of tiers that keep brief series.
const briefTiers = 2

// isRate reports whether a name is that of a roll-up of the rates of a counter.
func (q *Querier) isRate(name string) bool {
	if q.config.Names == nil {
		return false
	}
	rollup, ok := q.config.Names.Lookup(name)
	return ok && rollup.Rate
}

// isCounter reports whether a metric is registered as a counter.
func (q *Querier) isCounter(name string) bool {
	if q.config.Names == nil {
		return false
	}
	_, _, kind, ok := q.config.Names.Names(name)
	return ok && kind == store.Counter
}
