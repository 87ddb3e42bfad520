package difftest

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// Bound is how far an answer may be from that of Prometheus where only a coarser tier
// reaches. Where the seconds are, every answer is exact.
type Bound int

const (
	// Exact is the same on every tier.
	Exact Bound = iota
	// Bucket is within what Prometheus says if the ends of the window are moved to ends
	// of the buckets that they are in.
	Bucket
	// Warned is anything, with a warning or an info, or a refusal, that names the tier.
	Warned
)

func (b Bound) title() string { return [...]string{"Exact", "Within a bucket", "Warned"}[b] }

func (b Bound) meaning() string {
	return [...]string{
		"The same from every tier, except that a coarser tier shows a series for up to two and a half buckets after it ended or a gap began.",
		"From a coarser tier: between the answers that Prometheus gives if the ends of each window are moved to the ends of the buckets that they are in, and one bucket further where a series begins, ends or has a gap; a rate is what was counted then, by the length of the window that is asked for. A series may be shown for up to two and a half buckets after it ended or a gap began. Prometheus extrapolates what a counter counted at each end by up to 1.1 times the mean time between its samples; a bucket knows it. From a window shorter than two buckets the answer may carry a warning that names the tier, or be refused.",
		"From a coarser tier: the answer carries a warning that names the tier, or it is refused.",
	}[b]
}

// end moves an end of a window to the end of a bucket.
type end func(t, bucket int64) int64

func same(t, _ int64) int64      { return t }
func down(t, bucket int64) int64 { return t - t%bucket }
func up(t, bucket int64) int64   { return down(t+bucket-1, bucket) }

// downBy moves an end to that of a bucket of another length.
func downBy(bucket time.Duration) end {
	return func(t, _ int64) int64 { return down(t, bucket.Milliseconds()) }
}

// earlier is a second before an end: a counter counts from the last reading before it.
func earlier(of end) end { return func(t, bucket int64) int64 { return of(t, bucket) - 1000 } }

// buckets is a number of buckets before an end.
func buckets(of end, n int64) end {
	return func(t, bucket int64) int64 { return of(t, bucket) - n*bucket }
}

// window moves both ends.
type window struct{ from, to end }

// windows are all ways to move both ends of a window to ends of their buckets.
func windows() []window {
	all := []window{{same, same}}
	for _, from := range []end{down, up, earlier(down), earlier(up)} {
		all = append(all, window{from, down}, window{from, up})
	}
	return all
}

// wider moves the ends by one bucket more.
func wider() []window {
	return []window{{buckets(down, 1), up}, {down, buckets(up, -1)}, {down, buckets(down, 1)}, {buckets(down, 1), buckets(down, 1)}, {up, buckets(up, -1)}, {buckets(up, -1), up}}
}

// before are the windows whose samples a look-back shows, and that of the first one after
// a gap.
func before(h *History) (all []window) {
	all = append(all, window{h.returned, h.returned})
	for n := int64(1); n <= 3; n++ {
		all = append(all, window{buckets(down, n), buckets(down, n)})
	}
	return all
}

// assigned are all ways to move the windows of some selectors: each by itself where
// there are two, else all alike.
func assigned(ways []window, selectors int) (all [][]window) {
	if selectors != 2 {
		// What a tier has not written yet comes from a finer one.
		ways = slices.Clone(ways)
		for _, finer := range []end{same, downBy(time.Minute), downBy(5 * time.Minute)} {
			ways = append(ways, window{down, finer}, window{up, finer})
		}
	}
	for _, first := range ways {
		if selectors != 2 {
			all = append(all, slices.Repeat([]window{first}, selectors))
			continue
		}
		for _, second := range ways {
			all = append(all, []window{first, second})
		}
	}
	return all
}

// mover moves the ends of windows.
type mover struct {
	at       int64
	question question
	bucket   int64
	// windows are for each selector in order.
	windows []window
	// empty is set if no whole bucket is in a window.
	empty bool
	// counted: rates become what was counted, by the width that is asked for.
	counted bool
	// widths are those asked for.
	widths map[parser.Expr]time.Duration
}

// moved is an expression with its windows moved.
func (m *mover) moved(expr parser.Expr) parser.Expr {
	m.widths = map[parser.Expr]time.Duration{}
	m.move(expr)
	return m.count(expr)
}

