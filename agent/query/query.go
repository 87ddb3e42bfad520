// Package query evaluates PromQL, and series queries of the REST API, over any
// Source: the tiers of agent/store, or the nodes of agent/query/victoriametrics.
// Read source.go first, then query.go (PromQL), tier_choice.go (which tier answers
// which steps), run.go and join.go (several tiers in one result), guard.go (what an
// evaluation may take), series_select.go (the REST API) and rule_eval.go (alert rules).
package query

import (
	"context"
	"fmt"
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/features"
	"github.com/prometheus/prometheus/util/stats"
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
	// light and heavy are the turns of evaluations, rules that of alert rules, large
	// those of large requests.
	light, heavy, rules, large *turns
	held                       *held
	features                   features.Collector
}

// NewQuerier returns a Querier.
func NewQuerier(config Config) *Querier {
	p, listed := NewParser(), features.NewRegistry()
	return &Querier{
		config: config,
		parser: p,
		engine: promql.NewEngine(promql.EngineOpts{
			// The estimate of an evaluation ends it earlier.
			MaxSamples:               int(config.Limits.Memory) / pointBytes,
			Timeout:                  config.Limits.Timeout,
			LookbackDelta:            5 * time.Minute, // Every query sets its own.
			NoStepSubqueryIntervalFn: func(int64) int64 { return defaultSubqueryStep.Milliseconds() },
			EnableAtModifier:         true,
			EnableNegativeOffset:     true,
			// Names are dropped at the end, so that queries over several metrics do
			// not fail on equal labels in between.
			EnableDelayedNameRemoval: true,
			Parser:                   p,
			FeatureRegistry:          listed,
		}),
		light: newTurns(config.Limits.Concurrency, config.Limits.Waiting),
		heavy: newTurns(1, config.Limits.Waiting),
		rules: newTurns(1, config.Limits.Waiting),
		large: newTurns(config.Limits.Concurrency, config.Limits.Waiting),
		held:  newHeld(), features: listed,
	}
}

// Large waits for a turn to have a large request in memory, until done is called.
func (q *Querier) Large(ctx context.Context) (done func(), err error) { return q.large.take(ctx) }

// Features lists what of PromQL is there, by category, as Prometheus names it.
func (q *Querier) Features() map[string]map[string]bool { return q.features.Get() }

// Result is the result of a query. Close it after reading its value.
type Result struct {
	Value    parser.Value
	Warnings annotations.Annotations
	// Tiers are the tiers used, in order of time; empty for an expression that
	// reads no series.
	Tiers []Span
	// Stats are what the engine took.
	Stats stats.BuiltinStats

	// query has the memory of the value, nil if it is a copy; release ends that the
	// result counts as held by its client.
	query   promql.Query
	release func()
}

// Close returns the memory of the value to the engine.
func (a *Result) Close() {
	if a.query != nil {
		a.query.Close()
		a.query = nil
	}
	if a.release != nil {
		a.release()
	}
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

// Parse checks and parses an expression like Instant does.
func (q *Querier) Parse(text string) (parser.Expr, error) {
	if _, err := q.config.Limits.scan(text); err != nil {
		return nil, err
	}
	expr, err := q.parse(text)
	if err != nil {
		return nil, err
	}
	return expr, q.resolveDurations(expr, text, steps{count: 1})
}

// parse parses an expression that has been scanned.
func (q *Querier) parse(text string) (parser.Expr, error) {
	expr, err := q.parser.ParseExpr(text)
	if err != nil {
		return nil, badExpr(err)
	}
	return expr, q.config.Limits.checkDepth(expr)
}

// Format returns an expression as Prometheus formats it.
func (q *Querier) Format(ctx context.Context, text string) (formatted string, err error) {
	err = q.Parsed(ctx, text, func(expr parser.Expr) error {
		// Each level is formatted once for each level around it.
		if depth := depthOf(expr); depth*depth*len(text) > maxFormat {
			return badData("an expression of %d bytes that is nested %d deep is too long to be formatted", len(text), depth)
		}
		formatted = expr.Pretty(0)
		return nil
	})
	return formatted, err
}

// Parsed parses an expression and calls f with it, in the turn and the memory of an
// evaluation; f may take treeBytes for each of its words and signs.
func (q *Querier) Parsed(ctx context.Context, text string, f func(parser.Expr) error) error {
	scanned, err := q.config.Limits.scan(text)
	if err != nil {
		return err
	}
	return q.within(ctx, scanned.heavy(), func(_ context.Context, b *budget) error {
		if err := b.take(scanned.bytes(text) + treeBytes*float64(scanned.tokens)); err != nil {
			return err
		}
		expr, err := q.parse(text)
		if err != nil {
			return err
		}
		return f(expr)
	})
}

// treeBytes is what a description of an expression may take for each word and sign.
const treeBytes = 500

// maxFormat is the number of bytes that formatting an expression may write, about a
// second.
const maxFormat = 1 << 30

func (q *Querier) evaluate(ctx context.Context, text string, s steps) (*Result, error) {
	scanned, err := q.config.Limits.scan(text)
	if err != nil {
		return nil, err
	}
	a := &Result{}
	err = q.within(ctx, scanned.heavy(), func(ctx context.Context, b *budget) error {
		if err := b.take(scanned.bytes(text)); err != nil {
			return err
		}
		*a = Result{}
		return q.evaluateWithin(ctx, b, a, text, scanned, s)
	})
	if err == nil {
		a.release, err = q.held.take(ctx, sizeOf(a.Value))
	}
	if err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// evaluateWithin evaluates an expression in one turn.
func (q *Querier) evaluateWithin(ctx context.Context, b *budget, a *Result, text string, scanned scanned, s steps) error {
	expr, err := q.parse(text)
	if err != nil {
		return err
	}
	if s.step > 0 && expr.Type() != parser.ValueTypeVector && expr.Type() != parser.ValueTypeScalar {
		return badExpr(fmt.Errorf("invalid expression type %q for range query, must be Scalar or instant Vector", parser.DocumentedType(expr.Type())))
	}
	if err := q.resolveDurations(expr, text, s); err != nil {
		return err
	}
	d := requirementsOf(expr, s.step)
	candidates, err := q.candidates(expr, text, d, s)
	if err != nil {
		return err
	}
	segments := choose(candidates, d, s)
	if err := d.checkRanges(segments, s); err != nil {
		return err
	}
	if d.selectors {
		for _, seg := range segments {
			a.Tiers = append(a.Tiers, Span{Tier: seg.candidate.source.Name(), From: s.at(seg.first), To: s.at(seg.last)})
		}
	}
	run := &run{Querier: q, budget: b, patterns: scanned.patterns, steps: s, result: a}
	if err := run.all(ctx, extendLookback(segments, s, time.Now())); err != nil {
		a.Close()
		return err
	}
	markCached(a.Tiers, a.Warnings)
	return nil
}

// candidates are the tiers that can evaluate the query, each with the expression
// adapted to it.
func (q *Querier) candidates(expr parser.Expr, text string, d requirements, s steps) ([]candidate, error) {
	computed := pinDurations(expr)
	if pinned, found := pinTimes(expr, s); found || computed {
		expr, text = pinned, pinned.String()
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
		o.covers, o.ends = o.firstCovered(s), o.firstIncomplete(s)
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
