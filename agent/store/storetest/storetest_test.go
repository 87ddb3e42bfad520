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

// wrong is a tier that can be made to break a rule.
type wrong struct {
	*plain
	stopped atomic.Bool
	name    string
	coarse  time.Duration
	oldest  time.Time
	// early and late move the ends of the range that is really read.
	early, late int64
	// selecting replaces Select.
	selecting func(ctx context.Context, q storage.Querier, sorted bool, hints *storage.SelectHints, matchers []*labels.Matcher) storage.SeriesSet
	// keep changes the samples that are kept of a series.
	keep func(l labels.Labels, samples []Sample) []Sample
	// words changes names and values of labels.
	words func([]string) []string
	// deaf goes on when it is stopped.
	deaf bool
	// met, where set, is closed when a second one asks while the first does; the
	// second gets nothing.
	met   chan struct{}
	asked atomic.Int32
}

func (w *wrong) Name() string {
	if w.name != "" {
		return w.name
	}
	return w.plain.Name()
}

func (w *wrong) Resolution() time.Duration { return w.plain.Resolution() + w.coarse }

func (w *wrong) Oldest() time.Time {
	if !w.oldest.IsZero() {
		return w.oldest
	}
	return w.plain.Oldest()
}

func (w *wrong) Queryable() storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		if w.stopped.Load() {
			if w.deaf {
				return storage.NoopQuerier(), nil
			}
			return nil, store.ErrOpening
		}
		q, err := w.queryable.Querier(mint+w.early, maxt+w.late)
		return &wrongQuerier{q, w}, err
	})
}

type wrongQuerier struct {
	storage.Querier
	w *wrong
}

