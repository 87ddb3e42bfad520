package query

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"sysotel/agent/regex"
)

// run is an evaluation in progress: one query of the engine for each segment. What
// would take too much memory at once is cut into segments of fewer steps, whose
// results are joined.
type run struct {
	*Querier
	budget   *budget
	patterns regex.Size
	plan     *plan
	result   *Result
	// present resolves the selectors of a rule; nil for all others.
	present storage.Queryable
	// read is the number of samples that the segments so far have read, evaluated is set if
	// there are any.
	read      float64
	evaluated bool
	// certain is set if no tier is passed over.
	certain bool
	// joined are the results of several segments.
	joined *joined
}

// maxCuts is the number of segments into which an evaluation may be cut.
const maxCuts = 500

// all evaluates all segments, the newest first: what is exact for as long as the budget
// reaches is the newest.
func (r *run) all(ctx context.Context, segments []segment) error {
	for len(segments) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.joined == nil && len(segments) > 1 {
			r.joined = newJoined(r.budget)
		}
		newest := len(segments) - 1
		if r.passOver(&segments[newest]) {
			segments = r.meet(segments)
			continue
		}
		err := r.segment(ctx, segments[newest])
		var long *tooLong
		switch {
		case errors.Is(err, errTooMany):
			if !r.plan.coarsen(&segments[newest]) {
				segments[newest].unbounded = true
			}
			segments = r.meet(segments)
		case errors.As(err, &long):
			cut, err := segments[newest].cut(long.steps)
			if err != nil {
				return err
			}
			segments = append(segments[:newest], cut...)
		case err != nil:
			return err
		default:
			segments, r.evaluated = segments[:newest], true
		}
	}
	if r.joined != nil {
		r.result.Value = r.joined.matrix()
	}
	return nil
}

// meet makes the newest segment and the one before it one, where they have become alike.
func (r *run) meet(segments []segment) []segment {
	newest := len(segments) - 1
	if newest > 0 && segments[newest-1].meets(segments[newest]) {
		one := &segments[newest-1]
		one.last, one.passed, one.passedFrom = segments[newest].last, segments[newest].passed, segments[newest].passedFrom
		segments = segments[:newest]
	}
	if len(segments) == 1 && !r.evaluated {
		r.joined = nil
	}
	return segments
}

// cut returns parts of about equal length with at most a number of steps each.
func (s segment) cut(most int) ([]segment, error) {
	steps := s.last - s.first + 1
	count := (steps + most - 1) / most
	if count > maxCuts {
		return nil, &Error{Type: Execution, Err: fmt.Errorf("the query takes too much memory: only %d of its %d steps can be evaluated at once; use narrower matchers, a shorter range or a longer step", most, steps)}
	}
	parts := make([]segment, 0, count)
	for i := range count {
		part := s
		part.unbounded, part.passed = true, nil // Together they have been counted.
		part.first, part.last = s.first+steps*i/count, s.first+steps*(i+1)/count-1
		parts = append(parts, part)
	}
	return parts, nil
}

// segment evaluates one segment.
func (r *run) segment(ctx context.Context, seg segment) error {
	if err := r.plan.checkRanges(seg); err != nil {
		return err
	}
	text, err := r.plan.rewrite(seg.tiers)
	if err != nil {
		return err
	}
	s, lookBack := r.plan.steps, r.plan.lookBack(seg)
	g := &guard{
		inner: r.present, budget: r.budget, patterns: r.patterns,
		samples: samplesOf(r.plan.sources, s.at(seg.last)), readable: math.Inf(1), finest: seg.unbounded || !r.plan.coarser(seg),
	}
	if g.inner == nil {
		g.inner = r.queryable(r.plan.sources, s.lookBack, seg.late)
	}
	if s.step > 0 && !seg.unbounded {
		g.readable = r.readable()
	}
	g.found = func(matchers []*labels.Matcher, series int) {
		_, _, asked := untag(matchers)
		r.counts.note(r.plan.sources[levelOf(r.plan.sources, matchers)], asked, series)
	}
	if seg.passed != nil {
		g.fewer = func(selected [][]storage.Series) bool {
			return r.plan.reads(seg.passedFrom, seg.last, seg.passed, func(i int) int { return len(selected[i]) }) <= r.readable()
		}
	}
	if r.joined != nil {
		g.limit = r.budget.limit - resultShare(r.budget.limit)
	}
	defer g.release()
	opts, seen := promql.NewPrometheusQueryOpts(false, lookBack), scrapedQueryable{r.Querier, g}
	var query promql.Query
	if s.step == 0 {
		query, err = r.engine.NewInstantQuery(ctx, seen, opts, text, s.start)
	} else {
		query, err = r.engine.NewRangeQuery(ctx, seen, opts, text, s.at(seg.first), s.at(seg.last), s.step)
	}
	if err != nil {
		return &Error{Type: BadData, Err: err}
	}
	result := g.exec(ctx, query)
	r.result.measure(query)
	if result.Err != nil {
		query.Close()
		return result.Err
	}
	r.read += g.reads
	r.result.add(r.plan.span(seg))
	r.result.Warnings.Merge(result.Warnings)
	if r.plan.presence && len(seg.tiers) > 0 && slices.Max(seg.tiers) > 0 {
		r.result.Warnings.Add(notePresence(r.plan.sources[slices.Max(seg.tiers)]))
	}
	if size := sizeOf(result.Value); size > resultShare(r.budget.limit) {
		query.Close()
		return r.budget.tooLarge(size)
	}
	if r.joined == nil {
		r.result.Value, r.result.query = result.Value, query
		return nil
	}
	defer query.Close()
	matrix, _ := result.Value.(promql.Matrix) // Range queries have no other results.
	return r.joined.add(matrix)
}

// add adds the tier of a segment before the others.
func (a *Result) add(earlier Span, reads bool) {
	if len(a.Tiers) > 0 && a.Tiers[0].Tier == earlier.Tier {
		a.Tiers[0].From = earlier.From
	} else if reads {
		a.Tiers = slices.Insert(a.Tiers, 0, earlier)
	}
}

// resultShare is the part of the memory of an evaluation that its result may take.
func resultShare(limit float64) float64 { return limit / 2 }

// tooLarge is the error of a result that is too large.
func (b *budget) tooLarge(size float64) error {
	if b.light {
		return errHeavy
	}
	return &Error{Type: Execution, Err: fmt.Errorf("the result is too large: it takes %s, at most %s are allowed; use narrower matchers, a shorter range or a longer step", mebibytes(size), mebibytes(resultShare(b.limit)))}
}

// sizeOf is the memory of a result.
func sizeOf(value parser.Value) float64 {
	size := 0
	switch v := value.(type) {
	case promql.Matrix:
		for _, s := range v {
			size += sizeOfSeries(s)
		}
	case promql.Vector:
		for _, s := range v {
			size += int(s.Metric.ByteSize()) + sampleBytes
		}
	case promql.String:
		size = len(v.V)
	}
	return float64(size)
}

func sizeOfSeries(s promql.Series) int {
	size := int(s.Metric.ByteSize()) + rowBytes/2 + pointBytes*len(s.Floats)
	for _, h := range s.Histograms {
		size += pointBytes + h.H.Size()
	}
	return size
}

// release returns to the budget what the joined results take.
func (r *run) release() {
	if r.joined != nil {
		_ = r.budget.take(-r.joined.taken) // Less is never too much.
		r.joined = nil
	}
}
