package query

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"sysotel/agent/regex"
)

// The estimate is an upper bound of what an evaluation takes, from the real numbers
// of series and the real lengths of their labels, added up along the expression as
// the engine evaluates it (promql/engine.go). Numbers are floats: they can be huge,
// and need not be exact.

// What the engine keeps, in bytes.
const (
	pointBytes  = 16
	rowBytes    = 200 // A series of a result, and its place in the map of a range query.
	sampleBytes = 64
	groupBytes  = 300
	labelBytes  = 4    // The lengths of a name and a value.
	floatText   = 1080 // The longest number as text: 5e-324.
	iterBytes   = 1500 // An open iterator, of which most functions have one at once.
	windowBytes = 64   // A sample of a range, in the ring buffer and in the slice.
)

// maxPause is the work after which the engine has to have looked at its deadline:
// some two seconds.
const maxPause = 2e9

// maxWidth is the maximum length of the labels of one series: the engine repeats them
// in errors and warnings, several times.
const maxWidth = 64 << 10

// estimated is the outcome.
type estimated struct {
	// peak is the memory, work the number of samples, bytes or instructions touched,
	// and pause the most of it without a look at the deadline.
	peak, work, pause float64
	// err is why the evaluation cannot be allowed at all.
	err error
	// most is the part of the expression that takes most, with what it takes.
	most  parser.Expr
	takes float64
	made  shape
}

// fits reports whether an evaluation is allowed.
func (e estimated) fits(limit float64) bool {
	return e.err == nil && e.peak <= limit && e.pause <= maxPause
}

// refusal is the error of an evaluation that is too much even for one step.
func (e estimated) refusal(limit float64) error {
	if e.err != nil {
		return e.err
	}
	what := "the query"
	if e.most != nil {
		what = excerpt(withoutTags(e.most.String()))
	}
	if e.peak <= limit {
		return &Error{Type: Execution, Err: fmt.Errorf("%s takes too long: it would touch %.2g samples or characters without a pause, at most %.2g are allowed; use narrower matchers or a shorter range", what, e.pause, float64(maxPause))}
	}
	return &Error{Type: Execution, Err: fmt.Errorf("%s takes too much memory: up to %.4g series with up to %.4g samples and %s of labels, %s in all; at most %s are allowed; use narrower matchers, a shorter range or a longer step",
		what, e.made.series, e.made.series*e.made.points, mebibytes(e.made.text), mebibytes(e.peak), mebibytes(limit))}
}

