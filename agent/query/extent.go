package query

import "time"

// Extent is how far back a tier has data, the zero time if it has none.
type Extent struct {
	Resolution time.Duration
	From       time.Time
}

// Extents are those of all tiers, finest first.
func (q *Querier) Extents() (all []Extent) {
	for _, source := range q.config.Tiers() {
		all = append(all, Extent{Resolution: source.Resolution(), From: source.Oldest()})
	}
	return all
}
