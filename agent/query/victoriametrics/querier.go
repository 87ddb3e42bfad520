package victoriametrics

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// querier resolves the selectors of one query.
type querier struct {
	node       *Node
	mint, maxt int64
	// room is how many bytes the query may still keep. Its selectors are resolved
	// one after the other.
	room int
}

var _ storage.Querier = (*querier)(nil)

// Close implements storage.Querier.
func (*querier) Close() error { return nil }

// Select reads all samples before it returns, so that a set without an error is
// complete.
func (q *querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	mint, maxt := q.mint, q.maxt
	if hints != nil {
		mint, maxt = hints.Start, hints.End
	}
	form, rest, ok := q.form(mint, maxt, matchers)
	if !ok {
		return storage.EmptySeriesSet()
	}
	if hints != nil && hints.Func == "series" {
		all, err := q.labels(ctx, form, rest)
		if err != nil {
			return storage.ErrSeriesSet(err)
		}
		return newSet(all)
	}
	form.Set("max_rows_per_line", strconv.Itoa(rowsPerLine))
	e := &export{mint: mint, maxt: maxt, rest: rest, room: &q.room}
	if err := q.node.ask(ctx, "/api/v1/export", form, e.read); err != nil {
		return storage.ErrSeriesSet(err)
	}
	return newSet(e.order)
}

// form returns the parameters for matchers; false if the range has no time for
// which the node can have data.
func (q *querier) form(mint, maxt int64, matchers []*labels.Matcher) (form url.Values, rest []*labels.Matcher, ok bool) {
	now := q.node.options.Now()
	// The node rejects times before 1970 and far in the future.
	mint = max(mint, now.Add(-q.node.options.Tier.Retention-day).UnixMilli())
	maxt = min(maxt, now.Add(2*day).UnixMilli())
	if mint > maxt {
		return nil, nil, false
	}
	text, rest := selector(matchers)
	return url.Values{
		"match[]": {text},
		"start":   {strconv.FormatInt(mint, 10)}, "end": {strconv.FormatInt(maxt, 10)},
	}, rest, true
}

const day = 24 * time.Hour

// maxSeries is the maximum number of series of a lookup.
const maxSeries = 100_000

// labels fetches the labels of series. The node indexes series by day, so that some
// may have samples just outside the range only.
func (q *querier) labels(ctx context.Context, form url.Values, rest []*labels.Matcher) ([]*series, error) {
	form.Set("limit", strconv.Itoa(maxSeries+1))
	found, err := get[[]map[string]string](ctx, q.node, "/api/v1/series", form)
	if err != nil {
		return nil, err
	}
	all := make([]*series, 0, len(found))
	for _, metric := range found {
		if l := labels.FromMap(metric); matches(l, rest) {
			all = append(all, &series{labels: l})
		}
	}
	return all, nil
}

// LabelNames implements storage.Querier.
func (q *querier) LabelNames(ctx context.Context, _ *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	words, err := q.words(ctx, "/api/v1/labels", matchers, func(l labels.Labels, add func(string)) {
		l.Range(func(one labels.Label) { add(one.Name) })
	})
	return words, nil, err
}

// LabelValues implements storage.Querier.
func (q *querier) LabelValues(ctx context.Context, name string, _ *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	words, err := q.words(ctx, "/api/v1/label/"+url.PathEscape(name)+"/values", matchers, func(l labels.Labels, add func(string)) {
		if v := l.Get(name); v != "" {
			add(v)
		}
	})
	return words, nil, err
}

// words fetches names or values; if the node cannot apply all matchers, they are
// taken from the labels of series.
func (q *querier) words(ctx context.Context, path string, matchers []*labels.Matcher, take func(l labels.Labels, add func(string))) ([]string, error) {
	form, rest, ok := q.form(q.mint, q.maxt, matchers)
	if !ok {
		return nil, nil
	}
	var words []string
	if len(rest) > 0 {
		all, err := q.labels(ctx, form, rest)
		if err != nil {
			return nil, err
		}
		for _, s := range all {
			take(s.labels, func(word string) { words = append(words, word) })
		}
	} else {
		var err error
		if words, err = get[[]string](ctx, q.node, path, form); err != nil {
			return nil, err
		}
	}
	slices.Sort(words)
	return slices.Compact(words), nil
}
