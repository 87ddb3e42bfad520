package query

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"sysotel/agent/store"

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
	// roleMean is the mean of each bucket and the number of its readings.
	roleMean role = "mean"
	// rolePoints are values of which only time and order matter.
	rolePoints role = "points"
	// roleOne is one value of each bucket, for what the tier cannot tell.
	roleOne role = "one"
)

// rule is how a function reads a coarser tier.
type rule struct {
	// role is what it reads: with roleOne the answer has a warning.
	role role
	// kept: the tier keeps what it needs. counters: for counters only.
	kept, counters bool
	// computed: the answer for each range is computed here and not by the engine.
	computed bool
	// points is the number of points that the range must hold; widen: a range that is too
	// short is widened, with a warning.
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
		return rule{role: roleOne, counters: true, computed: true}
	case "delta":
		return rule{role: roleOne, computed: true}
	case "resets":
		return rule{role: roleOne, counters: true, points: 2}
	case "last_over_time":
		return rule{role: roleOne, counters: true, points: 1, widen: true}
	case "first_over_time":
		return rule{role: roleOne, points: 1, widen: true}
	case "irate", "idelta", "deriv":
		return rule{role: roleOne, points: 2, widen: true}
	case "changes", "stddev_over_time", "stdvar_over_time", "mad_over_time", "predict_linear", "double_exponential_smoothing":
		return rule{role: roleOne, points: 2}
	}
	return rule{role: roleOne, points: 1}
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

// reading is what a selector reads of a coarser tier.
type reading struct {
	source Source
	role   role
	// function is the one that reads a range, "-" for none.
	function string
	// place is "subquery" for what makes the points of one, else "step".
	place string
	// width is the range of a function that is computed.
	width time.Duration
	// short is the range or the step of a subquery that is shorter than a bucket, "" if
	// neither is.
	short string
}

// computed reports whether the answer for each range is computed here.
func (r reading) computed() bool { return r.role == roleMean || ruleOf(r.function).computed }

// tag returns matchers that say what is read.
func (r reading) tag(matchers []*labels.Matcher, of role) []*labels.Matcher {
	function := r.function
	if r.computed() {
		function += ":" + store.TierName(r.width)
	}
	value := strings.TrimRight(strings.Join([]string{r.source.Name(), string(of), function, r.place, r.short}, " "), " ")
	return append(slices.Clone(matchers), labels.MustNewMatcher(labels.MatchRegexp, tierLabel, value))
}

// untag returns what the matchers say that is read of which tier, and the others.
func untag(matchers []*labels.Matcher) (tier string, r reading, rest []*labels.Matcher) {
	i := slices.IndexFunc(matchers, func(m *labels.Matcher) bool { return m.Name == tierLabel })
	if i < 0 {
		return "", reading{role: roleValue}, matchers
	}
	fields := append(strings.Fields(matchers[i].Value), "", "", "", "", "")
	function, width, _ := strings.Cut(fields[2], ":")
	r = reading{role: role(fields[1]), function: function, place: fields[3], short: fields[4]}
	r.width, _ = time.ParseDuration(width) // It was written by tag.
	return fields[0], r, slices.Delete(slices.Clone(matchers), i, i+1)
}

// tags are those in the text of an expression.
var tags = regexp.MustCompile(`\{` + tag + `\}|,` + tag + `|` + tag + `,?`)

// tag is a matcher in the text of an expression.
const tag = tierLabel + `=~"[^"]*"`

// computed are functions over a range in the text of an expression.
var computed = regexp.MustCompile(`sum_over_time\(([^()]*)(` + tierLabel + `=~"[^"]* (rate|increase|delta|avg_over_time):(\w+) [^"]*"[^()\[]*)\[1ms\]`)

// withoutTags returns the text of an expression as its author knows it.
func withoutTags(text string) string {
	return Shown(tags.ReplaceAllString(computed.ReplaceAllString(text, "$3($1$2[$4]"), ""))
}

