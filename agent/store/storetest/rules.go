package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

func identity(_ context.Context, s *subject) error {
	if want := model.Duration(s.tier.Resolution).String(); s.source.Name() != want {
		return fmt.Errorf("the name is %q, want %q", s.source.Name(), want)
	}
	if s.source.Resolution() != s.tier.Resolution {
		return fmt.Errorf("the resolution is %s, want %s", s.source.Resolution(), s.tier.Resolution)
	}
	if oldest, first := s.source.Oldest(), time.UnixMilli(s.at(1)); oldest.IsZero() || oldest.After(first) {
		return fmt.Errorf("the oldest sample is at %s, want %s", oldest, first)
	}
	return nil
}

func selectors(ctx context.Context, s *subject) error {
	name := model.MetricNameLabel
	with := labels.MustNewMatcher
	for _, matchers := range [][]*labels.Matcher{
		{equal(name, "g")},
		{equal(name, "g"), equal("i", "a")},
		{equal(name, "g"), with(labels.MatchNotEqual, "i", "a")},
		{equal(name, "g"), with(labels.MatchRegexp, "i", "a|c")},
		{equal(name, "g"), with(labels.MatchNotRegexp, "i", "a|c")},
		{equal(name, "g"), with(labels.MatchRegexp, "i", ".*")},
		{equal(name, "g"), with(labels.MatchRegexp, "i", ".+")},
		{with(labels.MatchRegexp, name, "g|io_total")},
		{with(labels.MatchRegexp, name, "alike"), with(labels.MatchRegexp, "n", "01[0-4]|007")},
		{with(labels.MatchNotEqual, name, "alike")},
		{equal("i", hostile)},
		{equal(name, "g"), equal("kind", "")},                            // Where there is no such label.
		{equal(name, "g"), with(labels.MatchNotEqual, "kind", "")},       // Where there is one.
		{equal(name, "g"), with(labels.MatchRegexp, "kind", "gap|")},     // Either.
		{equal(name, "g"), with(labels.MatchRegexp, "i", "A")},           // Case matters.
		{equal(name, "alike"), with(labels.MatchRegexp, "n", "1")},       // A pattern is for the whole value.
		{equal(name, "alike"), with(labels.MatchRegexp, "n", "(?i)00.")}, // RE2's syntax.
		{equal(name, "nothing")},
		{equal(name, "g"), equal("i", "a"), equal("i", "b")},
		{},
	} {
		if err := s.check(ctx, s.at(0), s.at(steps+1), append(matchers, marked())...); err != nil {
			return err
		}
	}
	return nil
}

func ranges(ctx context.Context, s *subject) error {
	half := s.tier.Resolution.Milliseconds() / 2
	for _, r := range [][2]int64{
		{s.at(1), s.at(steps)},
		{s.at(100), s.at(100)},
		{s.at(100) + 1, s.at(200) - 1},
		{s.at(100) - 1, s.at(200) + 1},
		{s.at(100) + half, s.at(100) + half},
		{s.at(599), s.at(601)},
		{s.at(0) - 1000*half, s.at(1)},
		{s.at(steps), s.at(steps) + 1000*half},
		{s.at(0) - 1000*half, s.at(1) - 1},
		{s.at(steps) + 1, s.at(steps) + 1000*half},
	} {
		if err := s.check(ctx, r[0], r[1], marked(), labels.MustNewMatcher(labels.MatchNotEqual, model.MetricNameLabel, "alike")); err != nil {
			return err
		}
	}
	return nil
}

func values(ctx context.Context, s *subject) error {
	return errors.Join(
		s.check(ctx, s.at(1), s.at(steps), equal(model.MetricNameLabel, "g_odd")),
		s.check(ctx, s.at(1), s.at(steps), equal(model.MetricNameLabel, "io_total")))
}

func gaps(ctx context.Context, s *subject) error {
	gap := []*labels.Matcher{equal(model.MetricNameLabel, "g"), equal("i", "b")}
	return errors.Join(
		s.check(ctx, s.at(gapFrom-1), s.at(gapTo), gap...),
		s.check(ctx, s.at(gapFrom), s.at(gapTo-1), gap...),
		s.check(ctx, s.at(gapFrom+10), s.at(gapFrom+10), gap...))
}

