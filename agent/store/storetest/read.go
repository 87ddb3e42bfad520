package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"sysotel/agent/query"
)

// found has samples by the text of their labels.
type found map[string][]Sample

// read reads the samples in [mint, maxt] of a tier. A series without samples may be
// missing.
func read(ctx context.Context, source query.Source, mint, maxt int64, matchers ...*labels.Matcher) (f found, err error) {
	querier, err := source.Queryable().Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, querier.Close()) }()
	f = found{}
	set := querier.Select(ctx, true, &storage.SelectHints{Start: mint, End: maxt}, matchers...)
	var before labels.Labels
	var samples chunkenc.Iterator
	for first := true; set.Next(); first = false {
		series := set.At()
		l := series.Labels()
		if !first && labels.Compare(before, l) >= 0 {
			return nil, fmt.Errorf("%s comes after %s, though the series were to be sorted", l, before)
		}
		before = l.Copy()
		key := l.String()
		samples = series.Iterator(samples)
		for kind := samples.Next(); kind != chunkenc.ValNone; kind = samples.Next() {
			if kind != chunkenc.ValFloat {
				return nil, fmt.Errorf("%s has a sample that is no number", key)
			}
			t, v := samples.At()
			f[key] = append(f[key], Sample{t, v})
		}
		if err := samples.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
	}
	return f, set.Err()
}

// want returns what read must find.
func (s *subject) want(mint, maxt int64, matchers ...*labels.Matcher) found {
	f := found{}
	for _, one := range s.series {
		if slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(one.Labels.Get(m.Name)) }) {
			continue
		}
		for _, sample := range one.Samples {
			if sample.T >= mint && sample.T <= maxt {
				f[one.Labels.String()] = append(f[one.Labels.String()], sample)
			}
		}
	}
	return f
}

// check compares read with want.
func (s *subject) check(ctx context.Context, mint, maxt int64, matchers ...*labels.Matcher) error {
	got, err := read(ctx, s.source, mint, maxt, matchers...)
	if err == nil {
		err = compare(got, s.want(mint, maxt, matchers...))
	}
	if err != nil {
		return fmt.Errorf("%v from step %d to %d: %w", matchers, s.stepOf(mint), s.stepOf(maxt), err)
	}
	return nil
}

func (s *subject) stepOf(t int64) int64 {
	return (t - s.base.UnixMilli()) / s.tier.Resolution.Milliseconds()
}

// compare returns the first difference.
func compare(got, want found) error {
	if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
		return fmt.Errorf("%d series %.300v, want %d %.300v", len(g), g, len(w), w)
	}
	for key, samples := range want {
		if len(got[key]) != len(samples) {
			return fmt.Errorf("%d samples of %s, want %d", len(got[key]), key, len(samples))
		}
		for i, sample := range samples {
			if other := got[key][i]; other.T != sample.T || !same(other.V, sample.V) {
				return fmt.Errorf("%s has %v at %d, want %v at %d", key, other.V, other.T, sample.V, sample.T)
			}
		}
	}
	return nil
}

// same ignores the last digits, because not every storage keeps them; staleness
// markers and infinities must be exact.
func same(a, b float64) bool {
	switch {
	case value.IsStaleNaN(a) || value.IsStaleNaN(b):
		return value.IsStaleNaN(a) && value.IsStaleNaN(b)
	case math.IsNaN(a) || math.IsNaN(b):
		return math.IsNaN(a) && math.IsNaN(b)
	case math.IsInf(a, 0) || math.IsInf(b, 0):
		return a == b
	}
	return math.Abs(a-b) <= 1e-12*max(math.Abs(a), math.Abs(b))
}

func equal(name, text string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, name, text)
}

// marked matches all series of the suite.
func marked() *labels.Matcher { return equal(Mark, "yes") }
