package query

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"sysotel/agent/store"
)

// queryable resolves the selectors of one evaluation, each on the tier that it is tagged
// with, else on the finest. What a coarser tier has not written yet comes from the finer
// one, so that no bucket is late.
func (q *Querier) queryable(sources []Source, asked, late time.Duration) storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		return &reader{q: q, sources: sources, mint: mint, maxt: maxt, asked: asked, late: late}, nil
	})
}

// reader implements storage.Querier.
type reader struct {
	q          *Querier
	sources    []Source // finest first
	mint, maxt int64
	// asked is how long the query wants samples to be valid, late how much longer they are in
	// every tier.
	asked, late time.Duration
	opened      []storage.Querier
}

// selected is what one selector reads.
type selected struct {
	reading
	matchers []*labels.Matcher
	hints    storage.SelectHints
	sorted   bool
	// uncounted is set if the numbers of readings are unknown.
	uncounted bool
}

// Select implements storage.Querier.
func (r *reader) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	s := selected{sorted: sorted, hints: storage.SelectHints{Start: r.mint, End: r.maxt}}
	if hints != nil {
		s.hints = *hints
	}
	_, s.reading, s.matchers = untag(matchers)
	v, kept, named := r.q.viewOf(s.matchers)
	s.matchers = kept
	level := levelOf(r.sources, matchers)
	computed := s.computed()
	if computed {
		s.hints.Start -= s.width.Milliseconds()
	}
	if computed && level > 0 {
		bucket := r.sources[level].Resolution().Milliseconds()
		switch {
		case s.role != roleMean: // The points on both sides of the range.
			s.hints.Start -= 3 * bucket
			s.hints.End += bucket
		case s.width.Milliseconds() < bucket: // The bucket that ends after the range.
			s.hints.End += bucket
		}
	}
	set, limits := r.read(ctx, level, s)
	if v != nil {
		s.matchers = named
		others, _ := r.read(ctx, level, s)
		set = v.of(set, others, s.role == roleCount)
	}
	switch {
	case computed:
		begin, resolution := s.hints.Start, max(r.sources[level].Resolution(), time.Second).Milliseconds()
		if oldest := r.sources[level].Oldest(); !oldest.IsZero() {
			begin = max(begin, oldest.UnixMilli())
		}
		return &computedSet{
			SeriesSet: set, limits: limits, function: s.function, width: s.width.Milliseconds(), seconds: level == 0,
			room: int(max(0, min(maxRoom, (s.hints.End-begin)/resolution+2))),
		}
	case s.hints.Range > 0:
		return set
	}
	return &gapSet{SeriesSet: set, limits: limits, intervals: r.q.intervals(), own: r.q.config.Interval, ofRules: r.q.ofRules}
}

// maxRoom is the number of points for which there is room from the beginning, seconds of a
// day and more.
const maxRoom = 100_000

// read reads a tier up to its newest bucket, and from there on the finer one.
func (r *reader) read(ctx context.Context, level int, s selected) (storage.SeriesSet, gapLimits) {
	source := r.sources[level]
	limit := gapLimit{until: math.MaxInt64, gap: (r.q.lookBack(source, r.asked) + r.late).Milliseconds()}
	if r.asked < source.Resolution() {
		limit.least, limit.late = source.Resolution().Milliseconds(), r.late.Milliseconds()
	}
	if level > 0 {
		limit.bucket = source.Resolution().Milliseconds()
	}
	written := writtenUntil(source)
	if level == 0 || s.hints.End <= written {
		return r.part(ctx, level, s, &limit), gapLimits{limit}
	}
	s.sorted = true
	finer := s
	finer.hints.Start = max(s.hints.Start, written+1)
	rest, limits := r.read(ctx, level-1, finer)
	if s.hints.Range > 0 && (s.role == roleMin || s.role == roleMax) {
		rest = &bucketSet{rest, limit.bucket, s.role == roleMax}
	}
	if s.hints.Start > written {
		return rest, limits
	}
	s.hints.End, limit.until = written, written
	set := continued(r.part(ctx, level, s, &limit), rest, written+1)
	return set, append(gapLimits{limit}, limits...)
}

// part reads a part of the time from one tier, and the weights of means to the limit.
func (r *reader) part(ctx context.Context, level int, s selected, limit *gapLimit) storage.SeriesSet {
	from := s.hints.Start
	if level == 0 && r.q.isRate(metricName(s.matchers)) { // A difference needs the sample before the range.
		from -= store.RateGap.Milliseconds()
	}
	p, err := r.q.openPart(r.sources, level, from, s.hints.End)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	r.opened = append(r.opened, p)
	if s.role == roleMean && level > 0 {
		if limit.weights, err = p.weights(ctx, metricName(s.matchers), s); err != nil {
			return storage.ErrSeriesSet(err)
		}
		s.uncounted = len(limit.weights) == 0
	}
	if name := metricName(s.matchers); name != "" || !p.needsName(s.role) {
		return p.named(ctx, name, s)
	}
	names, _, err := p.Querier.LabelValues(ctx, model.MetricNameLabel, nil, s.matchers...)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	s.sorted = true
	var sets []storage.SeriesSet
	for _, name := range names {
		if !p.derived(name) {
			own := s
			own.matchers = append(slices.Clone(s.matchers), labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name))
			sets = append(sets, p.named(ctx, name, own))
		}
	}
	return storage.NewMergeSeriesSet(sets, 0, storage.ChainedSeriesMerge)
}

// LabelValues implements storage.Querier; an evaluation does not use it.
func (*reader) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.Querier.
func (*reader) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.Querier.
func (r *reader) Close() error {
	var errs []error
	for _, querier := range r.opened {
		errs = append(errs, querier.Close())
	}
	return errors.Join(errs...)
}
