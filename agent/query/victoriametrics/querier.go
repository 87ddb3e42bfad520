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

// querier answers the selectors of one question.
type querier struct {
	node       *Node
	mint, maxt int64
	// room is how many bytes the question may still keep. The selectors of a
	// question are answered one after the other.
	room int
}

var _ storage.Querier = (*querier)(nil)

// Close implements storage.Querier.
func (*querier) Close() error { return nil }

// Select reads every sample before it returns, so that a set without an error is
// whole.
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

// form is what is sent for matchers; false where the range holds no time at
// which the node could have something.
func (q *querier) form(mint, maxt int64, matchers []*labels.Matcher) (form url.Values, rest []*labels.Matcher, ok bool) {
	now := time.Now()
	// The node knows neither times before 1970 nor those far ahead.
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

// mostSeries is how many series a lookup may find.
const mostSeries = 100_000

// labels asks for the labels of series. The node knows by days when a series was
// there, so that some may have had their samples just outside the range.
func (q *querier) labels(ctx context.Context, form url.Values, rest []*labels.Matcher) ([]*series, error) {
	form.Set("limit", strconv.Itoa(mostSeries+1))
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

// words asks for names or values; where the node cannot apply all matchers, they
// are taken from the labels of series.
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
