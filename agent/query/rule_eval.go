package query

import (
	"context"
	"errors"
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// Rule queries differ from user queries: they repeat every few seconds, always
// evaluate at the present, and need the freshest data, which a tier with an open
// bucket lacks by minutes. So each selector reads the finest tier, unless its range
// is too long to be read at that resolution, and rules have a turn of their own.

const (
	// longWindow is the longest range read from the finest tier.
	longWindow = time.Hour
	// windowPoints is the minimum number of points in a longer range.
	windowPoints = 60
	// ruleTimeout bounds one evaluation.
	ruleTimeout = 10 * time.Second
)

// OwnSeries resolves selectors for series that the rule engine holds itself, at a
// time in milliseconds; ok is false for all others.
type OwnSeries func(at int64, matchers []*labels.Matcher) ([]promql.Sample, bool, error)

// RuleQueryable resolves the selectors of rules: own series from own, all others
// from the tiers.
func (q *Querier) RuleQueryable(own OwnSeries) storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		return &ruleQuerier{q: q, own: own, mint: mint, maxt: maxt}, nil
	})
}

// EvalRule evaluates the expression of a rule at a time.
func (q *Querier) EvalRule(ctx context.Context, text string, at time.Time, present storage.Queryable) (promql.Vector, error) {
	ctx, cancel := context.WithTimeout(ctx, ruleTimeout)
	defer cancel()
	done, err := q.rules.take(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	scanned, err := q.config.Limits.scan(text)
	if err != nil {
		return nil, err
	}
	b := &budget{limit: ruleMemory}
	if err := b.take(scanned.bytes(text)); err != nil {
		return nil, err
	}
	g := &guard{inner: present, budget: b, patterns: scanned.patterns, samples: q.ruleSamples(at)}
	query, err := q.engine.NewInstantQuery(ctx, g, promql.NewPrometheusQueryOpts(false, q.LookBack()), text, at)
	if err != nil {
		return nil, &Error{Type: BadData, Err: err}
	}
	defer query.Close()
	result := g.exec(ctx, query)
	if result.Err != nil {
		return nil, withType(result.Err)
	}
	switch v := result.Value.(type) {
	case promql.Vector:
		// The engine reuses the vector when the query is closed.
		return append(promql.Vector(nil), v...), nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V, Metric: labels.EmptyLabels()}}, nil
	}
	return nil, badData("the expression returns a %s, a rule needs an instant vector or a scalar", parser.DocumentedType(result.Value.Type()))
}

// LookBack is how long a sample of the finest tier is valid.
func (q *Querier) LookBack() time.Duration {
	if sources := q.config.Tiers(); len(sources) > 0 {
		return q.lookBack(sources[0])
	}
	return q.config.Interval * 5 / 2
}

// ruleQuerier chooses a tier for each selector.
type ruleQuerier struct {
	q          *Querier
	own        OwnSeries
	mint, maxt int64
	opened     []storage.Querier
}

// Select implements storage.Querier.
func (p *ruleQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	from, to, width := p.mint, p.maxt, time.Duration(0)
	if hints != nil {
		from, to, width = hints.Start, hints.End, time.Duration(hints.Range)*time.Millisecond
	}
	if p.own != nil {
		samples, mine, err := p.own(to, matchers)
		switch {
		case err != nil:
			return storage.ErrSeriesSet(err)
		case mine:
			return newOwnSeriesSet(samples)
		}
	}
	source, err := p.q.ruleSource(metricName(matchers), width)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	querier, err := p.q.queryable(source).Querier(from, to)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	p.opened = append(p.opened, querier)
	return querier.Select(ctx, sorted, hints, matchers...)
}

// ruleSource returns the tier for a selector with a range.
func (q *Querier) ruleSource(metric string, width time.Duration) (Source, error) {
	var names []string
	if metric != "" {
		names = []string{metric}
	}
	sources := q.sources(names)
	if len(sources) == 0 {
		return nil, store.ErrOpening
	}
	chosen := sources[0]
	if width > longWindow {
		for _, s := range sources[1:] {
			if s.Resolution() <= width/windowPoints {
				chosen = s
			}
		}
	}
	return chosen, nil
}

// ruleSamples returns the number of samples that a selector with a range has, at most.
func (q *Querier) ruleSamples(now time.Time) func(time.Duration) float64 {
	return func(width time.Duration) float64 {
		source, err := q.ruleSource("", width)
		if err != nil {
			return 0
		}
		return samplesOf(source, now)(width)
	}
}

// LabelValues implements storage.Querier; rules do not use it.
func (p *ruleQuerier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.Querier.
func (p *ruleQuerier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.Querier.
func (p *ruleQuerier) Close() error {
	var errs []error
	for _, querier := range p.opened {
		errs = append(errs, querier.Close())
	}
	return errors.Join(errs...)
}

// ownSeriesSet has one series with one sample for each of the rule engine's own
// samples.
type ownSeriesSet struct {
	samples []promql.Sample
	at      int
}

func newOwnSeriesSet(samples []promql.Sample) *ownSeriesSet { return &ownSeriesSet{samples, -1} }

// Next implements storage.SeriesSet.
func (s *ownSeriesSet) Next() bool { s.at++; return s.at < len(s.samples) }

// At implements storage.SeriesSet.
func (s *ownSeriesSet) At() storage.Series {
	sample := s.samples[s.at]
	return &storage.SeriesEntry{
		Lset: sample.Metric,
		SampleIteratorFn: func(chunkenc.Iterator) chunkenc.Iterator {
			return storage.NewListSeriesIterator(rateList{{sample.T, sample.F}})
		},
	}
}

// Err implements storage.SeriesSet.
func (*ownSeriesSet) Err() error { return nil }

// Warnings implements storage.SeriesSet.
func (*ownSeriesSet) Warnings() annotations.Annotations { return nil }
