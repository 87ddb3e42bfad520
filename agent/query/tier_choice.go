package query

import (
	"sort"
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// requirements are what an expression needs from a tier.
type requirements struct {
	// maxResolution is the coarsest resolution that suffices: the minimum of the
	// step, the ranges and the steps of subqueries. Zero means the finest tier.
	maxResolution time.Duration
	// fixedRanges cannot be widened.
	fixedRanges []fixedRange
	// names are the metrics selected by name.
	names []string
	// selectors is false for an expression that reads no series.
	selectors bool
}

// fixedRange is a range in which a function needs enough points.
type fixedRange struct {
	function string
	width    time.Duration
	points   time.Duration
}

// requirementsOf returns what an expression needs from a tier. The step of an
// instant query is zero. An expression that returns a range of raw samples needs
// the finest tier, because no average can replace them.
func requirementsOf(expr parser.Expr, step time.Duration) requirements {
	d := requirements{maxResolution: step}
	finer := func(limit time.Duration) {
		if d.maxResolution == 0 || limit < d.maxResolution {
			d.maxResolution = limit
		}
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.MatrixSelector:
			finer(n.Range)
		case *parser.SubqueryExpr:
			finer(min(n.Range, subqueryStep(n)))
		case *parser.VectorSelector:
			d.selectors = true
			if name := metricName(n.LabelMatchers); name != "" {
				d.names = append(d.names, name)
			}
		case *parser.Call:
			rule := rangeRuleOf(n.Func.Name)
			if selector := ranged(n); selector != nil && !rule.widen {
				d.fixedRanges = append(d.fixedRanges, fixedRange{n.Func.Name, selector.Range, rule.points})
				finer(selector.Range / rule.points)
			}
		}
		return nil
	})
	if expr.Type() == parser.ValueTypeMatrix {
		d.maxResolution = 0
	}
	return d
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

// candidate is a tier with what it takes to evaluate the query on it.
type candidate struct {
	source   Source
	oldest   time.Time
	lookBack time.Duration
	// text is the expression with its ranges widened for the tier.
	text string
	expr parser.Expr
	// covers is the first step for which the tier holds all samples, steps.count if
	// there is none.
	covers int
	// ends is the first step for which it lacks the newest samples, steps.count if there
	// is none.
	ends int
}

// steps are the times of a query.
type steps struct {
	start time.Time
	step  time.Duration
	count int
}

func (s steps) at(i int) time.Time { return s.start.Add(time.Duration(i) * s.step) }

// firstCovered is the first step whose oldest sample the tier can hold.
func (o *candidate) firstCovered(s steps) int {
	if o.oldest.IsZero() {
		return s.count
	}
	oldest := o.oldest.UnixMilli()
	return sort.Search(s.count, func(i int) bool {
		at := s.at(i)
		earliest, _ := promql.FindMinMaxTime(&parser.EvalStmt{Expr: o.expr, Start: at, End: at, LookbackDelta: o.lookBack})
		return earliest >= oldest
	})
}

// firstIncomplete is the first step whose newest sample the tier may lack.
func (o *candidate) firstIncomplete(s steps) int {
	until := completeUntil(o.source)
	if until.IsZero() {
		return s.count
	}
	return sort.Search(s.count, func(i int) bool {
		at := s.at(i)
		_, latest := promql.FindMinMaxTime(&parser.EvalStmt{Expr: o.expr, Start: at, End: at, LookbackDelta: o.lookBack})
		return latest > until.UnixMilli()
	})
}

// segment is a run of steps evaluated on one tier.
type segment struct {
	candidate   *candidate
	first, last int // both included
}

// choose splits the steps into segments: for each step the coarsest tier that is
// fine enough, covers it and has its newest samples; else the finest that does; else the
// tier that reaches back furthest.
func choose(candidates []candidate, d requirements, s steps) []segment {
	edges := []int{0}
	for i := range candidates {
		for _, edge := range []int{candidates[i].covers, candidates[i].ends} {
			if edge > 0 && edge < s.count {
				edges = append(edges, edge)
			}
		}
	}
	sort.Ints(edges)
	var segments []segment
	for i, first := range edges {
		last := s.count - 1
		if i+1 < len(edges) {
			last = edges[i+1] - 1
		}
		if last < first {
			continue
		}
		chosen := best(candidates, d.maxResolution, first)
		if n := len(segments); n > 0 && segments[n-1].candidate == chosen {
			segments[n-1].last = last
			continue
		}
		segments = append(segments, segment{candidate: chosen, first: first, last: last})
	}
	return segments
}

// best returns the tier for a step; candidates are sorted, finest first.
func best(candidates []candidate, maxResolution time.Duration, step int) *candidate {
	var finest, coarsest *candidate
	for i := range candidates {
		o := &candidates[i]
		if o.covers > step || o.ends <= step {
			continue
		}
		if finest == nil {
			finest = o
		}
		if o.source.Resolution() <= maxResolution {
			coarsest = o
		}
	}
	switch {
	case coarsest != nil:
		return coarsest
	case finest != nil:
		return finest
	}
	furthest := &candidates[0]
	for i := range candidates {
		o := &candidates[i]
		if !o.oldest.IsZero() && (furthest.oldest.IsZero() || o.oldest.Before(furthest.oldest)) {
			furthest = o
		}
	}
	return furthest
}

// checkRanges returns an error if the tier of a segment is too coarse for a range
// that cannot be widened, with the smallest range allowed there.
func (d requirements) checkRanges(segments []segment, s steps) error {
	for _, seg := range segments {
		for _, r := range d.fixedRanges {
			smallest := r.points * seg.candidate.source.Resolution()
			if r.width < smallest {
				return badData("%s() over %s is too short from %s to %s: only the %s tier reaches back that far, and the smallest range allowed there is %s",
					r.function, store.TierName(r.width), s.at(seg.first).UTC().Format(time.RFC3339), s.at(seg.last).UTC().Format(time.RFC3339), seg.candidate.source.Name(), store.TierName(smallest))
			}
		}
	}
	return nil
}
