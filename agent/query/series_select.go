package query

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sysotel/agent/store"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	"golang.org/x/sync/errgroup"
)

// SeriesQuery asks for the course of series over time.
type SeriesQuery struct {
	// Matchers select the series; one is an equality matcher on the name of a
	// measured metric, not of a roll-up.
	Matchers   []*labels.Matcher
	Start, End time.Time
	// Step is the time between two points; where it is zero it is chosen so that
	// there are at most MaxPoints.
	Step      time.Duration
	MaxPoints int
	// Avg, Min and Max say what is wanted of each point.
	Avg, Min, Max bool
	// AsRate asks for the difference per second of a counter.
	AsRate bool
}

// SeriesResult is the course of series. A point at t tells of (t−step, t].
type SeriesResult struct {
	// Step is that of the newest part; older parts have longer ones where only a
	// coarser tier reaches back.
	Step     time.Duration
	Tiers    []Span
	Series   []SelectedSeries
	Warnings annotations.Annotations
}

// SelectedSeries is the course of one series. Min or Max is nil where it was not
// asked for.
type SelectedSeries struct {
	Labels labels.Labels
	// T are the points in milliseconds. It is shared by all series of a result.
	T []int64
	// Avg, Min and Max are NaN where there was nothing to tell.
	Avg, Min, Max []float64
}

// Select answers a question of the REST API. Rates are exact differences of the
// counter at the ends of the steps, so they are the same from every tier;
// averages of averages weigh by the readings that made them; no least or
// greatest value is lost; and a gap stays a gap.
func (q *Querier) Select(ctx context.Context, query SeriesQuery) (SeriesResult, error) {
	name := metricName(query.Matchers)
	if name == "" {
		return SeriesResult{}, badData("the matchers must name one metric with =")
	}
	ctx, done, err := q.acquire(ctx)
	if err != nil {
		return SeriesResult{}, err
	}
	defer done()
	sources := q.sources([]string{name})
	if len(sources) == 0 {
		return SeriesResult{}, &Error{Type: Unavailable, Err: store.ErrOpening}
	}
	grid, err := q.grid(sources, query)
	if err != nil {
		return SeriesResult{}, err
	}
	s := &selection{q: q, query: query, name: name, grid: grid, found: map[string]*SelectedSeries{}}
	s.roles()
	if s.counter && !query.AsRate && (query.Min || query.Max) {
		return SeriesResult{}, badData("%s is a counter: min and max exist for its rate only", name)
	}
	for i := range grid.parts {
		if err := s.read(ctx, &grid.parts[i]); err != nil {
			return SeriesResult{}, withType(err)
		}
	}
	return s.result(), nil
}

// selecting is one Select under way.
type selection struct {
	q                *Querier
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

// roles looks the names of the roll-ups up.
func (s *selection) roles() {
	if s.q.config.Names == nil {
		return
	}
	var kind store.Kind
	s.minName, s.maxName, kind, _ = s.q.config.Names.Names(s.name)
	s.counter = kind == store.Counter
}

// read fills one part of the points from its tier. What a coarser tier has under
// three names, averages and extremes, is read by as many goroutines: nearly all of
// the time goes into the decoding of samples, and they write into columns of their own.
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

// readRaw fills in what the series tell under the metric's own name: everything
// in the finest tier, averages in the others.
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

// reach is the time of the samples that a part is made of, the first not included.
func (s *selection) reach(p *part) (from, to int64) {
	return p.first - p.step - s.grid.reach(p.step), p.last()
}

// column finds the answer's series for the labels of a raw series or a roll-up,
// which differ in their names only.
func (s *selection) column(l labels.Labels) (*SelectedSeries, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = l.BytesWithoutLabels(s.key, model.MetricNameLabel)
	if known, ok := s.found[string(s.key)]; ok {
		return known, nil
	}
	limits := s.q.config.Limits
	points := len(s.grid.times)
	if len(s.found) >= limits.Series || (len(s.found)+1)*points > limits.Samples {
		return nil, &Error{Type: Execution, Err: errTooMuch}
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

// result puts the answer together, sorted by labels.
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
