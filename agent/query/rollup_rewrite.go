package query

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// role is what a selector reads of a coarser tier.
type role string

const (
	// roleValue is the value of a bucket: the mean of a gauge, the last value of a counter.
	roleValue role = "value"
	// roleMin and roleMax are the extremes of a gauge.
	roleMin role = "min"
	roleMax role = "max"
	// roleCount is the number of readings, roleSum their sum.
	roleCount role = "count"
	roleSum   role = "sum"
	// rolePoints are values of which only time and order matter.
	rolePoints role = "points"
)

// rule is how a function reads a coarser tier.
type rule struct {
	// role is what it reads; "" is the value, with a warning that the answer is not that
	// of the readings.
	role role
	// kept: the tier keeps what it needs. counters: for counters only.
	kept, counters bool
	// smoothed: the range ends between points, by PromQL's own modifier.
	smoothed bool
	// points is the number of points that the range must hold, and widen that it may be
	// widened to that: the result means the same.
	points time.Duration
	widen  bool
}

// ruleOf returns the rule of a function over a range of samples.
func ruleOf(function string) rule {
	switch function {
	case "":
		return rule{role: roleValue, kept: true}
	case "max_over_time":
		return rule{role: roleMax, kept: true, points: 1, widen: true}
	case "min_over_time":
		return rule{role: roleMin, kept: true, points: 1, widen: true}
	case "avg_over_time":
		return rule{role: rolePoints, kept: true, points: 1, widen: true}
	case "sum_over_time":
		return rule{role: roleSum, kept: true, points: 1}
	case "count_over_time":
		return rule{role: roleCount, kept: true, points: 1}
	case "present_over_time", "absent_over_time":
		return rule{role: rolePoints, kept: true, points: 1}
	case "rate", "increase":
		return rule{role: rolePoints, kept: true, smoothed: true, widen: true}
	case "delta":
		return rule{counters: true, smoothed: true, widen: true}
	case "resets":
		return rule{counters: true, points: 2}
	case "last_over_time", "first_over_time":
		return rule{counters: true, points: 1, widen: true}
	case "irate", "idelta", "deriv":
		return rule{points: 2, widen: true}
	case "changes", "stddev_over_time", "stdvar_over_time", "mad_over_time", "predict_linear", "double_exponential_smoothing":
		return rule{points: 2}
	}
	return rule{points: 1}
}

// tierLabel is the label of a matcher that says what a selector reads. It matches by a
// regular expression, because absent() makes labels of all others.
const tierLabel = "__tier__"

// checkLabels refuses matchers of tierLabel in the expressions of users.
func checkLabels(expr parser.Expr) (wrong error) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			for _, m := range selector.LabelMatchers {
				if m.Name == tierLabel {
					wrong = badData("the label %s is reserved: which tier answers follows from the range", tierLabel)
				}
			}
		}
		return wrong
	})
	return wrong
}

// tagged returns matchers that read a role of a tier; other says of which function that
// has no role.
func tagged(matchers []*labels.Matcher, source Source, of role, other string) []*labels.Matcher {
	if of == "" {
		of = role("value of " + other)
	}
	tag := labels.MustNewMatcher(labels.MatchRegexp, tierLabel, source.Name()+" "+string(of))
	return append(slices.Clone(matchers), tag)
}

// untag returns what the matchers say that they read, and the others.
func untag(matchers []*labels.Matcher) (tier string, of role, other string, rest []*labels.Matcher) {
	i := slices.IndexFunc(matchers, func(m *labels.Matcher) bool { return m.Name == tierLabel })
	if i < 0 {
		return "", roleValue, "", matchers
	}
	tier, what, _ := strings.Cut(matchers[i].Value, " ")
	what, other, _ = strings.Cut(what, " of ")
	return tier, role(what), other, slices.Delete(slices.Clone(matchers), i, i+1)
}

// tags are those in the text of an expression.
var tags = regexp.MustCompile(`\{` + tag + `\}|,` + tag + `|` + tag + `,?`)

// tag is a matcher in the text of an expression.
const tag = tierLabel + `=~"[^"]*"`

