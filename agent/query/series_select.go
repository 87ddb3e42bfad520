package query

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	"golang.org/x/sync/errgroup"
)

// SeriesQuery selects series over a time range.
type SeriesQuery struct {
	// Matchers select the series; one must be an equality matcher on the name of a
	// metric that is no roll-up.
	Matchers   []*labels.Matcher
	Start, End time.Time
	// Step is the time between two points; if zero, it is chosen so that there are
	// at most MaxPoints.
	Step      time.Duration
	MaxPoints int
	// Avg, Min and Max are the aggregations to return per step.
	Avg, Min, Max bool
	// AsRate returns a counter's rate per second.
	AsRate bool
}

// SeriesResult is the result of a SeriesQuery. A point at t covers (t−step, t].
type SeriesResult struct {
	// Step is that of the newest part; older parts have longer steps if only a
	// coarser tier reaches back.
	Step     time.Duration
	Tiers    []Span
	Series   []SelectedSeries
	Warnings annotations.Annotations
}

// SelectedSeries has the points of one series. Min or Max is nil if not requested.
type SelectedSeries struct {
	Labels labels.Labels
	// T are the points' times in milliseconds, shared by all series of a result.
	T []int64
	// Avg, Min and Max are NaN where there is no data.
	Avg, Min, Max []float64
}

// Select evaluates a query of the REST API. Rates are exact differences of the
// counter at the ends of the steps, the same from every tier; averages of averages
// are weighted by their readings; minima and maxima are never lost; and a gap stays
// a gap.
func (q *Querier) Select(ctx context.Context, query SeriesQuery) (SeriesResult, error) {
	name := metricName(query.Matchers)
	if name == "" {
		return SeriesResult{}, badData("the matchers must name one metric with =")
	}
	var result SeriesResult
	size := 0.0
	err := q.within(ctx, false, func(ctx context.Context, b *budget) (err error) {
		result, err = q.selectWithin(ctx, b, name, query)
		size = b.used
		return err
	})
	if err == nil {
		err = q.held.until(ctx, size)
	}
	if err != nil {
		return SeriesResult{}, err
	}
	return result, nil
}

// selectWithin evaluates a query of the REST API in one turn.
func (q *Querier) selectWithin(ctx context.Context, b *budget, name string, query SeriesQuery) (SeriesResult, error) {
	sources := q.config.Tiers()
	sources = sources[:q.keepers(name, len(sources))]
	if len(sources) == 0 {
		return SeriesResult{}, &Error{Type: Unavailable, Err: store.ErrOpening}
	}
	grid, err := q.grid(sources, query)
	if err != nil {
		return SeriesResult{}, err
	}
	s := &selection{q: q, budget: b, query: query, name: name, grid: grid, found: map[string]*SelectedSeries{}}
	s.roles()
	if s.counter && !query.AsRate && (query.Min || query.Max) {
		return SeriesResult{}, badData("%s is a counter: min and max exist for its rate only", name)
	}
	for i := range grid.parts {
		if err := s.read(ctx, &grid.parts[i]); err != nil {
			return SeriesResult{}, err
		}
	}
	return s.result(), nil
}

// selection is one Select in progress.
type selection struct {
	q                *Querier
	budget           *budget
	query            SeriesQuery
	name             string
	minName, maxName string // names of the roll-ups
	counter          bool
	grid             grid

	mu       sync.Mutex
	found    map[string]*SelectedSeries
	warnings annotations.Annotations
	key      []byte
}

// roles looks up the names of the roll-ups.
func (s *selection) roles() {
	if s.q.config.Names == nil {
		return
	}
	var kind store.Kind
	s.minName, s.maxName, kind, _ = s.q.config.Names.Names(s.name)
	s.counter = kind == store.Counter
}

// read fills one part of the points from its tier. In a coarser tier averages,
// minima and maxima have three names, which are read by as many goroutines:
// decoding samples takes nearly all of the time, and each writes columns of its
// own.
func (s *selection) read(ctx context.Context, p *part) error {
	if p.count == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	if s.query.Avg || p.finest {
		group.Go(func() error { return s.readRaw(ctx, p) })
	}
	for _, extreme := range []struct {
		name      string
		requested bool
		minimum   bool
	}{{s.minName, s.query.Min, true}, {s.maxName, s.query.Max, false}} {
		if p.finest || !extreme.requested || extreme.name == "" {
			continue
		}
		group.Go(func() error {
			return s.each(ctx, p, extreme.name, func(_ labels.Labels, c *SelectedSeries, it *timeline) {
				column := c.Max
				if extreme.minimum {
					column = c.Min
				}
				foldExtreme(it, p, p.cut(column), extreme.minimum)
			})
		})
	}
	return group.Wait()
}

