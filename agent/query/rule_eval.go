package query

import (
	"context"
	"slices"
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// Rule queries differ from user queries: they repeat every few seconds, and have turns
// of their own. Like them they read the finest tier that covers each window.

// ruleTimeout bounds one evaluation.
const ruleTimeout = 10 * time.Second

// OwnSeries returns the newest samples of the series that the rule engine makes itself,
// one of each. They are added to what the tiers have, unless the selector is of series
// that are in no tier: then only is set.
type OwnSeries func(hints *storage.SelectHints, matchers []*labels.Matcher) (samples []promql.Sample, only bool, err error)

// RuleQueryable resolves the selectors of rules: from the tiers, with the newest samples
// of own, which are not there yet.
func (q *Querier) RuleQueryable(own OwnSeries) storage.Queryable {
	return scrapedQueryable{q, storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		sources := q.config.Tiers()
		if len(sources) == 0 {
			return nil, store.ErrOpening
		}
		return &ruleQuerier{reader: &reader{q: q, sources: sources, mint: mint, maxt: maxt}, own: own}, nil
	})}
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
	expr, err := q.parse(text)
	if err != nil {
		return nil, err
	}
	now := steps{start: at, end: at, count: 1}
	if err := q.resolveDurations(expr, text, now); err != nil {
		return nil, err
	}
	p, err := q.plan(expr, text, now)
	if err != nil {
		return nil, err
	}
	result := &Result{}
	defer result.Close()
	run := &run{Querier: q, budget: b, patterns: scanned.patterns, plan: p, result: result, present: present}
	if err := run.all(q.Scraped(ctx, expr, false), p.segments()); err != nil {
		return nil, withType(err)
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

// ruleQuerier adds own series to those of the tiers.
type ruleQuerier struct {
	*reader
	own OwnSeries
}

// Select implements storage.Querier.
func (p *ruleQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if p.own == nil {
		return p.reader.Select(ctx, sorted, hints, matchers...)
	}
	if hints == nil {
		hints = &storage.SelectHints{Start: p.mint, End: p.maxt}
	}
	_, _, asked := untag(matchers)
	samples, only, err := p.own(hints, asked)
	switch {
	case err != nil:
		return storage.ErrSeriesSet(err)
	case only:
		return newOwnSeriesSet(samples)
	case len(samples) == 0:
		return p.reader.Select(ctx, sorted, hints, matchers...)
	}
	stored, own := p.reader.Select(ctx, true, hints, matchers...), newOwnSeriesSet(samples)
	merged := func(set storage.SeriesSet) storage.SeriesSet {
		return storage.NewMergeSeriesSet([]storage.SeriesSet{set, own}, 0, storage.ChainedSeriesMerge)
	}
	switch set := stored.(type) {
	case *gapSet:
		set.SeriesSet = merged(set.SeriesSet)
	case *computedSet:
		set.SeriesSet = merged(set.SeriesSet)
	default:
		return merged(stored)
	}
	return stored
}

// ownSeriesSet has one series with one sample for each of the rule engine's own
// samples.
type ownSeriesSet struct {
	samples []promql.Sample
	at      int
}

func newOwnSeriesSet(samples []promql.Sample) *ownSeriesSet {
	slices.SortFunc(samples, func(a, b promql.Sample) int { return labels.Compare(a.Metric, b.Metric) })
	return &ownSeriesSet{samples, -1}
}

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
