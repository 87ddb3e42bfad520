package query

import (
	"math"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// call adds a function.
func (s *sum) call(n *parser.Call, g course) (out shape, keeps, peak float64) {
	var in shape // The argument that is no scalar.
	var held float64
	for i, arg := range n.Args {
		if n.Func.Name == "info" && i > 0 {
			continue
		}
		if selector := matrix(arg); selector != nil {
			in = s.ranged(n, selector, g)
			peak = max(peak, held+s.guard.samples(matchersOf(selector), selector.Range)*windowBytes*2+iterBytes)
			continue
		}
		shape, keeps, most := s.visit(arg, g)
		if sub, ok := unwrap(arg).(*parser.SubqueryExpr); ok {
			s.windows(n, min(float64(sub.Range/subqueryStep(sub))+1, shape.points), g.steps, shape.series)
			most += shape.points * windowBytes
		}
		peak = max(peak, held+most)
		held += keeps
		if t := arg.Type(); t == parser.ValueTypeVector || t == parser.ValueTypeMatrix {
			in = shape
		}
	}
	out = in
	out.points = g.steps
	named := false // The labels are new.
	switch n.Func.Name {
	case "label_replace":
		out, named = s.replaced(n, in), true
		out.points = in.points
		return out, held + out.text, max(peak, held+2*out.text) // In place.
	case "label_join":
		out, named = s.joined(n, in), true
		out.points = in.points
		return out, held + out.text, max(peak, held+2*out.text)
	case "info":
		out, named = s.informed(n, in), true
		info := listed(s.guard.info)
		info.points = g.steps
		held += info.bytes(true) + 4*(in.text+info.text)
	case "absent", "absent_over_time", "scalar", "vector", "time", "pi":
		out = shape{series: 1, points: g.steps, width: in.width}
		for _, name := range matcherNames(n) {
			out.width += name
		}
		out.text, named = out.width, true
	case "histogram_quantile", "histogram_fraction":
		held += in.series*groupBytes + in.text
		named = true
	case "histogram_quantiles":
		quantiles := float64(max(1, len(n.Args)-2))
		label := text(n.Args[1])
		out = in.with(label, 32).labelled(in.series*quantiles, in.width+float64(len(label))+32)
		out.points = g.steps
		held += in.series*groupBytes + in.text
		named = true
	case "timestamp", "start_timestamp":
		held += in.series * iterBytes
	case "sort", "sort_desc", "sort_by_label", "sort_by_label_desc":
		compares := in.series * math.Log2(in.series+2)
		if strings.HasPrefix(n.Func.Name, "sort_by") {
			compares *= 20 * (1 + in.width) * float64(max(1, len(n.Args)-1))
		}
		s.work += g.steps * compares
		s.pause = max(s.pause, compares)
	case "rate", "increase":
		held += in.series * groupBytes // The warning that it may be no counter.
	}
	held += in.series * sampleBytes * 2
	keeps = out.bytes(named)
	return out, keeps, max(peak, held+keeps)
}

// ranged adds a function that reads ranges of samples.
func (s *sum) ranged(n *parser.Call, selector *parser.MatrixSelector, g course) shape {
	in := s.selection(selector.VectorSelector.(*parser.VectorSelector))
	s.work += in.series * s.guard.samples(matchersOf(selector), selector.Range+g.span())
	s.windows(n, s.guard.samples(matchersOf(selector), selector.Range), g.steps, in.series)
	return in
}

// windows adds the work of a function that is called for each step of each series.
// The engine looks at the deadline between two series only.
func (s *sum) windows(n *parser.Call, samples, steps, series float64) {
	switch n.Func.Name {
	case "quantile_over_time":
		samples *= math.Log2(samples + 2)
	case "mad_over_time":
		samples *= 2 * math.Log2(samples+2)
	}
	work := samples * steps
	s.pause = max(s.pause, work)
	s.work += work * series
}

// replaced is the result of label_replace: each reference of the replacement is as
// long as the source at most.
func (s *sum) replaced(n *parser.Call, in shape) shape {
	to, replacement, from, pattern := text(n.Args[1]), text(n.Args[2]), text(n.Args[3]), text(n.Args[4])
	size, err := s.guard.measure(pattern)
	s.patterns = s.patterns.Plus(size)
	if checked := s.patterns.Check(); checked != nil {
		s.forbid(n, "the regular expression, with those before it, %w", checked)
		return in
	}
	if err != nil { // The engine has the usual error.
		return in
	}
	source := in.longest(from)
	made := float64(len(replacement)) + float64(strings.Count(replacement, "$"))*source
	work := in.series * (size.Steps(source) + made)
	s.work += work
	s.pause = max(s.pause, 4*work) // A step of a regular expression takes longer than a sample.
	return in.with(to, max(in.longest(to), made))
}

// joined is the result of label_join.
func (s *sum) joined(n *parser.Call, in shape) shape {
	made := float64(len(text(n.Args[2]))) * float64(len(n.Args)-3)
	for _, arg := range n.Args[3:] {
		made += in.longest(text(arg))
	}
	s.work += in.series * made
	s.pause = max(s.pause, in.series*made)
	return in.with(text(n.Args[1]), max(in.longest(text(n.Args[1])), made))
}

// maxIdentity bounds the regular expression that info makes of the labels job and
// instance of all series.
const maxIdentity = 256 << 10

// informed is the result of info, which adds labels of the series that it selects
// while it is evaluated.
func (s *sum) informed(n *parser.Call, in shape) shape {
	identity := in.series * (in.longest("job") + in.longest("instance"))
	if identity > maxIdentity {
		s.forbid(n, "the labels job and instance of up to %.4g series have up to %.0f bytes, at most %d are allowed", in.series, identity, maxIdentity)
	}
	info := listed(s.guard.info)
	out := in.labelled(in.series, in.width+info.width)
	out.lists = slices.Concat(in.lists, info.lists)
	out.points = in.points
	return out
}

// matcherNames returns the lengths of the labels that absent makes of matchers.
func matcherNames(n *parser.Call) (lengths []float64) {
	parser.Inspect(n, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			for _, m := range selector.LabelMatchers {
				lengths = append(lengths, float64(len(m.Name)+len(m.Value))+labelBytes)
			}
		}
		return nil
	})
	return lengths
}
