package query

import (
	"math"
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/prometheus/storage"
)

// Source is one tier as queries see it. The embedded tiers are sources, and so can
// be any other storage that resolves selectors.
type Source interface {
	// Name is the resolution, such as 1s or 5m.
	Name() string
	// Resolution is the time between two points.
	Resolution() time.Duration
	// Oldest is the time from which the tier has data, the zero time if it is
	// empty.
	Oldest() time.Time
	// Queryable resolves selectors. It must be safe for concurrent use.
	Queryable() storage.Queryable
}

var _ Source = (*store.Tier)(nil)

// completeUntil is the time up to which a source has all samples; the zero time means
// up to the present. A source says so by a method CompleteUntil.
func completeUntil(s Source) time.Time {
	if late, ok := s.(interface{ CompleteUntil() time.Time }); ok {
		return late.CompleteUntil()
	}
	return time.Time{}
}

// writtenUntil is the time of the newest point that a source has, in milliseconds; the
// maximum if it does not say so by a method Newest.
func writtenUntil(s Source) int64 {
	if written, ok := s.(interface{ Newest() time.Time }); ok {
		return written.Newest().UnixMilli()
	}
	return math.MaxInt64
}

// Sources converts a list of tiers, finest first.
func Sources[T Source](tiers []T) []Source {
	sources := make([]Source, len(tiers))
	for i, tier := range tiers {
		sources[i] = tier
	}
	return sources
}

// Names is the table of registered metrics. Names of roll-ups are looked up in it,
// never built from or cut to a suffix.
type Names interface {
	// Lookup returns what a roll-up's name stands for; false if it is no roll-up.
	Lookup(name string) (store.Rollup, bool)
	// Names returns the names of a metric's minimum and maximum, and its kind;
	// false if it was never registered.
	Names(raw string) (minName, maxName string, kind store.Kind, ok bool)
	// Brief reports whether a metric is kept in the two finest tiers only.
	Brief(raw string) bool
	// Collector is the collector of a metric, empty if unknown.
	Collector(raw string) string
}

// Span is a part of a result and its tier.
type Span struct {
	Tier string
	// From and To are its first and last step.
	From, To time.Time
	// Cached is set if the part comes from the local cache, in whole or in part.
	Cached bool
}
