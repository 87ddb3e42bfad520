package query

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// ErrDown is the error of a tier whose server does not respond. The wrapped reason
// may be shown to clients.
var ErrDown = errors.New("VictoriaMetrics does not respond")

// ErrCostly is the error of a question that a server refuses because it is too large, or
// does not answer in time although it answers others.
var ErrCostly = errors.New("the question is too large or takes too long; use narrower matchers or a shorter range")

// Remote is a tier kept by another program, which may be down.
type Remote interface {
	Source
	// Down is why it does not respond, nil while it does. Its queriers select
	// completely: a set without an error before its first series has none later.
	Down() error
	// Latency is how long samples take to arrive there.
	Latency() time.Duration
}

// latencyOf is how long samples take to arrive at a source.
func latencyOf(source Source) time.Duration {
	if remote, ok := source.(interface{ Latency() time.Duration }); ok {
		return remote.Latency()
	}
	return 0
}

// extendLookback gives the latest steps of remote tiers, for which samples have not
// arrived yet, a longer look-back; otherwise there would be no data for now.
func (p *plan) extendLookback(segments []segment, now time.Time) []segment {
	var split []segment
	for _, seg := range segments {
		latency := time.Duration(0)
		for _, tier := range seg.tiers {
			latency = max(latency, latencyOf(p.sources[tier]))
		}
		if latency == 0 {
			split = append(split, seg)
			continue
		}
		arrived := now.Add(-latency)
		first := seg.first + sort.Search(seg.last-seg.first+1, func(i int) bool { return p.steps.at(seg.first + i).After(arrived) })
		if first > seg.first {
			early := seg
			early.last = first - 1
			split = append(split, early)
		}
		if first <= seg.last {
			seg.first, seg.late = first, latency
			split = append(split, seg)
		}
	}
	return split
}

// Cached is a remote tier with the embedded tier of the same resolution as
// fallback: while the remote one is down, data of this host comes from the embedded
// one with a LocalCacheWarning; data of other hosts is an error of type
// Unavailable.
type Cached struct {
	Remote Remote
	Local  Source
	// Host is this host's name.
	Host string
	// Here reports whether a metric is in the embedded tier only; may be nil.
	Here func(metric string) bool
}

var _ Source = (*Cached)(nil)

// LocalCacheWarning is the warning of a result that comes, in part or whole, from
// the local cache.
type LocalCacheWarning struct {
	Tier string
	Host string
	Why  error
}

// Error implements error.
func (w *LocalCacheWarning) Error() string {
	return fmt.Sprintf("answered from the local cache of tier %s, which has data of %s only: %v", w.Tier, w.Host, w.Why)
}

// markCached marks the parts of a result that come from the local cache, according
// to its warnings.
func markCached(spans []Span, warnings annotations.Annotations) {
	for _, warning := range warnings {
		var cached *LocalCacheWarning
		if !errors.As(warning, &cached) {
			continue
		}
		for i := range spans {
			spans[i].Cached = spans[i].Cached || spans[i].Tier == cached.Tier
		}
	}
}

// Name implements Source.
func (c *Cached) Name() string { return c.Remote.Name() }

// Resolution implements Source.
func (c *Cached) Resolution() time.Duration { return c.Remote.Resolution() }

// Oldest implements Source.
func (c *Cached) Oldest() time.Time {
	if c.Remote.Down() != nil {
		return c.Local.Oldest()
	}
	oldest := c.Remote.Oldest()
	if c.Remote.Down() != nil { // It went down in between.
		return c.Local.Oldest()
	}
	return oldest
}

// Latency implements Remote; the embedded tier has none.
func (c *Cached) Latency() time.Duration {
	if c.Remote.Down() != nil {
		return 0
	}
	return c.Remote.Latency()
}

// CompleteUntil is that of the embedded tier where it answers.
func (c *Cached) CompleteUntil() time.Time {
	if c.Remote.Down() != nil {
		return completeUntil(c.Local)
	}
	return time.Time{}
}

// Newest is the end of the newest bucket that has arrived, for the coarser tiers.
func (c *Cached) Newest() time.Time {
	if c.Remote.Down() != nil {
		return time.UnixMilli(writtenUntil(c.Local))
	}
	return time.UnixMilli(writtenUntil(c.Remote))
}

// Queryable implements Source.
func (c *Cached) Queryable() storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		remote, err := c.Remote.Queryable().Querier(mint, maxt)
		if err != nil {
			return nil, err
		}
		return &cachedQuerier{Cached: c, remote: remote, mint: mint, maxt: maxt}, nil
	})
}

// cachedQuerier serves one query.
type cachedQuerier struct {
	*Cached
	remote     storage.Querier
	mint, maxt int64
	// local is opened when it is needed.
	local storage.Querier
}

// Close implements storage.Querier.
func (q *cachedQuerier) Close() error {
	if q.local == nil {
		return q.remote.Close()
	}
	return errors.Join(q.remote.Close(), q.local.Close())
}

// open opens the embedded tier.
func (q *cachedQuerier) open() (err error) {
	if q.local == nil {
		q.local, err = q.Local.Queryable().Querier(q.mint, q.maxt)
	}
	return err
}

