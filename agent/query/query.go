// Package query evaluates PromQL, and series queries of the REST API, over any
// Source: the tiers of agent/store, or the nodes of agent/query/victoriametrics.
// Read source.go first, then query.go (PromQL), tier_choice.go (which tier answers
// which steps), join.go (several tiers in one result), series_select.go (the REST
// API) and rule_eval.go (alert rules).
package query

import (
	"context"
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// Config configures a Querier.
type Config struct {
	// Tiers returns the tiers, finest first. It is called once per query.
	Tiers func() []Source
	// Names is the table of registered metrics; nil where there are no roll-ups.
	Names Names
	// Interval is the longest interval between two readings of a collector.
	Interval time.Duration
	// Limits apply to each query.
	Limits Limits
}

// Querier evaluates PromQL and series queries: it chooses the best tier for each
// part of a time range.
type Querier struct {
	config Config
	parser parser.Parser
	engine *promql.Engine
	turns  *turns
}

// NewQuerier returns a Querier.
func NewQuerier(config Config) *Querier {
	p := parser.NewParser(parser.Options{EnableExperimentalFunctions: true})
	return &Querier{
		config: config,
		parser: p,
		engine: promql.NewEngine(promql.EngineOpts{
			MaxSamples:               config.Limits.Samples,
			Timeout:                  config.Limits.Timeout,
			LookbackDelta:            5 * time.Minute, // Every query sets its own.
			NoStepSubqueryIntervalFn: func(int64) int64 { return defaultSubqueryStep.Milliseconds() },
			EnableAtModifier:         true,
			EnableNegativeOffset:     true,
			// Names are dropped at the end, so that queries over several metrics do
			// not fail on equal labels in between.
			EnableDelayedNameRemoval: true,
			Parser:                   p,
		}),
		turns: newTurns(config.Limits.Concurrency, config.Limits.Waiting),
	}
}

// Result is the result of a query. Close it after reading its value.
type Result struct {
	Value    parser.Value
	Warnings annotations.Annotations
	// Tiers are the tiers used, in order of time; empty for an expression that
	// reads no series.
	Tiers []Span

	queries []promql.Query
}

// Close returns the memory of the value to the engine.
func (a *Result) Close() {
	for _, q := range a.queries {
		q.Close()
	}
	a.queries = nil
}

// Instant evaluates an expression at one time.
func (q *Querier) Instant(ctx context.Context, text string, at time.Time) (*Result, error) {
	if err := checkYears(at); err != nil {
		return nil, err
	}
	return q.evaluate(ctx, text, steps{start: at.Truncate(time.Millisecond), count: 1})
}

// Range evaluates an expression at start and then at each step up to end.
func (q *Querier) Range(ctx context.Context, text string, start, end time.Time, step time.Duration) (*Result, error) {
	if err := q.config.Limits.checkRange(start, end, step); err != nil {
		return nil, err
	}
	// The engine works in milliseconds, so the segments meet exactly.
	start, step = start.Truncate(time.Millisecond), step.Truncate(time.Millisecond)
	return q.evaluate(ctx, text, steps{start: start, step: step, count: int(end.Sub(start)/step) + 1})
}

// Parse checks and parses an expression like Instant and Range do.
func (q *Querier) Parse(text string) (parser.Expr, error) {
	if err := q.config.Limits.checkText(text); err != nil {
		return nil, err
	}
	expr, err := q.parser.ParseExpr(text)
	if err != nil {
		return nil, &Error{Type: BadData, Err: err}
	}
	if err := q.config.Limits.checkExpr(expr); err != nil {
		return nil, err
	}
	return expr, nil
}

// acquire waits for a turn and sets the query's deadline; the returned function
// ends both.
func (q *Querier) acquire(ctx context.Context) (context.Context, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, q.config.Limits.Timeout)
	giveBack, err := q.turns.take(ctx)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return ctx, func() { giveBack(); cancel() }, nil
}

