// Package query evaluates PromQL, and series queries of the REST API, over any
// Source: the tiers of agent/store, or the nodes of agent/query/victoriametrics.
// Read source.go first, then query.go (PromQL), tier_choice.go (which tier answers
// which steps), run.go and join.go (several tiers in one result), guard.go (what an
// evaluation may take), series_select.go (the REST API) and rule_eval.go (alert rules).
package query

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	// Aliases are other names of metrics, such as system.cpu.time, with the names that are
	// kept.
	Aliases map[string]string
	// Views are other names of metrics whose labels or values differ under them.
	Views map[string]*View
	// Scrape has the labels that expressions may ask for as if a Prometheus had scraped the
	// series.
	Scrape Scrape
	// Interval is the longest interval between two readings of a collector.
	Interval time.Duration
	// Intervals are those of the machines of a fleet; nil where there is none.
	Intervals func() Intervals
	// Limits apply to each query.
	Limits Limits
	// Now is the time of the newest readings; nil is time.Now.
	Now func() time.Time
}

// Querier evaluates PromQL and series queries: it chooses the best tier for each
// part of a time range.
type Querier struct {
	config Config
	parser parser.Parser
	engine *promql.Engine
	// engineParser parses what the engine evaluates: also what plans write.
	engineParser parser.Parser
	// light and heavy are the turns of evaluations, rules that of alert rules, large
	// those of large requests.
	light, heavy, rules, large *turns
	held                       *held
	counts                     *counts
	features                   features.Collector
}

// NewQuerier returns a Querier.
func NewQuerier(config Config) *Querier {
	if config.Now == nil {
		config.Now = time.Now
	}
	engineParser, listed := newParser(true), features.NewRegistry()
	q := &Querier{
		config:       config,
		parser:       NewParser(),
		engineParser: engineParser,
		engine: promql.NewEngine(promql.EngineOpts{
			// The estimate of an evaluation ends it earlier.
			MaxSamples:               int(config.Limits.Memory) / pointBytes,
			Timeout:                  config.Limits.Timeout,
			LookbackDelta:            5 * time.Minute, // Every query sets its own.
			NoStepSubqueryIntervalFn: func(int64) int64 { return defaultSubqueryStep.Milliseconds() },
			EnableAtModifier:         true,
			EnableNegativeOffset:     true,
			Parser:                   engineParser,
			FeatureRegistry:          listed,
		}),
		light: newTurns(config.Limits.Concurrency, config.Limits.Waiting),
		heavy: newTurns(1, config.Limits.Waiting),
		rules: newTurns(1, config.Limits.Waiting),
		large: newTurns(1, config.Limits.Waiting),
		held:  newHeld(), counts: newCounts(), features: listed,
	}
	q.parser.RegisterFeatures(listed) // Not those of plans.
	return q
}

// Large waits for a turn to have a large request in memory, until done is called.
func (q *Querier) Large(ctx context.Context) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, q.config.Limits.Timeout)
	defer cancel()
	return q.large.take(ctx)
}

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
	at = at.Truncate(time.Millisecond)
	return q.evaluate(ctx, text, steps{start: at, end: at, count: 1})
}

// Range evaluates an expression at start and then at each step up to end.
func (q *Querier) Range(ctx context.Context, text string, start, end time.Time, step time.Duration) (*Result, error) {
	if err := q.config.Limits.checkRange(start, end, step); err != nil {
		return nil, err
	}
	// The engine works in milliseconds, so the segments meet exactly.
	start, step = start.Truncate(time.Millisecond), step.Truncate(time.Millisecond)
	return q.evaluate(ctx, text, steps{start: start, end: end.Truncate(time.Millisecond), step: step, count: int(end.Sub(start)/step) + 1})
}

// Parse checks and parses an expression like Instant does.
func (q *Querier) Parse(text string) (parser.Expr, error) {
	if _, err := q.config.Limits.scan(text); err != nil {
		return nil, err
	}
	expr, text, err := q.parseNamed(text)
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
	if err := checkLabels(expr); err != nil {
		return nil, err
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
	s.lookBack = lookBackOf(ctx)
	expr, text, err := q.parseNamed(text)
	if err != nil {
		return err
	}
	if s.step > 0 && expr.Type() != parser.ValueTypeVector && expr.Type() != parser.ValueTypeScalar {
		return badExpr(fmt.Errorf("invalid expression type %q for range query, must be Scalar or instant Vector", parser.DocumentedType(expr.Type())))
	}
	if err := q.resolveDurations(expr, text, s); err != nil {
		return err
	}
	p, err := q.plan(expr, text, s)
	if err != nil {
		return err
	}
	ctx = q.Scraped(ctx, expr, false)
	evaluate := func(certain bool) error {
		r := &run{Querier: q, budget: b, patterns: scanned.patterns, plan: p, result: a, certain: certain}
		err := r.all(ctx, p.extendLookback(p.segments(), q.config.Now()))
		if err != nil {
			a.Close()
			r.release()
		}
		return err
	}
	if err = evaluate(false); errors.Is(err, errFewer) {
		*a = Result{}
		err = evaluate(true)
	}
	if err != nil {
		return err
	}
	markCached(a.Tiers, a.Warnings)
	return nil
}