// excerpt shortens an expression for a message.
func excerpt(text string) string {
	const most = 120
	if runes := []rune(text[:min(len(text), 8*most)]); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// sum is the estimate in progress.
type sum struct {
	guard *guard
	estimated
	index map[*parser.VectorSelector]int
	// patterns are the regular expressions so far.
	patterns regex.Size
}

// estimate is the estimate for a number of steps.
func (g *guard) estimate(steps int) estimated {
	s := &sum{guard: g, patterns: g.patterns, index: make(map[*parser.VectorSelector]int, len(g.windows))}
	for i := range g.windows {
		s.index[g.windows[i].selector] = i
	}
	interval := max(g.statement.Interval, time.Millisecond)
	out, keeps, peak := s.visit(g.statement.Expr, course{float64(steps), interval})
	s.peak = max(peak, keeps+out.text) // The names are dropped at the end.
	s.peak += s.patterns.Bytes() - g.patterns.Bytes()
	return s.estimated
}

// course is the steps of a part of an expression; those of a subquery differ.
type course struct {
	steps float64
	step  time.Duration
}

// span is the time from the first to the last step.
func (g course) span() time.Duration {
	return time.Duration(min((g.steps-1)*float64(g.step), float64(math.MaxInt64/2)))
}

// note remembers the part of the expression that takes most.
func (s *sum) note(e parser.Expr, out shape, takes float64) {
	if s.most == nil || takes > s.takes {
		s.most, s.takes, s.made = e, takes, out
	}
}

// forbid makes the whole evaluation impossible.
func (s *sum) forbid(e parser.Expr, format string, args ...any) {
	if s.err == nil {
		s.err = &Error{Type: Execution, Err: fmt.Errorf("%s: %w", excerpt(withoutTags(e.String())), fmt.Errorf(format, args...))}
	}
}

// visit adds a part of the expression. It returns its result, what it keeps when it
// is evaluated, and the most that it takes until then.
func (s *sum) visit(e parser.Expr, g course) (out shape, keeps, peak float64) {
	switch n := e.(type) {
	case *parser.ParenExpr:
		return s.visit(n.Expr, g)
	case *parser.UnaryExpr:
		return s.visit(n.Expr, g)
	case *parser.StepInvariantExpr:
		out, keeps, peak = s.visit(n.Expr, course{1, g.step})
		if n.Expr.Type() != parser.ValueTypeMatrix {
			out.points = g.steps
			keeps = out.bytes(true)
			peak = max(peak, 2*keeps) // The slices grow one point at a time.
		}
	case *parser.NumberLiteral:
		out = shape{series: 1, points: g.steps}
		keeps = out.bytes(false)
		peak = keeps
	case *parser.StringLiteral:
		return out, 0, 0
	case *parser.VectorSelector:
		out = s.selection(n)
		out.points = g.steps
		keeps = out.bytes(false)
		peak = keeps + iterBytes
		s.work += out.series * (g.steps + s.guard.samples(n.LabelMatchers, g.span()))
	case *parser.MatrixSelector:
		selector := n.VectorSelector.(*parser.VectorSelector)
		out = s.selection(selector)
		out.points = s.guard.samples(selector.LabelMatchers, n.Range)
		keeps = 2 * out.bytes(false) // The slices grow one point at a time.
		peak = keeps
		s.work += out.series * out.points
	case *parser.SubqueryExpr:
		inner := s.within(n, g)
		out, keeps, peak = s.visit(n.Expr, inner)
		keeps += 48 * inner.steps // The statistics of each step.
		peak += 48 * inner.steps
	case *parser.AggregateExpr:
		out, keeps, peak = s.aggregate(n, g)
	case *parser.BinaryExpr:
		out, keeps, peak = s.binary(n, g)
	case *parser.Call:
		out, keeps, peak = s.call(n, g)
	}
	if out.width > maxWidth {
		s.forbid(e, "takes too much memory: the labels of one series have up to %.4g bytes, at most %d are allowed", out.width, maxWidth)
	}
	s.work += out.series * min(out.points, g.steps)
	s.note(e, out, keeps)
	return out, keeps, peak
}

// within are the steps at which a subquery is evaluated.
func (*sum) within(n *parser.SubqueryExpr, g course) course {
	step := subqueryStep(n)
	return course{math.Ceil((float64(n.Range)+float64(g.span()))/float64(step)) + 1, step}
}

// selection is what a selector has found.
func (s *sum) selection(n *parser.VectorSelector) shape {
	i, ok := s.index[n]
	if !ok || i >= len(s.guard.selected) {
		return shape{}
	}
	return listed(s.guard.selected[i])
}

// aggregate adds an aggregation.
func (s *sum) aggregate(n *parser.AggregateExpr, g course) (out shape, keeps, peak float64) {
	var parameter float64
	if n.Param != nil {
		_, parameter, peak = s.visit(n.Param, g)
	}
	in, held, most := s.visit(n.Expr, g)
	peak = max(peak, parameter+most)
	out = s.grouped(n, in, g)
	groups, width := out.series, out.width
	helpers := in.series * (8 + rowBytes)
	switch n.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
		out = in
		out.points = g.steps
		k := in.series
		if literal, ok := unwrap(n.Param).(*parser.NumberLiteral); ok && n.Op != parser.LIMIT_RATIO {
			if k = min(k, literal.Val); !(k > 0) { // The engine has an error for NaN.
				k = 0
			}
		}
		// Each group has room for k samples, however many it has.
		helpers += groups * k * sampleBytes
		s.work += g.steps * in.series * math.Log2(in.series+2)
	case parser.COUNT_VALUES:
		// Each value is a series, and each series has room for all steps.
		label := text(n.Param)
		out = in.with(label, floatText).labelled(in.series*g.steps, width+float64(len(label))+floatText)
		out.points = g.steps
		helpers += in.series * (out.width + in.width + groupBytes)
	}
	helpers += groups * groupBytes
	keeps = out.bytes(true)
	s.note(n, out, helpers+keeps)
	return out, keeps, max(peak, parameter+held+helpers+keeps)
}

// grouped is a result with one series for each group of an aggregation.
func (s *sum) grouped(n *parser.AggregateExpr, in shape, g course) shape {
	out, width := in, in.width
	switch {
	case n.Without:
		out.dropped = append(slices.Clone(in.dropped), n.Grouping...)
	case len(n.Grouping) == 0:
		out = shape{series: min(1, in.series)}
		out.points = g.steps
		return out
	default:
		width = 0
		out.kept = []string{}
		for _, name := range n.Grouping {
			width += float64(len(name)) + labelBytes + in.longest(name)
			if in.visible(name) {
				out.kept = append(out.kept, name)
			}
		}
	}
	out.points = g.steps
	groups := in.series
	if in.exact && in.series*g.steps > fewSamples {
		found := map[string]struct{}{}
		out.each(func(key []byte) { found[string(key)] = struct{}{} }, out.labels)
		groups = min(groups, float64(len(found)))
	}
	exact := out.exact
	out = out.labelled(groups, width)
	out.exact = exact
	return out
}