func (m *mover) move(node parser.Node) {
	switch n := node.(type) {
	case *parser.MatrixSelector:
		v := n.VectorSelector.(*parser.VectorSelector)
		m.widths[n] = n.Range
		m.fix(&n.Range, &v.OriginalOffset, &v.Timestamp, &v.StartOrEnd)
	case *parser.SubqueryExpr:
		m.fix(&n.Range, &n.OriginalOffset, &n.Timestamp, &n.StartOrEnd)
	case *parser.VectorSelector:
		var none time.Duration
		m.fix(&none, &n.OriginalOffset, &n.Timestamp, &n.StartOrEnd)
	case *parser.BinaryExpr:
		m.move(n.LHS)
		m.move(n.RHS)
		n.LHS, n.RHS = m.count(n.LHS), m.count(n.RHS)
	case *parser.AggregateExpr:
		m.move(n.Expr)
		n.Expr = m.count(n.Expr)
	case *parser.Call:
		for i := range n.Args {
			m.move(n.Args[i])
			n.Args[i] = m.count(n.Args[i])
		}
	default:
		for child := range parser.ChildrenIter(node) {
			m.move(child)
		}
	}
}

// count replaces a rate by what was counted, by the width that is asked for.
func (m *mover) count(e parser.Expr) parser.Expr {
	call, ok := e.(*parser.Call)
	if !m.counted || !ok || call.Func.Name != "rate" {
		return e
	}
	width, ok := m.widths[call.Args[0]]
	if !ok {
		return e
	}
	call.Func = parser.Functions["increase"]
	return &parser.ParenExpr{Expr: &parser.BinaryExpr{Op: parser.DIV, LHS: call, RHS: &parser.NumberLiteral{Val: width.Seconds()}}}
}

// fix moves the ends of one window, to a time that does not depend on that of the query.
func (m *mover) fix(width, offset *time.Duration, at **int64, fixed *parser.ItemType) {
	t := m.at
	switch {
	case *at != nil:
		t = **at
	case *fixed == parser.START:
		t = m.question.start.UnixMilli()
	case *fixed == parser.END:
		t = m.question.end.UnixMilli()
	}
	t -= offset.Milliseconds()
	window := m.windows[0]
	m.windows = m.windows[1:]
	to := window.to(t, m.bucket)
	if *width > 0 {
		*width = time.Duration(to-window.from(t-width.Milliseconds(), m.bucket)) * time.Millisecond
		m.empty = m.empty || *width <= 0
	}
	*at, *fixed, *offset = &to, 0, 0
}

// interval is what a value may be.
type interval struct {
	low, high float64
	// absent: there may be none.
	absent bool
}

// within returns what each value may be, given the answers that are allowed.
func within(allowed []map[string]float64) map[string]interval {
	all := map[string]interval{}
	for _, one := range allowed {
		for key, v := range one {
			i, known := all[key]
			if !known {
				i = interval{low: v, high: v}
			}
			all[key] = interval{low: min(i.low, v), high: max(i.high, v)}
		}
	}
	for key, i := range all {
		for _, one := range allowed {
			if _, ok := one[key]; !ok {
				i.absent = true
			}
		}
		all[key] = i
	}
	return all
}

// largest is about that of a gauge of a history, positive or negative.
const largest = 100

// slack is how far beyond an interval a value may be: averages and rates
// of coarser tiers are rounded to one part in a million, and Prometheus extrapolates a
// counter at both ends of its samples in a window, by 1.1 times the mean time between them.
func (i interval) slack(text string, samples, scale float64) float64 {
	scale = max(scale, math.Abs(i.low), math.Abs(i.high))
	if !counts(text) {
		return 2e-6 * max(scale, largest)
	}
	return scale * max(5e-4, 2.2/max(samples-1, 1))
}

// counts reports whether an expression says how much a counter counted: in a part of a
// bucket that may be nothing.
func counts(text string) bool {
	return strings.Contains(text, "rate(") || strings.Contains(text, "increase(")
}

// close reports whether two values are the same but for the rounding of sums.
func close(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b), 1e-6)
}

// holds reports whether a value is in the interval, but for some slack.
func (i interval) holds(v, slack float64) bool {
	return v >= i.low-slack && v <= i.high+slack || math.IsNaN(v) && math.IsNaN(i.low)
}