// readRaw fills in what is stored under the metric's own name: everything in the
// finest tier, averages in the others.
func (s *selection) readRaw(ctx context.Context, p *part) error {
	weights, err := s.weights(ctx, p)
	if err != nil {
		return err
	}
	return s.each(ctx, p, s.name, func(l labels.Labels, c *SelectedSeries, it *timeline) {
		out := columns{avg: p.cut(c.Avg)}
		if p.finest { // Else the roll-ups have them.
			out.min, out.max = p.cut(c.Min), p.cut(c.Max)
		}
		switch {
		case s.query.AsRate:
			foldRates(it, p, s.grid.patience, out)
		case s.counter:
			foldLast(it, p, out.avg)
		default:
			foldValues(it, p, weights[l.Get(hostLabel)], out)
		}
	})
}

// each calls f with every series that matches under the given name.
func (s *selection) each(ctx context.Context, p *part, name string, f func(labels.Labels, *SelectedSeries, *timeline)) error {
	from, to := s.reach(p)
	querier, err := p.source.Queryable().Querier(from+1, to)
	if err != nil {
		return err
	}
	defer func() { _ = querier.Close() }() // It was only read.
	matchers := slices.Clone(s.query.Matchers)
	for i, m := range matchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			matchers[i] = labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)
		}
	}
	set := querier.Select(ctx, false, &storage.SelectHints{Start: from + 1, End: to}, matchers...)
	var it timeline
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		series := set.At()
		l := series.Labels()
		column, err := s.column(l)
		if err != nil {
			return err
		}
		it.reset(series, from, to)
		f(l, column, &it)
		if err := it.err(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warnings.Merge(set.Warnings())
	return set.Err()
}

// reach is the time range of the samples that a part needs, the first excluded.
func (s *selection) reach(p *part) (from, to int64) {
	return p.first - p.step - s.grid.reach(p.step), p.last()
}

// column returns the result's series for the labels of a raw series or a roll-up,
// which differ in their names only.
func (s *selection) column(l labels.Labels) (*SelectedSeries, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = l.BytesWithoutLabels(s.key, model.MetricNameLabel)
	if known, ok := s.found[string(s.key)]; ok {
		return known, nil
	}
	columns := 0
	for _, asked := range []bool{s.query.Avg, s.query.Min, s.query.Max} {
		if asked {
			columns++
		}
	}
	points := len(s.grid.times)
	if len(s.found) >= s.q.config.Limits.Series {
		return nil, &Error{Type: Execution, Err: errTooMuch}
	}
	if err := s.budget.take(float64(seriesBytes) + float64(2*l.ByteSize()) + float64(8*points*columns)); err != nil {
		return nil, err
	}
	added := &SelectedSeries{
		Labels: labels.NewBuilder(l.Copy()).Set(model.MetricNameLabel, s.name).Labels(),
		T:      s.grid.times,
	}
	for _, want := range []struct {
		column *[]float64
		asked  bool
	}{{&added.Avg, s.query.Avg}, {&added.Min, s.query.Min}, {&added.Max, s.query.Max}} {
		if !want.asked {
			continue
		}
		*want.column = make([]float64, points)
		for i := range *want.column {
			(*want.column)[i] = math.NaN()
		}
	}
	s.found[string(s.key)] = added
	return added, nil
}

var errTooMuch = errors.New("too many series or points; use narrower matchers, a shorter range or a longer step")

// result assembles the result, sorted by labels.
func (s *selection) result() SeriesResult {
	r := SeriesResult{Step: time.Duration(s.grid.parts[len(s.grid.parts)-1].step) * time.Millisecond}
	for _, p := range s.grid.parts {
		if p.count > 0 {
			r.Tiers = append(r.Tiers, Span{Tier: p.source.Name(), From: time.UnixMilli(p.first), To: time.UnixMilli(p.last())})
		}
	}
	r.Warnings = s.warnings
	markCached(r.Tiers, s.warnings)
	r.Series = make([]SelectedSeries, 0, len(s.found))
	for _, c := range s.found {
		r.Series = append(r.Series, *c)
	}
	slices.SortFunc(r.Series, func(a, b SelectedSeries) int { return labels.Compare(a.Labels, b.Labels) })
	return r
}
