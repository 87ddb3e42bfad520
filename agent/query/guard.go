package query

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"sysotel/agent/regex"
)

// guard stands between the engine and the storage for one evaluation. The engine
// selects all series before it evaluates; when the last selector has been resolved
// the guard knows how many series there are and how long their labels, estimates
// what the evaluation takes (estimate.go), and ends it before it begins if that is
// too much.
type guard struct {
	inner  storage.Queryable
	budget *budget
	// patterns are those of the matchers; measured are the others that have been measured.
	patterns regex.Size
	measured map[string]measured
	// samples is the number of samples of a selector in a range, at most.
	samples func([]*labels.Matcher, time.Duration) float64
	// readable is how many samples may be read while there is a coarser tier, reads how
	// many they are; finest is set if there is none.
	readable, reads float64
	finest          bool
	// fewer reports whether so many series are not too much for a finer tier that was
	// passed over; nil if none was. found is told how many series a selector has.
	fewer func([][]storage.Series) bool
	found func(matchers []*labels.Matcher, series int)
	// limit is what the evaluation may take beside its series; 0 is all that is left.
	limit float64

	end       context.CancelCauseFunc
	statement *parser.EvalStmt
	windows   []window
	selected  [][]storage.Series
	// info are the series that the function info selects while it is evaluated.
	info []storage.Series
	// taken is what has been taken from the budget.
	taken float64
	err   error
}

// tooLong ends an evaluation that fits the budget if it has fewer steps.
type tooLong struct{ steps int }

// Error implements error.
func (e *tooLong) Error() string { return fmt.Sprintf("only %d steps at once", e.steps) }

// exec evaluates a query of the engine under the guard.
func (g *guard) exec(ctx context.Context, query promql.Query) *promql.Result {
	g.statement, _ = query.Statement().(*parser.EvalStmt) // The engine has no others.
	g.windows = windowsOf(g.statement.Expr, g.statement.Interval)
	ctx, g.end = context.WithCancelCause(ctx)
	defer g.end(nil)
	result := query.Exec(ctx)
	if g.err != nil {
		result.Err = g.err
	}
	return result
}

// release returns to the budget what the evaluation has taken.
func (g *guard) release() {
	_ = g.budget.take(-g.taken) // Less is never too much.
	g.taken = 0
}

// take takes memory from the budget and ends the evaluation if it is too much.
func (g *guard) take(bytes float64) error {
	g.taken += bytes
	return g.refuse(g.instead(g.budget.take(bytes)))
}

// refuse ends the evaluation if there is an error.
func (g *guard) refuse(err error) error {
	if err != nil && g.err == nil {
		g.err = err
		g.end(err)
	}
	return g.err
}

// Querier implements storage.Queryable.
func (g *guard) Querier(mint, maxt int64) (storage.Querier, error) {
	querier, err := g.inner.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	if len(g.windows) == 0 {
		_ = g.refuse(g.check()) // The context ends the evaluation.
	}
	return &guardedQuerier{Querier: querier, guard: g}, nil
}

// check ends the evaluation if it would take too much.
func (g *guard) check() error {
	count := 1
	if step := g.statement.Interval; step > 0 {
		count += int(g.statement.End.Sub(g.statement.Start) / step)
	}
	limit := g.budget.left()
	if g.limit > 0 {
		limit = min(limit, g.limit)
	}
	if g.fewer != nil && g.fewer(g.selected) {
		return errFewer
	}
	g.count()
	if !g.finest && g.reads > g.readable {
		return errTooMany
	}
	whole := g.estimate(count)
	switch {
	case whole.err != nil:
		return whole.err
	case g.budget.light && (whole.peak > limit || whole.work > lightWork):
		return errHeavy
	case whole.fits(limit):
		return nil
	}
	// The largest number of steps that fits; each takes at least as much as fewer.
	fits, not := 0, count
	for not-fits > 1 {
		middle := (fits + not) / 2
		if g.estimate(middle).fits(limit) {
			fits = middle
		} else {
			not = middle
		}
	}
	if fits > 0 {
		return &tooLong{fits}
	}
	return g.instead(g.estimate(1).refusal(limit))
}

// instead is the error of an evaluation that takes too much: a coarser tier takes less.
func (g *guard) instead(err error) error {
	if err == nil || g.finest || errors.Is(err, errHeavy) {
		return err
	}
	return errTooMany
}

// errTooMany ends an evaluation that would read too many samples of its tiers.
var errTooMany = errors.New("too many samples")

// measured is what is known of a regular expression.
type measured struct {
	size regex.Size
	err  error
}

// measure measures a regular expression, once for all estimates.
func (g *guard) measure(pattern string) (regex.Size, error) {
	known, ok := g.measured[pattern]
	if !ok {
		known.size, known.err = regex.Measure(pattern)
		if g.measured == nil {
			g.measured = map[string]measured{}
		}
		g.measured[pattern] = known
	}
	return known.size, known.err
}

