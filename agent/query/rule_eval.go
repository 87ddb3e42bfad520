package query

import (
	"context"
	"errors"
	"sysotel/agent/store"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// Alert rules ask otherwise than people do. They ask the same every few seconds,
// always about the present, and what they hear must be as fresh as it can be: a
// tier whose newest bucket is still open would tell of minutes ago. So each
// selector goes to the finest tier, but for a range that is so long that reading
// every second of it would cost more than it tells. And they do not wait behind
// the questions of people.

const (
	// longWindow is the longest range that is read second by second.
	longWindow = time.Hour
	// windowPoints is how many points of a coarser tier a longer range has at least.
	windowPoints = 60
	// ruleTimeout bounds one evaluation.
	ruleTimeout = 10 * time.Second
)

// Own answers selectors of series that the judge keeps himself, at a time; false
// where they are not his.
type OwnSeries func(at int64, matchers []*labels.Matcher) ([]promql.Sample, bool, error)

// Present answers the selectors of alert rules about the present.
func (q *Querier) RuleQueryable(own OwnSeries) storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		return &ruleQuerier{q: q, own: own, mint: mint, maxt: maxt}, nil
	})
}

// Judge evaluates the expression of a rule at a time.
func (q *Querier) EvalRule(ctx context.Context, text string, at time.Time, present storage.Queryable) (promql.Vector, error) {
	ctx, cancel := context.WithTimeout(ctx, ruleTimeout)
	defer cancel()
	query, err := q.engine.NewInstantQuery(ctx, present, promql.NewPrometheusQueryOpts(false, q.LookBack()), text, at)
	if err != nil {
		return nil, &Error{Type: BadData, Err: err}
	}
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, withType(result.Err)
	}
	switch v := result.Value.(type) {
	case promql.Vector:
		// The engine takes the vector back when the query is closed.
		return append(promql.Vector(nil), v...), nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V, Metric: labels.EmptyLabels()}}, nil
	}
	return nil, badData("the expression returns a %s, a rule needs an instant vector or a scalar", parser.DocumentedType(result.Value.Type()))
}

// LookBack is how long a sample of the finest tier stands for its series.
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

// ruleSource is the tier that a selector with a range is read from.
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

// LabelValues implements storage.Querier. No rule asks for them.
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

// ownSet is a series of one sample for each of the judge's own.
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
