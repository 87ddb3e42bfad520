package query

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// View is another name of a metric, or of some of its series, whose labels and values
// differ there: node_exporter's of one of ours. Expressions are evaluated by the metric that
// is kept, so that all that holds for its tiers holds for the view.
type View struct {
	// Name is the metric that is kept.
	Name string
	// Where are the values that its series have for labels; "" is none.
	Where map[string]string
	// Labels are those of the view. Of is one of the labels that are kept, all of which
	// are in Kept and are not in the view.
	Labels []ViewLabel
	Kept   []string
	// Series returns the values of Labels for a series, false if it is not in the view.
	Series func(value func(label string) string) ([]string, bool)
	// Scale is what the kept values are multiplied by; it is more than 0.
	Scale float64
}

// ViewLabel is a label of a view.
type ViewLabel struct {
	Name string
	// Of is the label that is kept, "" for a value that is always the same. Known returns
	// its value for one of the view, false if that does not follow.
	Of    string
	Known func(value string) (string, bool)
}

// viewLabel is the label of a matcher that says which view a selector reads, by a regular
// expression as tierLabel. Its other matchers are those of the view.
const viewLabel = "__view__"

// viewTags are the selectors of views in the text of an expression.
var viewTags = regexp.MustCompile(`(?:[a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[^{}"]|"(?:[^"\\]|\\.)*")*?),?` + viewLabel + `=~"([^"]*)"`)

// Shown is the text of an expression with the names of the views that it reads.
func Shown(text string) string {
	if !strings.Contains(text, viewLabel) {
		return text
	}
	text = viewTags.ReplaceAllString(text, "$2{$1")
	return strings.NewReplacer("{}", "", "{,", "{").Replace(text)
}

// viewed makes the matchers of a view's name those of the metric that is kept, and reports
// whether that was one.
func (q *Querier) viewed(matchers []*labels.Matcher) ([]*labels.Matcher, bool) {
	for i, m := range matchers {
		if m.Name != model.MetricNameLabel || m.Type != labels.MatchEqual {
			continue
		}
		if v := q.config.Views[m.Value]; v != nil {
			matchers[i] = labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, v.Name)
			return append(matchers, labels.MustNewMatcher(labels.MatchRegexp, viewLabel, m.Value)), true
		}
	}
	return matchers, false
}

// view is a view that a selector reads.
type view struct {
	*View
	name string
	// asked are the matchers of the view's own labels.
	asked []*labels.Matcher
}

// viewOf returns the view that matchers read, those of the kept series for it, and those of
// series that have its name themselves. Without a view the matchers are as they are.
func (q *Querier) viewOf(matchers []*labels.Matcher) (v *view, kept, named []*labels.Matcher) {
	i := slices.IndexFunc(matchers, func(m *labels.Matcher) bool { return m.Name == viewLabel })
	if i < 0 || q.config.Views[matchers[i].Value] == nil {
		return nil, matchers, nil
	}
	v = &view{View: q.config.Views[matchers[i].Value], name: matchers[i].Value}
	for _, m := range matchers {
		switch {
		case m.Name == viewLabel:
			continue
		case m.Name == model.MetricNameLabel:
			kept = append(kept, m)
			named = append(named, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, v.name))
			continue
		}
		named = append(named, m)
		at := slices.IndexFunc(v.Labels, func(l ViewLabel) bool { return l.Name == m.Name })
		switch {
		case at < 0 && slices.Contains(v.Kept, m.Name): // It is not in the view.
			v.asked = append(v.asked, m)
		case at < 0:
			kept = append(kept, m)
		default:
			v.asked = append(v.asked, m)
			if l := v.Labels[at]; m.Type == labels.MatchEqual && m.Value != "" && l.Of != "" {
				if value, ok := l.Known(m.Value); ok {
					kept = append(kept, labels.MustNewMatcher(labels.MatchEqual, l.Of, value))
				}
			}
		}
	}
	for label, value := range v.Where {
		kept = append(kept, labels.MustNewMatcher(labels.MatchEqual, label, value))
	}
	return v, kept, named
}

// of returns the series of a view among those that are kept, and after them the others that
// have its name. Values are scaled unless they are counts of readings.
func (v *view) of(set, others storage.SeriesSet, counts bool) storage.SeriesSet {
	s := &viewSet{SeriesSet: set, others: others, view: v, of: labels.NewBuilder(labels.EmptyLabels()), seen: map[uint64]bool{}}
	if v.Scale != 1 && !counts {
		s.SeriesSet = &mappedSet{SeriesSet: set, each: func(labels.Labels) func(int64, float64) (float64, bool) {
			return func(_ int64, value float64) (float64, bool) { return value * v.Scale, true }
		}}
	}
	return s
}

// viewSet has the series of a view. It does not sort them again.
type viewSet struct {
	storage.SeriesSet
	others storage.SeriesSet
	view   *view
	of     *labels.Builder
	// seen are the hashes of those of the view: no other can have the same labels.
	seen   map[uint64]bool
	done   bool
	series storage.Series
}

// Next implements storage.SeriesSet.
func (s *viewSet) Next() bool {
	for !s.done && s.SeriesSet.Next() {
		series := s.SeriesSet.At()
		if l, ok := s.view.labels(series.Labels(), s.of); ok && !s.seen[l.Hash()] {
			s.seen[l.Hash()] = true
			s.series = scrapedSeries{series, l}
			return true
		}
	}
	s.done = true
	for s.SeriesSet.Err() == nil && s.others.Next() {
		if series := s.others.At(); !s.seen[series.Labels().Hash()] {
			s.series = series
			return true
		}
	}
	return false
}

// labels are those of a series in the view; false if it is not in it.
func (v *view) labels(kept labels.Labels, b *labels.Builder) (labels.Labels, bool) {
	values, ok := v.Series(kept.Get)
	if !ok {
		return labels.EmptyLabels(), false
	}
	b.Reset(kept)
	b.Del(v.Kept...)
	b.Set(model.MetricNameLabel, v.name)
	for i, value := range values {
		b.Set(v.Labels[i].Name, value)
	}
	l := b.Labels()
	for _, m := range v.asked {
		if !m.Matches(l.Get(m.Name)) {
			return l, false
		}
	}
	return l, true
}

// At implements storage.SeriesSet.
func (s *viewSet) At() storage.Series { return s.series }

// Err implements storage.SeriesSet.
func (s *viewSet) Err() error {
	if err := s.SeriesSet.Err(); err != nil {
		return err
	}
	return s.others.Err()
}

// Warnings implements storage.SeriesSet.
func (s *viewSet) Warnings() annotations.Annotations {
	all := annotations.New()
	all.Merge(s.SeriesSet.Warnings())
	return all.Merge(s.others.Warnings())
}

// viewWords returns what word has of each series of a view, for a lookup.
func (p *partReader) viewWords(ctx context.Context, matchers []*labels.Matcher, word func(labels.Labels, map[string]bool)) ([]string, annotations.Annotations, error) {
	set := p.Select(ctx, false, &storage.SelectHints{Start: p.from, End: p.to, Func: "series"}, matchers...)
	found := map[string]bool{}
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		word(set.At().Labels(), found)
		if len(found) > maxSeries {
			return nil, nil, errTooManySeries
		}
	}
	var words []string
	for w := range found {
		words = append(words, strings.Clone(w))
	}
	return words, set.Warnings(), set.Err()
}
