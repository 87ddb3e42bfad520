package difftest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"sysotel/agent/query"
)

// comparison asks one expression at all moments.
type comparison struct {
	Subject
	prometheus *Prometheus
	expression Expression
	history    *History
	// known are answers of Prometheus for moved windows.
	known map[string]map[string]float64
	// selectors is the number of windows, shortest the width of the shortest.
	selectors int
	shortest  time.Duration
	// tiers are those that answered.
	tiers []query.Span
	asked int
	wrong []string
}

func (c *comparison) all(ctx context.Context, tb testing.TB) {
	expr, err := c.prometheus.parser.ParseExpr(c.expression.truth())
	if err != nil {
		tb.Fatal(err)
	}
	c.measure(expr)
	for i, q := range c.history.questions() {
		if c.Every > 0 && i%c.Every != 0 {
			continue
		}
		if err := c.one(ctx, q); err != nil {
			tb.Fatal(err)
		}
	}
}

// measure looks at the windows of an expression.
func (c *comparison) measure(node parser.Node) {
	width := time.Duration(0)
	switch n := node.(type) {
	case *parser.MatrixSelector:
		width = n.Range
	case *parser.SubqueryExpr:
		width = n.Range
	case *parser.VectorSelector:
	default:
		for child := range parser.ChildrenIter(node) {
			c.measure(child)
		}
		return
	}
	if c.selectors++; c.selectors == 1 || width < c.shortest {
		c.shortest = width
	}
}

// one asks once and adds what is wrong to the list; it fails if Prometheus cannot say.
func (c *comparison) one(ctx context.Context, q question) error {
	expr, err := c.prometheus.parser.ParseExpr(c.expression.truth())
	if err != nil {
		return err
	}
	if q.step > 0 && expr.Type() != parser.ValueTypeVector && expr.Type() != parser.ValueTypeScalar {
		return nil
	}
	if expr, err = promql.PreprocessExpr(expr, q.start, q.end, q.step); err != nil {
		return err
	}
	want, err := c.prometheus.ask(ctx, c.expression.truth(), q)
	if err != nil {
		return fmt.Errorf("prometheus: %s: %w", c.expression.truth(), err)
	}
	c.asked += len(want.at)
	got, err := c.ask(ctx, q)
	if err != nil {
		// A range is refused as a whole, for its first step.
		resolution := c.resolution(expr, q.start)
		allowed := c.expression.Bound == Warned || c.expression.Bound == Bucket && c.shortest < 2*resolution
		if resolution == c.Tiers[0].Resolution() || !refused(err) || !allowed {
			c.fail(q, q.start, "error: %v", err)
		}
		return nil
	}
	warned := false
	for text := range got.warnings {
		warned = warned || !want.warnings[text] && strings.Contains(text, "tier")
	}
	for i, at := range want.at {
		if equal(got.values[i], want.values[i]) {
			continue
		}
		resolution := c.resolution(expr, at)
		if c.Coarse && q.step > 0 {
			resolution = max(resolution, c.answered(at))
		}
		switch {
		case resolution == c.Tiers[0].Resolution():
			c.differ(q, at, "", got.values[i], want.values[i])
		case c.expression.Bound == Warned && warned:
		case c.expression.Bound == Bucket && warned && c.shortest < 2*resolution:
		case c.expression.Bound == Warned:
			c.differ(q, at, " without a warning of the tier", got.values[i], want.values[i])
		default:
			if err := c.bounded(ctx, q, at, resolution, got.values[i], want.values[i]); err != nil {
				return err
			}
		}
	}
	if q.step == 0 && strings.HasPrefix(c.expression.Text, "sort") && equal(got.values[0], want.values[0]) && !slices.Equal(got.order, want.order) {
		c.fail(q, q.start, "order %v, want %v", got.order, want.order)
	}
	return nil
}