// instead returns the querier to fall back to after an error, with a warning; or
// the error if there is none.
func (q *cachedQuerier) instead(err error, matchers []*labels.Matcher) (storage.Querier, annotations.Annotations, error) {
	var known *Error
	if !errors.As(err, &known) {
		return nil, nil, err
	}
	if known.Type != Unavailable {
		// The cache would answer for this host what was asked of all.
		own := func(m *labels.Matcher) bool {
			return m.Name == hostLabel && m.Type == labels.MatchEqual && m.Value == q.Host
		}
		if !errors.Is(err, ErrCostly) || !slices.ContainsFunc(matchers, own) {
			return nil, nil, err
		}
	}
	for _, m := range matchers {
		if m.Name == hostLabel && !m.Matches(q.Host) {
			return nil, nil, &Error{Type: Unavailable, Err: fmt.Errorf("%w; the local cache has data of %s only", known.Err, q.Host)}
		}
	}
	if opening := q.open(); opening != nil {
		return nil, nil, fmt.Errorf("%w; the local cache is not available either: %w", known.Err, opening)
	}
	return q.local, annotations.New().Add(&LocalCacheWarning{Tier: q.Name(), Host: q.Host, Why: known.Err}), nil
}

// here returns matchers of those metrics that matchers mean and that are in the embedded
// tier only, nil if there are none. all is set if they mean no others. While the embedded
// tier cannot be read there is a warning.
func (q *cachedQuerier) here(ctx context.Context, matchers []*labels.Matcher) (of []*labels.Matcher, all bool, missing annotations.Annotations) {
	name := metricName(matchers)
	if q.Here == nil || name != "" && !q.Here(name) {
		return nil, false, nil
	}
	if name != "" {
		return matchers, true, nil
	}
	err := q.open()
	if err != nil {
		return nil, false, annotations.New().Add(fmt.Errorf("what rules record is missing: %w", err))
	}
	names, _, err := q.local.LabelValues(ctx, model.MetricNameLabel, &storage.LabelHints{}, matchers...)
	if err != nil {
		return nil, false, annotations.New().Add(fmt.Errorf("what rules record is missing: %w", err))
	}
	var quoted []string
	for _, name := range names {
		if q.Here(name) {
			quoted = append(quoted, regexp.QuoteMeta(name))
		}
	}
	if len(quoted) == 0 {
		return nil, false, nil
	}
	return append(slices.Clone(matchers), labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, strings.Join(quoted, "|"))), false, nil
}

// Select implements storage.Querier.
func (q *cachedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	here, all, missing := q.here(ctx, matchers)
	if all {
		if err := q.open(); err != nil {
			return storage.ErrSeriesSet(err)
		}
		return q.local.Select(ctx, sorted, hints, matchers...)
	}
	set := q.remote.Select(ctx, sorted || len(here) > 0, hints, matchers...)
	if err := set.Err(); err != nil {
		local, warnings, err := q.instead(err, matchers)
		if err != nil {
			return storage.ErrSeriesSet(err)
		}
		return &warnedSet{local.Select(ctx, sorted, hints, matchers...), warnings}
	}
	if len(here) > 0 {
		set = storage.NewMergeSeriesSet([]storage.SeriesSet{set, q.local.Select(ctx, true, hints, here...)}, 0, storage.ChainedSeriesMerge)
	}
	if len(missing) > 0 {
		return &warnedSet{set, missing}
	}
	return set
}

// LabelNames implements storage.Querier.
func (q *cachedQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.words(ctx, matchers, func(from storage.Querier, matchers []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return from.LabelNames(ctx, hints, matchers...)
	})
}

// LabelValues implements storage.Querier.
func (q *cachedQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.words(ctx, matchers, func(from storage.Querier, matchers []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return from.LabelValues(ctx, name, hints, matchers...)
	})
}

// words queries the remote tier, and the embedded one for what only that has; if the remote
// tier is down, the embedded one for all.
func (q *cachedQuerier) words(ctx context.Context, matchers []*labels.Matcher,
	ask func(storage.Querier, []*labels.Matcher) ([]string, annotations.Annotations, error),
) ([]string, annotations.Annotations, error) {
	here, all, warnings := q.here(ctx, matchers)
	if all {
		if err := q.open(); err != nil {
			return nil, nil, err
		}
		return ask(q.local, matchers)
	}
	words, more, err := ask(q.remote, matchers)
	if err != nil {
		local, warning, err := q.instead(err, matchers)
		if err != nil {
			return nil, nil, err
		}
		words, more, err = ask(local, matchers)
		return words, warning.Merge(more), err
	}
	if len(warnings) > 0 {
		more = warnings.Merge(more)
	}
	if len(here) > 0 {
		own, added, err := ask(q.local, here)
		if err != nil {
			return nil, nil, err
		}
		words = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(words), own...))))
		if len(added) > 0 {
			more = added.Merge(more)
		}
	}
	return words, more, nil
}

// warnedSet is a set with additional warnings.
type warnedSet struct {
	storage.SeriesSet
	warnings annotations.Annotations
}

// Warnings implements storage.SeriesSet.
func (s *warnedSet) Warnings() annotations.Annotations {
	all := annotations.New()
	all.Merge(s.warnings)
	return all.Merge(s.SeriesSet.Warnings())
}
