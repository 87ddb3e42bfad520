package query

import (
	"context"
	"time"

	"sysotel/agent/store"
)

// Intervals are the longest intervals between two readings of machines that have one of
// their own, by host name; Longest is the longest of all.
type Intervals struct {
	Of      map[string]time.Duration
	Longest time.Duration
}

// intervals are those of the machines.
func (q *Querier) intervals() Intervals {
	if q.config.Intervals == nil {
		return Intervals{}
	}
	return q.config.Intervals()
}

// LookBack is how long a sample of the finest tier is valid.
func (q *Querier) LookBack() time.Duration {
	if sources := q.config.Tiers(); len(sources) > 0 {
		return q.lookBack(sources[0], 0)
	}
	return q.config.Interval * 5 / 2
}

// lookBack is how long a sample is valid: two and a half intervals, so that one may
// be lost. It neither extends ended series at 1 s nor makes holes at 1 h. A query may ask
// for another, but not for less than the time between two points. Of a fleet it is that of
// the machine that is read least often; a gapSet has that of each.
func (q *Querier) lookBack(source Source, asked time.Duration) time.Duration {
	if asked >= source.Resolution() {
		return asked
	}
	return max(source.Resolution(), q.config.Interval, q.intervals().Longest) * 5 / 2
}

// rulesLookBack is how long a sample of a series that rules make is valid, as in
// Prometheus: groups of rules have intervals of their own, up to minutes, and a marker
// says when a series ends.
const rulesLookBack = 5 * time.Minute

// ofRules reports whether rules make a metric.
func (q *Querier) ofRules(metric string) bool {
	return q.config.Names != nil && OfRules(q.config.Names, metric)
}

// OfRules reports whether rules make a metric, or what it is rolled up from.
func OfRules(names Names, metric string) bool {
	if rollup, ok := names.Lookup(metric); ok {
		metric = rollup.Raw
	}
	return names.Collector(metric) == store.Rules
}

// MaxLookBack is the longest that a query may ask for: the engine reads that much more.
const MaxLookBack = 24 * time.Hour

type lookBackKey struct{}

// WithLookBack asks for how long a sample is valid in the queries of a context.
func WithLookBack(ctx context.Context, asked time.Duration) context.Context {
	return context.WithValue(ctx, lookBackKey{}, asked)
}

// lookBackOf is what a context asks for, 0 for nothing.
func lookBackOf(ctx context.Context) time.Duration {
	asked, _ := ctx.Value(lookBackKey{}).(time.Duration)
	return asked
}
