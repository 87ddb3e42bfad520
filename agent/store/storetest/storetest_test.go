package storetest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"sysotel/agent/query"
	"sysotel/agent/store"
)

// faulty is a tier that can break a rule.
type faulty struct {
	*reference
	stopped atomic.Bool
	name    string
	coarse  time.Duration
	oldest  time.Time
	// early and late move the ends of the range that is read.
	early, late int64
	// selecting replaces Select.
	selecting func(ctx context.Context, q storage.Querier, sorted bool, hints *storage.SelectHints, matchers []*labels.Matcher) storage.SeriesSet
	// keep changes the samples of a series.
	keep func(l labels.Labels, samples []Sample) []Sample
	// labelNames changes the label names.
	labelNames func([]string) []string
	// deaf: it returns nothing instead of an error after stop.
	deaf bool
	// met, if set, is closed when a second query comes during the first; the second
	// returns nothing.
	met   chan struct{}
	asked atomic.Int32
}

func (w *faulty) Name() string {
	if w.name != "" {
		return w.name
	}
	return w.reference.Name()
}

func (w *faulty) Resolution() time.Duration { return w.reference.Resolution() + w.coarse }

func (w *faulty) Oldest() time.Time {
	if !w.oldest.IsZero() {
		return w.oldest
	}
	return w.reference.Oldest()
}

func (w *faulty) Queryable() storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		if w.stopped.Load() {
			if w.deaf {
				return storage.NoopQuerier(), nil
			}
			return nil, store.ErrOpening
		}
		q, err := w.queryable.Querier(mint+w.early, maxt+w.late)
		return &faultyQuerier{q, w}, err
	})
}

type faultyQuerier struct {
	storage.Querier
	w *faulty
}

func (q *faultyQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if hints != nil {
		moved := *hints
		moved.Start, moved.End = moved.Start+q.w.early, moved.End+q.w.late
		hints = &moved
	}
	if q.w.met != nil {
		switch q.w.asked.Add(1) {
		case 1:
			<-q.w.met
		case 2:
			close(q.w.met)
			return storage.EmptySeriesSet()
		}
	}
	if q.w.selecting != nil {
		return q.w.selecting(ctx, q.Querier, sorted, hints, matchers)
	}
	return q.Querier.Select(ctx, sorted, hints, matchers...)
}

func (q *faultyQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	names, warnings, err := q.Querier.LabelNames(ctx, hints, matchers...)
	if q.w.labelNames != nil {
		names = q.w.labelNames(names)
	}
	return names, warnings, err
}

// openFaulty makes reference tiers with a fault.
func openFaulty(fault func(w *faulty)) Open {
	return func(tb testing.TB, tier store.TierConfig, series []Series) (query.Source, func()) {
		w := &faulty{reference: &reference{tier: tier}}
		fault(w)
		if w.keep != nil {
			series = slices.Clone(series)
			for i := range series {
				series[i].Samples = w.keep(series[i].Labels, series[i].Samples)
			}
		}
		w.reference = newReference(tb, tier, series)
		return w, func() { w.stopped.Store(true) }
	}
}

// TestReferencePasses: a tier without a fault passes.
func TestReferencePasses(t *testing.T) {
	Run(t, openFaulty(func(*faulty) {}))
}