// count sums up the samples of all windows.
func (g *guard) count() {
	g.reads = 0
	for i := range g.selected {
		g.reads += float64(len(g.selected[i])) * g.each(&g.windows[i])
	}
}

// each is the number of samples that a window reads of each series.
func (g *guard) each(w *window) float64 {
	span := w.span
	if w.at == nil {
		span += g.statement.End.Sub(g.statement.Start)
	}
	return g.samples(w.selector.LabelMatchers, span)
}

// most is the number of series that the next window may have while there is a coarser tier.
func (g *guard) most() int {
	if g.finest || math.IsInf(g.readable, 1) || len(g.selected) >= len(g.windows) {
		return math.MaxInt
	}
	g.count()
	return int(max(0, g.readable-g.reads) / g.each(&g.windows[len(g.selected)]))
}

// guardedQuerier implements storage.Querier for the engine.
type guardedQuerier struct {
	storage.Querier
	*guard
}

// seriesBytes is about what a selected series takes beside its labels, and chunkBytes
// what each of its chunks does.
const (
	seriesBytes = 400
	chunkBytes  = 64
)

// Select implements storage.Querier. The engine calls it for all selectors in the
// order of the expression before it evaluates, and then for each call of info.
func (q *guardedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if q.err != nil {
		return storage.ErrSeriesSet(q.err)
	}
	if err := ctx.Err(); err != nil {
		return storage.ErrSeriesSet(err)
	}
	each := float64(seriesBytes)
	if hints != nil && hints.End > hints.Start {
		each += chunkBytes * q.samples(matchers, time.Duration(hints.End-hints.Start)*time.Millisecond) / 120
	}
	set := q.Querier.Select(ctx, sorted, hints, matchers...)
	gaps, limited := set.(*gapSet)
	found := &foundSet{guard: q.guard, warnings: annotations.Annotations{}}
	most := q.most()
	for set.Next() {
		if len(found.series) == most {
			q.found(matchers, most+1)
			return storage.ErrSeriesSet(q.refuse(errTooMany))
		}
		series := set.At()
		if err := q.take(each + float64(series.Labels().ByteSize())); err != nil {
			return storage.ErrSeriesSet(err)
		}
		if err := ctx.Err(); err != nil {
			return storage.ErrSeriesSet(err)
		}
		if limited {
			series = gaps.within(q.statement.LookbackDelta.Milliseconds(), series)
		}
		found.series = append(found.series, series)
	}
	found.err = set.Err()
	found.warnings.Merge(set.Warnings())
	if len(q.selected) == len(q.windows) {
		q.info = append(q.info, found.series...)
		_ = q.refuse(q.check()) // The set returns it.
		return found
	}
	if !q.finest {
		q.found(matchers, len(found.series))
	}
	if q.selected = append(q.selected, found.series); len(q.selected) == len(q.windows) {
		_ = q.refuse(q.check())
	}
	return found
}

// foundSet has the series of a selector.
type foundSet struct {
	guard    *guard
	series   []storage.Series
	at       int
	warnings annotations.Annotations
	err      error
}

// Next implements storage.SeriesSet.
func (s *foundSet) Next() bool {
	if s.guard.err != nil || s.at == len(s.series) {
		return false
	}
	s.at++
	return true
}

// At implements storage.SeriesSet.
func (s *foundSet) At() storage.Series { return s.series[s.at-1] }

// Err implements storage.SeriesSet.
func (s *foundSet) Err() error {
	if s.guard.err != nil {
		return s.guard.err
	}
	return s.err
}

// Warnings implements storage.SeriesSet.
func (s *foundSet) Warnings() annotations.Annotations { return s.warnings }

// samplesOf returns the number of samples that a selector has in a range, at most.
func samplesOf(sources []Source, now time.Time) func([]*labels.Matcher, time.Duration) float64 {
	return func(matchers []*labels.Matcher, span time.Duration) float64 {
		if _, r, _ := untag(matchers); r.computed() {
			span += r.width
		}
		return samplesIn(sources, levelOf(sources, matchers), span, now)
	}
}

// samplesIn is the number of samples that a series has in a tier, at most, in a range that
// ends at a time. No collector is read more often than once a second.
func samplesIn(sources []Source, level int, span time.Duration, end time.Time) float64 {
	resolution, oldest := max(sources[level].Resolution(), time.Second), sources[level].Oldest()
	if !oldest.IsZero() {
		span = min(span, max(0, end.Sub(oldest)))
	}
	samples := float64(span/resolution) + 1
	for ; level > 0; level-- { // What is not written yet.
		samples += float64(min(span, sources[level].Resolution()) / max(sources[level-1].Resolution(), time.Second))
	}
	return samples
}

// levelOf is the index of the tier that matchers are tagged with, else of the finest.
func levelOf(sources []Source, matchers []*labels.Matcher) int {
	tier, _, _ := untag(matchers)
	return max(0, slices.IndexFunc(sources, func(source Source) bool { return source.Name() == tier }))
}

var (
	_ storage.Queryable = (*guard)(nil)
	_ storage.SeriesSet = (*foundSet)(nil)
)
