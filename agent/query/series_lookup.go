package query

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"sysotel/agent/regex"
)

// maxSeries is the maximum number of series of a lookup; usually their labels are too
// much before.
const maxSeries = 100_000

// errTooManySeries is returned if a lookup matches too many series.
var errTooManySeries = &Error{Type: Execution, Err: errors.New("more than 100000 series match; use narrower matchers")}

// maxSelectors is the maximum number of selectors of a lookup.
const maxSelectors = 200

// Matchers parses the selectors of a lookup. What they take counts as held by the client
// until its context ends.
func (q *Querier) Matchers(ctx context.Context, selectors []string) (sets [][]*labels.Matcher, err error) {
	if len(selectors) > maxSelectors {
		return nil, badData("there are %d selectors, at most %d are allowed", len(selectors), maxSelectors)
	}
	var size regex.Size
	bytes := 0.0
	for _, selector := range selectors {
		scanned, err := q.config.Limits.scan(selector)
		if err != nil {
			return nil, err
		}
		if size = size.Plus(scanned.patterns); size.Check() != nil {
			return nil, badData("the regular expressions of all selectors together: one %w", size.Check())
		}
		bytes += scanned.bytes(selector)
	}
	err = q.within(ctx, size.Heavy(), func(_ context.Context, b *budget) error {
		if err := b.take(bytes); err != nil {
			return err
		}
		sets, err = q.parseSelectors(selectors)
		return err
	})
	if err == nil {
		err = q.held.until(ctx, bytes)
	}
	return sets, err
}

// parseSelectors parses selectors that have been scanned.
func (q *Querier) parseSelectors(selectors []string) ([][]*labels.Matcher, error) {
	sets := make([][]*labels.Matcher, 0, len(selectors))
	for _, selector := range selectors {
		set, err := q.parser.ParseMetricSelector(selector)
		if err != nil {
			return nil, &Error{Type: BadData, Err: err}
		}
		if !slices.ContainsFunc(set, func(m *labels.Matcher) bool { return !m.Matches("") }) {
			return nil, badData("match[] must contain at least one non-empty matcher")
		}
		set, _ = q.rename(set)
		sets = append(sets, set)
	}
	return sets, nil
}

// Series returns the labels of the series that match one of the sets and have
// samples in the time range, in any tier, sorted. A limit of 0 means all.
func (q *Querier) Series(ctx context.Context, sets [][]*labels.Matcher, start, end time.Time, limit int) ([]labels.Labels, annotations.Annotations, error) {
	found := map[string]labels.Labels{}
	var key []byte
	hints := &storage.SelectHints{Start: start.UnixMilli(), End: end.UnixMilli(), Func: "series"}
	warnings, err := q.lookup(ctx, start, end, func() { clear(found) }, func(ctx context.Context, b *budget, querier storage.Querier) (annotations.Annotations, error) {
		var warnings annotations.Annotations
		for _, set := range sets {
			series := q.asScraped(ctx, querier, false, hints, set)
			for series.Next() {
				l := series.At().Labels()
				key = l.Bytes(key)
				if _, known := found[string(key)]; !known {
					found[string(key)] = l.Copy()
					if err := b.take(float64(2*len(key) + foundBytes)); err != nil {
						return nil, err
					}
				}
				if len(found) > maxSeries {
					return nil, errTooManySeries
				}
				if err := ctx.Err(); err != nil {
					return nil, err
				}
			}
			warnings.Merge(series.Warnings())
			if err := series.Err(); err != nil {
				return nil, err
			}
		}
		return warnings, nil
	})
	if err != nil {
		return nil, nil, err
	}
	all := slices.SortedFunc(maps.Values(found), labels.Compare)
	if limit > 0 && len(all) > limit {
		all = all[:limit]
		warnings.Add(errTruncated)
	}
	return all, warnings, nil
}

// errTruncated is Prometheus' warning for an answer cut at its limit.
var errTruncated = errors.New("results truncated due to limit")

// LabelNames returns label names, sorted; without sets, of all series.
func (q *Querier) LabelNames(ctx context.Context, sets [][]*labels.Matcher, start, end time.Time, limit int) ([]string, annotations.Annotations, error) {
	all, named, err := q.unscraped(ctx, sets, start, end)
	if err != nil {
		return nil, nil, err
	}
	names, warnings, err := q.words(ctx, all, start, end, func(ctx context.Context, querier storage.Querier, hints *storage.LabelHints, set []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return querier.LabelNames(ctx, hints, set...)
	})
	if err != nil {
		return nil, nil, err
	}
	if named && len(names) > 0 {
		names = append(names, jobLabel, instanceLabel)
	}
	return first(names, limit, warnings), warnings, nil
}