// TestEachRuleFindsItsFault: a tier with one fault fails the rule about it, so that
// no rule is idle.
func TestEachRuleFindsItsFault(t *testing.T) {
	type faults map[string]func(w *faulty)
	each := func(f func(l labels.Labels, s Sample) (Sample, bool)) func(*faulty) {
		return func(w *faulty) {
			w.keep = func(l labels.Labels, samples []Sample) (kept []Sample) {
				for _, s := range samples {
					if s, ok := f(l, s); ok {
						kept = append(kept, s)
					}
				}
				return kept
			}
		}
	}
	broken := map[string]faults{
		"name, resolution and oldest sample are right": {
			"name":       func(w *faulty) { w.name = "fine" },
			"resolution": func(w *faulty) { w.coarse = time.Second },
			"oldest":     func(w *faulty) { w.oldest = time.Now() },
		},
		"selectors return exactly what they match": {
			"patterns for a part": func(w *faulty) {
				w.selecting = func(ctx context.Context, q storage.Querier, sorted bool, hints *storage.SelectHints, matchers []*labels.Matcher) storage.SeriesSet {
					matchers = slices.Clone(matchers)
					for i, m := range matchers {
						if m.Type == labels.MatchRegexp {
							matchers[i] = labels.MustNewMatcher(m.Type, m.Name, ".*("+m.Value+").*")
						}
					}
					return q.Select(ctx, sorted, hints, matchers...)
				}
			},
			"no absent labels": func(w *faulty) {
				w.selecting = func(ctx context.Context, q storage.Querier, sorted bool, hints *storage.SelectHints, matchers []*labels.Matcher) storage.SeriesSet {
					return q.Select(ctx, sorted, hints, slices.DeleteFunc(slices.Clone(matchers), func(m *labels.Matcher) bool { return m.Value == "" })...)
				}
			},
		},
		"a range includes both ends and nothing beyond": {
			"first left out": func(w *faulty) { w.early = 1 },
			"last left out":  func(w *faulty) { w.late = -1 },
			"too much":       func(w *faulty) { w.late = w.tier.Resolution.Milliseconds() },
		},
		"values are preserved": {
			"halves": each(func(_ labels.Labels, s Sample) (Sample, bool) { s.V = float64(float32(s.V)); return s, true }),
		},
		"a gap stays a gap": {
			"zeros": func(w *faulty) { w.keep = w.withZeros },
		},
		"the end of a series has a staleness marker": {
			"no markers": each(func(_ labels.Labels, s Sample) (Sample, bool) { return s, !value.IsStaleNaN(s.V) }),
			"zero":       each(func(_ labels.Labels, s Sample) (Sample, bool) { return Sample{s.T, max(s.V, -1e308)}, true }),
		},
		"label names and values are complete": {
			"unsorted": func(w *faulty) {
				w.labelNames = func(labelNames []string) []string { slices.Reverse(labelNames); return labelNames }
			},
			"one less": func(w *faulty) {
				w.labelNames = func(labelNames []string) []string { return labelNames[:max(len(labelNames)-1, 0)] }
			},
		},
		"any time is a valid range": {
			"overflow": func(w *faulty) { w.late = 1 << 62 },
		},
		"concurrent queries work": {
			"one at a time": func(w *faulty) { w.met = make(chan struct{}) },
		},
		"a canceled query returns everything or an error": {
			"a part": func(w *faulty) {
				w.selecting = func(ctx context.Context, q storage.Querier, sorted bool, hints *storage.SelectHints, matchers []*labels.Matcher) storage.SeriesSet {
					if ctx.Err() != nil {
						return storage.EmptySeriesSet()
					}
					return q.Select(ctx, sorted, hints, matchers...)
				}
			},
			"another error": func(w *faulty) {
				w.selecting = func(ctx context.Context, q storage.Querier, sorted bool, hints *storage.SelectHints, matchers []*labels.Matcher) storage.SeriesSet {
					if ctx.Err() != nil {
						return storage.ErrSeriesSet(errors.New("something"))
					}
					return q.Select(ctx, sorted, hints, matchers...)
				}
			},
		},
		"an empty tier has no samples": {
			"always old": func(w *faulty) { w.oldest = time.Unix(1, 0) },
		},
		"minimum and maximum have names": {
			"none": each(func(l labels.Labels, s Sample) (Sample, bool) {
				name := l.Get(model.MetricNameLabel)
				return s, name != "g_max" && (name != "g" || l.Get("i") != "a")
			}),
		},
		"PromQL returns the same as for the reference": {
			"moved": each(func(_ labels.Labels, s Sample) (Sample, bool) { s.T--; return s, true }),
		},
		"series queries return the same as for the reference": {
			"every other": each(func(l labels.Labels, s Sample) (Sample, bool) {
				return s, l.Get(model.MetricNameLabel) != "io_total" || s.T%2000 == 0 && s.T%600_000 != 0
			}),
		},
		"limits are enforced": {
			"nothing to count": each(func(_ labels.Labels, s Sample) (Sample, bool) { return s, false }),
		},
		"a tier that is down returns errors": {
			"empty": func(w *faulty) { w.deaf = true },
		},
	}
	for _, rule := range Rules() {
		if len(broken[rule.Name]) == 0 {
			t.Errorf("no fault breaks the rule %q", rule.Name)
		}
		for name, fault := range broken[rule.Name] {
			for _, resolution := range []time.Duration{finest, 5 * time.Minute} {
				s := newSubject(t, openFaulty(fault), resolution)
				err := rule.check(t.Context(), s)
				if err == nil {
					t.Errorf("the fault %q passes the rule %q at %s", name, rule.Name, resolution)
					continue
				}
				t.Logf("%s, %s: %.200s", rule.Name, name, err)
			}
		}
	}
}

// withZeros fills the gaps of a series.
func (w *faulty) withZeros(_ labels.Labels, samples []Sample) (filled []Sample) {
	step := w.tier.Resolution.Milliseconds()
	for _, s := range samples {
		for n := len(filled); n > 0 && filled[n-1].T+step < s.T; n++ {
			filled = append(filled, Sample{filled[n-1].T + step, 0})
		}
		filled = append(filled, s)
	}
	return filled
}