// withoutTags returns the text of an expression as its author knows it.
func withoutTags(text string) string { return tags.ReplaceAllString(text, "") }

// rewrite returns the text of an expression in which each selector reads its tier,
// given in the order of the selectors. Those of the finest tier stay as they are.
func (p *plan) rewrite(tiers []int) (string, error) {
	if !slices.ContainsFunc(tiers, func(tier int) bool { return tier > 0 }) {
		return p.text, nil
	}
	expr, err := p.q.engineParser.ParseExpr(p.text)
	if err != nil {
		return "", &Error{Type: Internal, Err: err}
	}
	sources := map[*parser.VectorSelector]Source{}
	i := 0
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			if tiers[i] > 0 {
				sources[selector] = p.sources[tiers[i]]
			}
			i++
		}
		return nil
	})
	expr = replaceCalls(expr, func(call *parser.Call) parser.Expr {
		matrix := ranged(call)
		if matrix == nil {
			return call
		}
		selector, _ := matrix.VectorSelector.(*parser.VectorSelector) // There is no other.
		source := sources[selector]
		delete(sources, selector)
		if source == nil {
			return call
		}
		return rewriteCall(call, matrix, selector, source)
	})
	for selector, source := range sources {
		if !selector.BypassEmptyMatcherCheck { // It adds labels, and reads no samples.
			selector.LabelMatchers = tagged(selector.LabelMatchers, source, roleValue, "")
		}
	}
	return expr.String(), nil
}

// rewriteCall makes a function read what a coarser tier keeps for it.
func rewriteCall(call *parser.Call, matrix *parser.MatrixSelector, selector *parser.VectorSelector, source Source) parser.Expr {
	rule, name := ruleOf(call.Func.Name), call.Func.Name
	if rule.widen {
		matrix.Range = max(matrix.Range, rule.points*source.Resolution())
	}
	selector.Smoothed = rule.smoothed
	matchers := selector.LabelMatchers
	selector.LabelMatchers = tagged(matchers, source, rule.role, name)
	sum := func(of role) parser.Expr {
		own, ranged := *selector, *matrix
		own.LabelMatchers = tagged(matchers, source, of, name)
		ranged.VectorSelector = &own
		return &parser.Call{Func: parser.Functions["sum_over_time"], Args: parser.Expressions{&ranged}}
	}
	switch {
	case name == "sum_over_time", name == "count_over_time":
		return sum(rule.role)
	case name == "avg_over_time" && metricName(matchers) != "":
		// Pairs by labels: with several names there could be several pairs.
		return &parser.ParenExpr{Expr: &parser.BinaryExpr{
			Op: parser.DIV, LHS: sum(roleSum), RHS: sum(roleCount),
			VectorMatching: &parser.VectorMatching{Card: parser.CardOneToOne},
		}}
	}
	return call
}

// ranged returns the range selector that a call reads, nil if there is none. A
// subquery is none, because it makes its own points.
func ranged(call *parser.Call) *parser.MatrixSelector {
	for _, arg := range call.Args {
		if selector := matrix(arg); selector != nil {
			return selector
		}
	}
	return nil
}

// replaceCalls replaces the calls in an expression.
func replaceCalls(expr parser.Expr, by func(*parser.Call) parser.Expr) parser.Expr {
	switch e := expr.(type) {
	case *parser.AggregateExpr:
		e.Expr = replaceCalls(e.Expr, by)
		if e.Param != nil {
			e.Param = replaceCalls(e.Param, by)
		}
	case *parser.BinaryExpr:
		e.LHS, e.RHS = replaceCalls(e.LHS, by), replaceCalls(e.RHS, by)
	case *parser.ParenExpr:
		e.Expr = replaceCalls(e.Expr, by)
	case *parser.UnaryExpr:
		e.Expr = replaceCalls(e.Expr, by)
	case *parser.SubqueryExpr:
		e.Expr = replaceCalls(e.Expr, by)
	case *parser.Call:
		for i, arg := range e.Args {
			e.Args[i] = replaceCalls(arg, by)
		}
		return by(e)
	}
	return expr
}
