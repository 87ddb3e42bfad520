package query

import (
	"container/heap"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// join merges the results of segments, given in order of time, into one series per
// set of labels, sorted. Each result is sorted by labels and no step is in two
// segments. Points are copied, because the engine reuses them when a query is
// closed.
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

// cursor is the rest of one part.
type cursor struct {
	part int
	rest promql.Matrix
}

// cursors is a heap by labels, then by part.
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

// pinAtModifiers replaces @ start() and @ end() by the times of the whole query,
// because a segment starts and ends elsewhere. It reports whether there were any.
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
