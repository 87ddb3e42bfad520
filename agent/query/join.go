package query

import (
	"container/heap"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// join puts the answers of segments, given in the order of time, together: one
// series for each set of labels, sorted. Each answer is sorted by labels already
// and the segments share no step, so it is a merge. The points are copied, since
// the engine takes those of an answer back when its query is closed.
func join(parts []promql.Matrix) promql.Matrix {
	h := make(cursors, 0, len(parts))
	total := 0
	for i, part := range parts {
		if len(part) > 0 {
			h = append(h, cursor{part: i, rest: part})
			total = max(total, len(part))
		}
	}
	heap.Init(&h)
	joined := make(promql.Matrix, 0, total)
	for len(h) > 0 {
		next := h[0].rest[0]
		if n := len(joined); n > 0 && labels.Equal(joined[n-1].Metric, next.Metric) {
			joined[n-1].Floats = append(joined[n-1].Floats, next.Floats...)
			joined[n-1].Histograms = append(joined[n-1].Histograms, next.Histograms...)
		} else {
			joined = append(joined, promql.Series{
				Metric:     next.Metric,
				Floats:     append([]promql.FPoint(nil), next.Floats...),
				Histograms: append([]promql.HPoint(nil), next.Histograms...),
			})
		}
		if h[0].rest = h[0].rest[1:]; len(h[0].rest) == 0 {
			heap.Pop(&h)
		} else {
			heap.Fix(&h, 0)
		}
	}
	return joined
}

// cursor is what is left of one part.
type cursor struct {
	part int
	rest promql.Matrix
}

// cursors is a heap: least labels first, and of equal ones the earliest part.
type cursors []cursor

func (c cursors) Len() int { return len(c) }
func (c cursors) Less(i, j int) bool {
	if d := labels.Compare(c[i].rest[0].Metric, c[j].rest[0].Metric); d != 0 {
		return d < 0
	}
	return c[i].part < c[j].part
}
func (c cursors) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *cursors) Push(x any)   { *c = append(*c, x.(cursor)) }
func (c *cursors) Pop() any {
	old := *c
	last := old[len(old)-1]
	*c = old[:len(old)-1]
	return last
}

// pin replaces @ start() and @ end() by the times of the whole query: a segment
// starts and ends elsewhere. It tells whether there were any.
func pinAtModifiers(expr parser.Expr, start, end time.Time) bool {
	found := false
	stamp := func(which *parser.ItemType, at **int64) {
		if *which != parser.START && *which != parser.END {
			return
		}
		ms := start.UnixMilli()
		if *which == parser.END {
			ms = end.UnixMilli()
		}
		*at, *which, found = &ms, 0, true
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			stamp(&n.StartOrEnd, &n.Timestamp)
		case *parser.SubqueryExpr:
			stamp(&n.StartOrEnd, &n.Timestamp)
		}
		return nil
	})
	return found
}
