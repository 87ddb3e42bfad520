package query

import (
	"sysotel/agent/store"
	"time"

	"github.com/prometheus/prometheus/storage"
)

// Source is one tier as questions see it: the embedded tiers are sources, and
// any other storage that answers selectors can be one.
type Source interface {
	// Name is short and says the resolution, such as 1s or 5m.
	Name() string
	// Resolution is the time between two points.
	Resolution() time.Duration
	// Oldest is the time from which on the tier answers, the zero time where it
	// holds nothing.
	Oldest() time.Time
	// Queryable answers selectors. It may be called by many goroutines at once.
	Queryable() storage.Queryable
}

var _ Source = (*store.Tier)(nil)

// Sources turns a list of tiers, finest first, into sources.
func Sources[T Source](tiers []T) []Source {
	sources := make([]Source, len(tiers))
	for i, tier := range tiers {
		sources[i] = tier
	}
	return sources
}

// Names is the table of registered metrics. Names of roll-ups are looked up in
// it and never made by cutting or adding a suffix.
type Names interface {
	// Lookup tells what the name of a roll-up stands for; false where it is none.
	Lookup(name string) (store.Rollup, bool)
	// Names returns the names of the least and the greatest of a metric and its
	// kind; false for a metric that was never registered.
	Names(raw string) (minName, maxName string, kind store.Kind, ok bool)
	// Brief tells whether a metric is kept in the two finest tiers only.
	Brief(raw string) bool
	// Collector is the family that measures a metric, empty where it is not known.
	Collector(raw string) string
}

// Span is a part of an answer and the tier that gave it.
type Span struct {
	Tier string
	// From and To are the first and the last step of the part.
	From, To time.Time
	// Cached is set where the part is from the local cache, in whole or in part.
	Cached bool
}