// ask asks the subject.
func (c *comparison) ask(ctx context.Context, q question) (answers, error) {
	var r *query.Result
	var err error
	if q.step == 0 {
		r, err = c.Querier.Instant(ctx, c.expression.Text, q.start)
	} else {
		r, err = c.Querier.Range(ctx, c.expression.Text, q.start, q.end, q.step)
	}
	if err != nil {
		return answers{}, err
	}
	defer r.Close()
	c.tiers = r.Tiers
	return newAnswers(q, r.Value, r.Warnings), nil
}

// refused reports whether an error says that the tier that reaches is too coarse.
func refused(err error) bool {
	var known *query.Error
	return errors.As(err, &known) && known.Type == query.BadData && strings.Contains(known.Error(), "tier")
}

// resolution is that of the finest tier that holds all samples of the windows.
func (c *comparison) resolution(expr parser.Expr, at time.Time) time.Duration {
	for _, tier := range c.Tiers {
		earliest, _ := promql.FindMinMaxTime(&parser.EvalStmt{Expr: expr, Start: at, End: at, LookbackDelta: tier.Resolution() * 5 / 2})
		if oldest := tier.Oldest(); !oldest.IsZero() && earliest >= oldest.UnixMilli() {
			return tier.Resolution()
		}
	}
	return c.Tiers[len(c.Tiers)-1].Resolution()
}

// answered is the resolution of the tier that answered for a time.
func (c *comparison) answered(at time.Time) (resolution time.Duration) {
	for _, span := range c.tiers {
		for _, tier := range c.Tiers {
			if tier.Name() == span.Tier && !at.Before(span.From) && !at.After(span.To) {
				resolution = tier.Resolution()
			}
		}
	}
	return resolution
}

// bounded holds an answer against what Prometheus says for windows that end where the
// buckets do.
func (c *comparison) bounded(ctx context.Context, q question, at time.Time, resolution time.Duration, got, want map[string]float64) error {
	allowed, empty, err := c.moved(ctx, q, at, resolution, windows(), false)
	if err != nil {
		return err
	}
	allowed = append(allowed, want)
	bounds := within(allowed)
	if missing(bounds) || !maps.EqualFunc(got, bounds, func(float64, interval) bool { return true }) {
		more, _, err := c.moved(ctx, q, at, resolution, wider(), false)
		if err != nil {
			return err
		}
		shown, _, err := c.moved(ctx, q, at, resolution, before(c.history), false)
		if err != nil {
			return err
		}
		bounds = within(slices.Concat(allowed, more, shown))
	}
	if counts(c.expression.Text) {
		for key, i := range bounds {
			if empty || i.absent { // In a part of a bucket it may have counted nothing.
				i.low = min(i.low, 0)
				bounds[key] = i
			}
		}
	}
	samples, fewest, scale, err := c.samples(ctx, q, at)
	if err != nil {
		return err
	}
	for key, v := range got {
		i, ok := bounds[key]
		n, known := samples[key]
		if !known {
			n = fewest
		}
		other, there := want[key]
		if c.expression.Bound == Exact {
			i.low, i.high = other, other
		}
		if !ok || there && !i.holds(v, i.slack(c.expression.Text, n, scale[key])) {
			c.differ(q, at, fmt.Sprintf(", %s is beyond %v to %v by buckets of %s", key, i.low, i.high, resolution), got, want)
			return nil
		}
	}
	for key, i := range bounds {
		if _, ok := got[key]; !ok && !i.absent {
			c.differ(q, at, fmt.Sprintf(", there is no %s by buckets of %s", key, resolution), got, want)
			return nil
		}
	}
	return nil
}

// missing reports whether a series begins, ends or has a gap at an end of the window.
func missing(bounds map[string]interval) bool {
	for _, i := range bounds {
		if i.absent {
			return true
		}
	}
	return false
}