func ends(ctx context.Context, s *subject) error {
	got, err := read(ctx, s.source, s.at(endAt), s.at(endAt), equal(model.MetricNameLabel, "g"), equal("i", "c"))
	if err != nil {
		return err
	}
	for _, samples := range got {
		if len(samples) == 1 && value.IsStaleNaN(samples[0].V) {
			return s.check(ctx, s.at(endAt-2), s.at(backAt+2), equal(model.MetricNameLabel, "g"), equal("i", "c"))
		}
	}
	return fmt.Errorf("where the series ended there is %v, want a staleness marker", got)
}

func labelNames(ctx context.Context, s *subject) error {
	querier, err := s.source.Queryable().Querier(s.at(0), s.at(steps+1))
	if err != nil {
		return err
	}
	defer func() { _ = querier.Close() }() // It was only read.
	for _, matchers := range [][]*labels.Matcher{{marked()}, {marked(), equal(model.MetricNameLabel, "g")}, {marked(), equal("kind", "gap")}, {equal(Mark, "no")}} {
		seen := map[string][]string{}
		var names []string
		for _, one := range s.series {
			if slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(one.Labels.Get(m.Name)) }) {
				continue
			}
			one.Labels.Range(func(l labels.Label) {
				names = append(names, l.Name)
				seen[l.Name] = append(seen[l.Name], l.Value)
			})
		}
		got, _, err := querier.LabelNames(ctx, nil, matchers...)
		if err == nil {
			err = sameStrings("label names", got, names)
		}
		if err != nil {
			return fmt.Errorf("%v: %w", matchers, err)
		}
		for _, name := range []string{model.MetricNameLabel, "i", "n", "kind", "nothing"} {
			got, _, err := querier.LabelValues(ctx, name, nil, matchers...)
			if err == nil {
				err = sameStrings("values of "+name, got, seen[name])
			}
			if err != nil {
				return fmt.Errorf("%v: %w", matchers, err)
			}
		}
	}
	return nil
}

// sameStrings compares sorted strings with a list that may have duplicates.
func sameStrings(what string, got, want []string) error {
	want = slices.Compact(slices.Sorted(slices.Values(want)))
	if !slices.Equal(got, want) {
		return fmt.Errorf("the %s are %q, want %q", what, got, want)
	}
	return nil
}

func anyTime(ctx context.Context, s *subject) error {
	early, late := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).UnixMilli()
	for _, r := range [][2]int64{{early, late}, {math.MinInt64 / 2, math.MaxInt64 / 2}, {early, early + 1}, {late, late + 1}, {s.at(700), late}, {early, s.at(700)}} {
		if err := s.check(ctx, r[0], r[1], marked(), equal("i", "a")); err != nil {
			return err
		}
	}
	return nil
}

func concurrency(ctx context.Context, s *subject) error {
	var all sync.WaitGroup
	errs := make([]error, 16)
	for k := range errs {
		all.Go(func() {
			errs[k] = errors.Join(
				s.check(ctx, s.at(50*k), s.at(50*k+300), marked(), equal("n", fmt.Sprintf("%03d", k))),
				s.check(ctx, s.at(50*k), s.at(50*k+100), equal(model.MetricNameLabel, "alike")))
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func cancellation(ctx context.Context, s *subject) error {
	gone, cancel := context.WithCancel(ctx)
	cancel()
	got, err := read(gone, s.source, s.at(0), s.at(steps), marked())
	if err == nil {
		err = compare(got, s.want(s.at(0), s.at(steps), marked()))
		if err != nil {
			return fmt.Errorf("a canceled query returned a part without an error: %w", err)
		}
		return nil
	}
	if !errors.Is(err, context.Canceled) {
		return fmt.Errorf("a canceled query returned %w, want %w", err, context.Canceled)
	}
	return nil
}

func emptiness(ctx context.Context, s *subject) error {
	if oldest := s.empty.Oldest(); !oldest.IsZero() {
		return fmt.Errorf("the oldest sample of an empty tier is at %s", oldest)
	}
	got, err := read(ctx, s.empty, s.at(0), s.at(steps), marked())
	if err == nil && len(got) > 0 {
		err = fmt.Errorf("an empty tier has %v", got)
	}
	return err
}

func down(ctx context.Context, s *subject) error {
	s.stop()
	got, err := read(ctx, s.source, s.at(0), s.at(steps), marked())
	if err == nil {
		return fmt.Errorf("a tier that is down returned %d series and no error", len(got))
	}
	if _, err = s.querier(s.source).Instant(ctx, "g", time.UnixMilli(s.at(steps))); err == nil {
		return errors.New("a query on a tier that is down has no error")
	}
	return nil
}