// fewSamples is the size up to which it is not worth to know more exactly.
const fewSamples = 2000

// binary adds an operator.
func (s *sum) binary(n *parser.BinaryExpr, g course) (out shape, keeps, peak float64) {
	left, heldLeft, peakLeft := s.visit(n.LHS, g)
	right, heldRight, peakRight := s.visit(n.RHS, g)
	peak = max(peakLeft, heldLeft+peakRight)
	held := heldLeft + heldRight + (left.series+right.series)*(sampleBytes+rowBytes)
	if n.VectorMatching == nil { // One side is a scalar, or both are.
		out = left
		if n.LHS.Type() == parser.ValueTypeScalar {
			out = right
		}
		keeps = out.bytes(false)
		return out, keeps, max(peak, held+keeps)
	}
	// Signatures, and the text of both sides for each pair.
	held += left.text + right.text + (left.series+right.series)*48
	switch matching := n.VectorMatching; {
	case n.Op == parser.LAND || n.Op == parser.LUNLESS:
		out = left
		keeps = out.bytes(false)
	case n.Op == parser.LOR:
		out = both(left, right)
		keeps = out.bytes(false)
	default:
		many, one := left, right
		if matching.Card == parser.CardOneToMany {
			many, one = right, left
		}
		// Over time a series can have several partners: each pair is remembered.
		pairs := many.series * min(s.partners(matching, one, many.series*g.steps), g.steps)
		filled := 0.0
		if matching.FillValues.LHS != nil || matching.FillValues.RHS != nil {
			filled = one.series
		}
		exact := many.exact && filled == 0
		out = many
		if matching.Card == parser.CardOneToOne {
			out = out.labelled(many.series+filled, max(many.width, one.width))
		} else if len(matching.Include) > 0 {
			for _, name := range matching.Include {
				out = out.with(name, max(one.longest(name), many.longest(name)))
			}
			out, exact = out.labelled(pairs+filled, out.width), false
		}
		out.exact = exact
		held += (pairs + filled) * (2*(many.width+one.width) + out.width + 150)
		keeps = out.bytes(true)
	}
	out.points = g.steps
	return out, keeps, max(peak, held+keeps)
}

// partners is how many series of the "one" side can match the same series, each at
// another time.
func (s *sum) partners(matching *parser.VectorMatching, one shape, samples float64) float64 {
	if !one.exact || len(one.lists) == 0 || samples <= fewSamples {
		return max(1, one.series)
	}
	sign := one
	if matching.On {
		sign.kept = []string{}
		for _, name := range matching.MatchingLabels {
			if one.visible(name) {
				sign.kept = append(sign.kept, name)
			}
		}
	} else {
		sign.dropped = append(slices.Clone(one.dropped), matching.MatchingLabels...)
		if one.kept != nil {
			sign.kept = slices.DeleteFunc(slices.Clone(one.kept), func(name string) bool { return slices.Contains(matching.MatchingLabels, name) })
		}
	}
	found, partners, most := map[string]struct{}{}, map[string]int{}, 1
	var signature, whole []byte
	one.each(func(key []byte) {
		if _, known := found[string(key)]; known {
			return
		}
		found[string(key)] = struct{}{}
		partners[string(signature)]++
		most = max(most, partners[string(signature)])
	}, func(l labels.Labels, key []byte) []byte {
		signature, whole = sign.labels(l, signature), one.labels(l, whole)
		return append(append(key[:0], whole...), signature...)
	})
	return float64(most)
}

// matrix returns the range selector that an argument is, nil if it is none.
func matrix(e parser.Expr) *parser.MatrixSelector {
	selector, _ := unwrap(e).(*parser.MatrixSelector)
	return selector
}

// matchersOf returns the matchers of a range selector.
func matchersOf(selector *parser.MatrixSelector) []*labels.Matcher {
	vector, _ := selector.VectorSelector.(*parser.VectorSelector) // There is no other.
	return vector.LabelMatchers
}

// unwrap removes parentheses and what the engine puts around an expression.
func unwrap(e parser.Expr) parser.Expr {
	for {
		switch n := e.(type) {
		case *parser.ParenExpr:
			e = n.Expr
		case *parser.StepInvariantExpr:
			e = n.Expr
		default:
			return e
		}
	}
}

// text returns the value of a text argument.
func text(e parser.Expr) string {
	if literal, ok := unwrap(e).(*parser.StringLiteral); ok {
		return literal.Val
	}
	return ""
}