// moved asks Prometheus with the ends of all windows moved in some ways. empty is set if a
// window had no whole bucket.
func (c *comparison) moved(ctx context.Context, q question, at time.Time, resolution time.Duration, ways []window, counted bool) (all []map[string]float64, empty bool, err error) {
	for _, way := range assigned(ways, c.selectors) {
		expr, err := c.prometheus.parser.ParseExpr(c.expression.truth())
		if err != nil {
			return nil, false, err
		}
		m := mover{at: at.UnixMilli(), question: q, bucket: resolution.Milliseconds(), windows: way, counted: counted}
		expr = m.moved(expr)
		if m.empty {
			empty = true
			continue
		}
		one, err := c.truth(ctx, expr.String(), at)
		if err != nil {
			return nil, false, err
		}
		all = append(all, one)
	}
	if !counted && strings.Contains(c.expression.Text, "rate(") {
		more, none, err := c.moved(ctx, q, at, resolution, ways, true)
		return append(all, more...), empty || none, err
	}
	return all, empty, nil
}

// truth is what Prometheus says at a time.
func (c *comparison) truth(ctx context.Context, text string, at time.Time) (map[string]float64, error) {
	if known, ok := c.known[text]; ok {
		return known, nil
	}
	a, err := c.prometheus.ask(ctx, text, instant(at))
	if err != nil {
		return nil, fmt.Errorf("prometheus: %s: %w", text, err)
	}
	c.known[text] = a.values[0]
	return a.values[0], nil
}

// samples is the number of samples of each counter in its window, the smallest of two and
// more, and of a difference the sum of both sides, because each side can be off.
func (c *comparison) samples(ctx context.Context, q question, at time.Time) (each map[string]float64, fewest float64, scale map[string]float64, err error) {
	each, fewest = map[string]float64{}, math.Inf(1)
	expr, err := c.prometheus.parser.ParseExpr(c.expression.truth())
	if err != nil {
		return nil, 0, nil, err
	}
	m := mover{at: at.UnixMilli(), question: q, bucket: 1, windows: slices.Repeat([]window{{same, same}}, c.selectors)}
	expr = m.moved(expr)
	if both, ok := expr.(*parser.BinaryExpr); ok && both.Op == parser.SUB {
		both.Op = parser.ADD
		if scale, err = c.truth(ctx, expr.String(), at); err != nil {
			return nil, 0, nil, err
		}
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		call, ok := node.(*parser.Call)
		if !ok || !counts(call.Func.Name+"(") {
			return nil
		}
		if _, ok := call.Args[0].(*parser.MatrixSelector); !ok {
			return nil
		}
		counted, err := c.truth(ctx, fmt.Sprintf("count_over_time(%s)", call.Args[0]), at)
		for key, n := range counted {
			if before, ok := each[key]; !ok || n < before {
				each[key] = n
			}
			if n > 1 {
				fewest = min(fewest, n)
			}
		}
		return err
	})
	return each, fewest, scale, nil
}

func equal(got, want map[string]float64) bool { return maps.EqualFunc(got, want, close) }

// differ reports a difference.
func (c *comparison) differ(q question, at time.Time, how string, got, want map[string]float64) {
	c.fail(q, at, "%s, Prometheus says %s%s", shown(got, want), shown(want, got), how)
}

func (c *comparison) fail(q question, at time.Time, format string, args ...any) {
	asked := at.UTC().Format(clockTime)
	if q.step > 0 {
		asked += fmt.Sprintf(" in %s to %s by %s", q.start.UTC().Format(clockTime), q.end.UTC().Format(clockTime), q.step)
	}
	c.wrong = append(c.wrong, fmt.Sprintf("%s at %s: ", c.expression.Text, asked)+fmt.Sprintf(format, args...))
}

// shown formats the first values that another answer does not have.
func shown(values, others map[string]float64) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if other, ok := others[key]; ok && close(values[key], other) {
			continue
		}
		if len(parts) == 3 {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, fmt.Sprintf("%s = %v", key, values[key]))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