func (q *wrongQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
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

func (q *wrongQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	names, warnings, err := q.Querier.LabelNames(ctx, hints, matchers...)
	if q.w.words != nil {
		names = q.w.words(names)
	}
	return names, warnings, err
}

// openWrong makes tiers of the plain kind, with a mistake.
func openWrong(mistake func(w *wrong)) Open {
	return func(tb testing.TB, tier store.TierConfig, series []Series) (query.Source, func()) {
		w := &wrong{plain: &plain{tier: tier}}
		mistake(w)
		if w.keep != nil {
			series = slices.Clone(series)
			for i := range series {
				series[i].Samples = w.keep(series[i].Labels, series[i].Samples)
			}
		}
		w.plain = newPlain(tb, tier, series)
		return w, func() { w.stopped.Store(true) }
	}
}

// TestRightTierPasses: the rules can be kept.
func TestRightTierPasses(t *testing.T) {
	Run(t, openWrong(func(*wrong) {}))
}

// TestEachRuleFindsItsMistake: a tier with one mistake fails the rule that speaks
// of it, so that no rule is an idle one.
func TestEachRuleFindsItsMistake(t *testing.T) {
	type mistakes map[string]func(w *wrong)
	each := func(f func(l labels.Labels, s Sample) (Sample, bool)) func(*wrong) {
		return func(w *wrong) {
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
	broken := map[string]mistakes{
		"it tells its name, its resolution and how far it reaches back": {
			"name":       func(w *wrong) { w.name = "fine" },
			"resolution": func(w *wrong) { w.coarse = time.Second },
			"oldest":     func(w *wrong) { w.oldest = time.Now() },
		},
		"selectors find what they match and nothing else": {
			"patterns for a part": func(w *wrong) {
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
			"no absent labels": func(w *wrong) {
				w.selecting = func(ctx context.Context, q storage.Querier, sorted bool, hints *storage.SelectHints, matchers []*labels.Matcher) storage.SeriesSet {
					return q.Select(ctx, sorted, hints, slices.DeleteFunc(slices.Clone(matchers), func(m *labels.Matcher) bool { return m.Value == "" })...)
				}
			},
		},
		"a range holds both its ends and nothing beyond": {
			"first left out": func(w *wrong) { w.early = 1 },
			"last left out":  func(w *wrong) { w.late = -1 },
			"too much":       func(w *wrong) { w.late = w.tier.Resolution.Milliseconds() },
		},
		"values are kept": {
			"halves": each(func(_ labels.Labels, s Sample) (Sample, bool) { s.V = float64(float32(s.V)); return s, true }),
		},
		"a gap stays a gap": {
			"zeros": func(w *wrong) { w.keep = w.withZeros },
		},
		"the end of a series is marked": {
			"no markers": each(func(_ labels.Labels, s Sample) (Sample, bool) { return s, !value.IsStaleNaN(s.V) }),
			"zero":       each(func(_ labels.Labels, s Sample) (Sample, bool) { return Sample{s.T, max(s.V, -1e308)}, true }),
		},
		"labels are told": {
			"unsorted": func(w *wrong) {
				w.words = func(words []string) []string { slices.Reverse(words); return words }
			},
			"one less": func(w *wrong) { w.words = func(words []string) []string { return words[:max(len(words)-1, 0)] } },
		},
		"any time may be asked for": {
			"overflow": func(w *wrong) { w.late = 1 << 62 },
		},
		"many may ask at once": {
			"one at a time": func(w *wrong) { w.met = make(chan struct{}) },
		},
		"who went away gets all or an error, never a part": {
			"a part": func(w *wrong) {
				w.selecting = func(ctx context.Context, q storage.Querier, sorted bool, hints *storage.SelectHints, matchers []*labels.Matcher) storage.SeriesSet {
					if ctx.Err() != nil {
						return storage.EmptySeriesSet()
					}
					return q.Select(ctx, sorted, hints, matchers...)
				}
			},
			"another error": func(w *wrong) {
				w.selecting = func(ctx context.Context, q storage.Querier, sorted bool, hints *storage.SelectHints, matchers []*labels.Matcher) storage.SeriesSet {
					if ctx.Err() != nil {
						return storage.ErrSeriesSet(errors.New("something"))
					}
					return q.Select(ctx, sorted, hints, matchers...)
				}
			},
		},
		"nothing is held by a tier that is empty": {
			"always old": func(w *wrong) { w.oldest = time.Unix(1, 0) },
		},
		"the least and the greatest have their names": {
			"none": each(func(l labels.Labels, s Sample) (Sample, bool) {
				name := l.Get(model.MetricNameLabel)
				return s, name != "g_max" && (name != "g" || l.Get("i") != "a")
			}),
		},
		"questions in PromQL are answered as from plain samples": {
			"moved": each(func(_ labels.Labels, s Sample) (Sample, bool) { s.T--; return s, true }),
		},
		"courses of series are those of plain samples": {
			"every other": each(func(l labels.Labels, s Sample) (Sample, bool) {
				return s, l.Get(model.MetricNameLabel) != "io_total" || s.T%2000 == 0 && s.T%600_000 != 0
			}),
		},
		"a question keeps to its limits": {
			"nothing to count": each(func(_ labels.Labels, s Sample) (Sample, bool) { return s, false }),
		},
		"a tier that is away says so": {
			"empty": func(w *wrong) { w.deaf = true },
		},
	}
	for _, rule := range Rules() {
		if len(broken[rule.Name]) == 0 {
			t.Errorf("nothing shows that the rule %q can be broken", rule.Name)
		}
		for name, mistake := range broken[rule.Name] {
			for _, resolution := range []time.Duration{finest, 5 * time.Minute} {
				s := newSubject(t, openWrong(mistake), resolution)
				err := rule.check(t.Context(), s)
				if err == nil {
					t.Errorf("the mistake %q is not found by %q at %s", name, rule.Name, resolution)
					continue
				}
				t.Logf("%s, %s: %.200s", rule.Name, name, err)
			}
		}
	}
}

// withZeros fills the gaps of a series.
func (w *wrong) withZeros(_ labels.Labels, samples []Sample) (filled []Sample) {
	step := w.tier.Resolution.Milliseconds()
	for _, s := range samples {
		for n := len(filled); n > 0 && filled[n-1].T+step < s.T; n++ {
			filled = append(filled, Sample{filled[n-1].T + step, 0})
		}
		filled = append(filled, s)
	}
	return filled
}