// LabelValues returns the values of a label, sorted; without sets, of all series.
func (q *Querier) LabelValues(ctx context.Context, name string, sets [][]*labels.Matcher, start, end time.Time, limit int) ([]string, annotations.Annotations, error) {
	all, _, err := q.unscraped(ctx, sets, start, end)
	if err != nil {
		return nil, nil, err
	}
	values, warnings, err := q.values(ctx, name, all, start, end)
	if err == nil && isScrapeLabel(name) {
		var more []string
		more, err = q.scrapeValues(ctx, name, sets, all, start, end)
		values = append(values, more...)
	}
	if err != nil {
		return nil, nil, err
	}
	return first(values, limit, warnings), warnings, nil
}

// values returns the values of a label as it is kept.
func (q *Querier) values(ctx context.Context, name string, sets [][]*labels.Matcher, start, end time.Time) ([]string, annotations.Annotations, error) {
	return q.words(ctx, sets, start, end, func(ctx context.Context, querier storage.Querier, hints *storage.LabelHints, set []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return querier.LabelValues(ctx, name, hints, set...)
	})
}

// first returns the first words in order, each once, with a warning if there are more than
// the limit; a limit of 0 means all.
func first(words []string, limit int, warnings annotations.Annotations) []string {
	slices.Sort(words)
	words = slices.Compact(words)
	if limit > 0 && len(words) > limit {
		words = words[:limit]
		warnings.Add(errTruncated)
	}
	return words
}

// words collects names or values from all tiers.
func (q *Querier) words(ctx context.Context, sets [][]*labels.Matcher, start, end time.Time,
	ask func(context.Context, storage.Querier, *storage.LabelHints, []*labels.Matcher) ([]string, annotations.Annotations, error),
) ([]string, annotations.Annotations, error) {
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	// Each tier would truncate before sorting, so the limit is applied later.
	hints := &storage.LabelHints{}
	found := map[string]struct{}{}
	warnings, err := q.lookup(ctx, start, end, func() { clear(found) }, func(ctx context.Context, b *budget, querier storage.Querier) (annotations.Annotations, error) {
		var warnings annotations.Annotations
		for _, set := range sets {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			words, more, err := ask(ctx, querier, hints, set)
			if err != nil {
				return nil, err
			}
			warnings.Merge(more)
			for _, word := range words {
				// Strings of a block are in memory that is freed with the querier.
				if _, known := found[word]; !known {
					found[string([]byte(word))] = struct{}{}
					if err := b.take(float64(2*len(word) + foundBytes)); err != nil {
						return nil, err
					}
				}
			}
		}
		return warnings, nil
	})
	if err != nil {
		return nil, nil, err
	}
	return slices.Sorted(maps.Keys(found)), warnings, nil
}

// foundBytes is what a result of a lookup takes beside its text.
const foundBytes = 150

// lookup calls ask for every tier that holds part of the time range, and reset
// before that: a lookup that turns out to be heavy starts over.
func (q *Querier) lookup(ctx context.Context, start, end time.Time, reset func(), ask func(context.Context, *budget, storage.Querier) (annotations.Annotations, error)) (annotations.Annotations, error) {
	if end.Before(start) {
		return nil, badData("end timestamp must not be before start time")
	}
	warnings, size := annotations.Annotations{}, 0.0
	err := q.within(ctx, false, func(ctx context.Context, b *budget) error {
		reset()
		defer func() { size = b.used }()
		sources := q.config.Tiers()
		for level, source := range sources {
			if oldest := source.Oldest(); oldest.IsZero() || oldest.After(end) {
				continue
			}
			querier, err := q.openPart(sources, level, start.UnixMilli(), end.UnixMilli())
			if err != nil {
				return err
			}
			more, err := ask(ctx, b, querier)
			_ = querier.Close() // It was only read.
			if err != nil {
				return err
			}
			warnings.Merge(more)
		}
		return nil
	})
	if err == nil {
		err = q.held.until(ctx, size)
	}
	if err != nil {
		return nil, err
	}
	return warnings, nil
}
