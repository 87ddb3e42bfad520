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

// What lookups say of labels is what their series have: roll-ups are found by their name
// only, in every tier. Without matchers all names are listed that can be asked for.

// LabelNames implements storage.LabelQuerier.
func (p *partReader) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	if v, _, _ := p.q.viewOf(matchers); v != nil {
		return p.viewWords(ctx, matchers, func(l labels.Labels, found map[string]bool) {
			l.Range(func(label labels.Label) { found[label.Name] = true })
		})
	}
	kept, _, err := p.kept(ctx, matchers)
	if err != nil {
		return nil, nil, err
	}
	return p.Querier.LabelNames(ctx, hints, kept...)
}

// LabelValues implements storage.LabelQuerier.
func (p *partReader) LabelValues(ctx context.Context, label string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	if v, _, _ := p.q.viewOf(matchers); v != nil {
		return p.viewWords(ctx, matchers, func(l labels.Labels, found map[string]bool) {
			if value := l.Get(label); value != "" {
				found[value] = true
			}
		})
	}
	kept, rollup, err := p.kept(ctx, matchers)
	if err != nil {
		return nil, nil, err
	}
	values, warnings, err := p.Querier.LabelValues(ctx, label, hints, kept...)
	if rollup != "" && label == model.MetricNameLabel && len(values) > 0 {
		values = []string{rollup}
	}
	return values, warnings, err
}

// kept returns matchers of what the tier keeps of the series that matchers mean. rollup is
// the name of a roll-up that the finest tier does not keep.
func (p *partReader) kept(ctx context.Context, matchers []*labels.Matcher) (kept []*labels.Matcher, rollup string, err error) {
	if len(matchers) == 0 || p.names == nil {
		return matchers, "", nil
	}
	name := metricName(matchers)
	if name != "" {
		of, ok := p.names.Lookup(name)
		if !ok || !p.finest || !matchesName(matchers, name) {
			return matchers, "", nil
		}
		kept = slices.DeleteFunc(slices.Clone(matchers), func(m *labels.Matcher) bool { return m.Name == model.MetricNameLabel })
		return append(kept, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, of.Raw)), name, nil
	}
	names, _, err := p.Querier.LabelValues(ctx, model.MetricNameLabel, &storage.LabelHints{}, matchers...)
	if err != nil {
		return nil, "", err
	}
	var derived []string
	for _, found := range names {
		if p.derived(found) {
			derived = append(derived, regexp.QuoteMeta(found))
		}
	}
	if len(derived) == 0 {
		return matchers, "", nil
	}
	without, err := labels.NewMatcher(labels.MatchNotRegexp, model.MetricNameLabel, strings.Join(derived, "|"))
	if err != nil {
		return nil, "", err
	}
	return append(slices.Clone(matchers), without), "", nil
}