func (q *Querier) evaluate(ctx context.Context, text string, s steps) (*Result, error) {
	expr, err := q.Parse(text)
	if err != nil {
		return nil, err
	}
	if s.step > 0 && expr.Type() != parser.ValueTypeVector && expr.Type() != parser.ValueTypeScalar {
		return nil, badData("invalid expression type %q for range query, must be Scalar or instant Vector", parser.DocumentedType(expr.Type()))
	}
	ctx, done, err := q.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	d := requirementsOf(expr, s.step)
	candidates, err := q.candidates(expr, text, d, s)
	if err != nil {
		return nil, err
	}
	segments := choose(candidates, d, s)
	if err := d.checkRanges(segments, s); err != nil {
		return nil, err
	}
	a := &Result{}
	if d.selectors {
		for _, seg := range segments {
			a.Tiers = append(a.Tiers, Span{Tier: seg.candidate.source.Name(), From: s.at(seg.first), To: s.at(seg.last)})
		}
	}
	if err := q.run(ctx, a, extendLookback(segments, s, time.Now()), s); err != nil {
		a.Close()
		return nil, withType(err)
	}
	markCached(a.Tiers, a.Warnings)
	return a, nil
}

// candidates are the tiers that can evaluate the query, each with the expression
// adapted to it.
func (q *Querier) candidates(expr parser.Expr, text string, d requirements, s steps) ([]candidate, error) {
	end := s.at(s.count - 1)
	if pinAtModifiers(expr, s.start, end) {
		text = expr.String()
	}
	sources := q.sources(d.names)
	if len(sources) == 0 {
		return nil, &Error{Type: Unavailable, Err: store.ErrOpening}
	}
	candidates := make([]candidate, 0, len(sources))
	for _, source := range sources {
		o := candidate{source: source, oldest: source.Oldest(), lookBack: q.lookBack(source), text: text, expr: expr}
		if needsWidening(expr, source.Resolution()) {
			own, err := q.parser.ParseExpr(text)
			if err != nil {
				return nil, &Error{Type: Internal, Err: err}
			}
			o.expr = widen(own, source.Resolution())
			o.text = o.expr.String()
		}
		o.covers = o.firstCovered(s)
		candidates = append(candidates, o)
	}
	return candidates, nil
}

// sources returns the tiers that keep all the named metrics.
func (q *Querier) sources(metrics []string) []Source {
	sources := q.config.Tiers()
	if q.config.Names == nil || len(sources) <= briefTiers {
		return sources
	}
	for _, name := range metrics {
		if rollup, ok := q.config.Names.Lookup(name); ok {
			name = rollup.Raw
		}
		if q.config.Names.Brief(name) {
			return sources[:briefTiers]
		}
	}
	return sources
}

// briefTiers is the number of tiers that keep brief series.
const briefTiers = 2

// lookBack is how long a sample is valid: two and a half intervals, so that one may
// be lost. It neither extends ended series at 1 s nor makes holes at 1 h.
func (q *Querier) lookBack(source Source) time.Duration {
	return max(source.Resolution(), q.config.Interval) * 5 / 2
}

// run evaluates each segment and joins the results.
func (q *Querier) run(ctx context.Context, a *Result, segments []segment, s steps) error {
	var parts []promql.Matrix
	samples := 0
	for _, seg := range segments {
		o := seg.candidate
		opts := promql.NewPrometheusQueryOpts(false, o.lookBack)
		queryable := q.queryable(o.source)
		var query promql.Query
		var err error
		if s.step == 0 {
			query, err = q.engine.NewInstantQuery(ctx, queryable, opts, o.text, s.start)
		} else {
			query, err = q.engine.NewRangeQuery(ctx, queryable, opts, o.text, s.at(seg.first), s.at(seg.last), s.step)
		}
		if err != nil {
			return &Error{Type: BadData, Err: err}
		}
		a.queries = append(a.queries, query)
		result := query.Exec(ctx)
		a.Warnings.Merge(result.Warnings)
		if result.Err != nil {
			return result.Err
		}
		a.Value = result.Value
		if matrix, ok := result.Value.(promql.Matrix); ok && len(segments) > 1 {
			if samples += matrix.TotalSamples(); samples > q.config.Limits.Samples {
				return promql.ErrTooManySamples("joining the tiers")
			}
			parts = append(parts, matrix)
		}
	}
	if len(parts) > 1 {
		a.Value = join(parts)
		a.Close()
	}
	return nil
}