// rewrite returns the text of an expression in which each selector reads its tier,
// given in the order of the selectors. Those of the finest tier stay as they are, but for
// rates of counters.
func (p *plan) rewrite(tiers []int) (string, error) {
	reads := func(i int) bool { return tiers[i] > 0 || p.q.computes(&p.windows[i]) }
	any := false
	for i := range tiers {
		any = any || reads(i)
	}
	if !any {
		return p.text, nil
	}
	expr, err := p.q.engineParser.ParseExpr(p.text)
	if err != nil {
		return "", &Error{Type: Internal, Err: err}
	}
	readings := map[*parser.VectorSelector]reading{}
	i := 0
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			if reads(i) && !selector.BypassEmptyMatcherCheck { // It adds labels, and reads no samples.
				readings[selector] = p.windows[i].reading(p.sources[tiers[i]])
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
		r, coarse := readings[selector]
		delete(readings, selector)
		if !coarse {
			return call
		}
		return r.rewrite(call, matrix, selector)
	})
	for selector, r := range readings {
		selector.LabelMatchers = r.tag(selector.LabelMatchers, r.role)
	}
	return expr.String(), nil
}

// longRange is the range from which on it takes less to compute a rate here: it takes all
// samples, and the engine those of each step.
const longRange = 10 * time.Minute

// computes reports whether the rate or increase that a window reads of the finest tier is
// computed here. Of what may be no counter the engine has more to say.
func (q *Querier) computes(w *window) bool {
	if w.width < longRange || !ruleOf(w.function).computed || w.function == "delta" || w.selector.Anchored || w.selector.Smoothed || !q.isCounter(w.name) {
		return false
	}
	return slices.ContainsFunc([]string{"_total", "_sum", "_count", "_bucket"}, func(end string) bool { return strings.HasSuffix(w.name, end) })
}

// reading returns what a window reads of a coarser tier.
func (w *window) reading(source Source) reading {
	r := reading{source: source, role: ruleOf(w.function).role, function: "-", place: "step", width: w.width}
	switch {
	case w.function != "":
		r.function = w.function
	case w.width > 0: // The samples themselves.
		r.role = roleOne
	}
	if w.function == "avg_over_time" && w.name != "" { // Several names can be of several collectors.
		r.role = roleMean
	}
	least := w.width
	if w.subquery {
		r.place = "subquery"
		if least == 0 || w.every < least {
			least = w.every
		}
	}
	if least > 0 && least < source.Resolution() {
		r.short = store.TierName(least)
	}
	return r
}

// rewrite makes a function read what a coarser tier keeps for it.
func (r reading) rewrite(call *parser.Call, matrix *parser.MatrixSelector, selector *parser.VectorSelector) parser.Expr {
	rule, name, bucket := ruleOf(call.Func.Name), call.Func.Name, r.source.Resolution()
	switch {
	case r.role == roleMean: // Its own range is that of the answer.
	case rule.role == roleMin, rule.role == roleMax, name == "avg_over_time" && matrix.Range < bucket:
		// All buckets of which a part lies in the range, also the one that ends after it.
		matrix.Range += bucket - time.Millisecond
		selector.OriginalOffset -= bucket - time.Millisecond
	case rule.widen:
		matrix.Range = max(matrix.Range, rule.points*bucket)
	}
	matchers := selector.LabelMatchers
	selector.LabelMatchers = r.tag(matchers, r.role)
	sum := func(of role) parser.Expr {
		own, ranged := *selector, *matrix
		own.LabelMatchers = r.tag(matchers, of)
		ranged.VectorSelector = &own
		return &parser.Call{Func: parser.Functions["sum_over_time"], Args: parser.Expressions{&ranged}}
	}
	switch {
	case r.computed():
		// What is read has the answer at each moment: the sum over one of them is that.
		selector.Anchored, selector.Smoothed = false, false
		matrix.Range = time.Millisecond
		return sum(r.role)
	case name == "sum_over_time", name == "count_over_time":
		return sum(rule.role)
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
