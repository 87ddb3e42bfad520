package records

import (
	"errors"
	"fmt"
	"time"
)

// Tier is how finely and for how long process records are kept.
type Tier struct {
	// Resolution is the time that one record covers: whole seconds, a multiple of
	// the tier before.
	Resolution time.Duration
	// Retention is how long a record is kept.
	Retention time.Duration
}

const day = 24 * time.Hour

// DefaultTiers are the tiers of which nothing was said: like those of the store,
// but 5 s where the store has 1 s.
func DefaultTiers() []Tier {
	return []Tier{
		{Resolution: 5 * time.Second, Retention: day},
		{Resolution: time.Minute, Retention: 7 * day},
		{Resolution: 5 * time.Minute, Retention: 30 * day},
		{Resolution: time.Hour, Retention: 365 * day},
	}
}

// maxTiers bounds what every process in memory has to carry.
const maxTiers = 10

// validateTiers checks the tiers and adds one of whole days where the coarsest holds
// more records than a tableQuery may read: a year of hours is 8,760.
func validateTiers(tiers []Tier) ([]Tier, error) {
	if len(tiers) == 0 {
		return nil, errors.New("records need at least one tier")
	}
	if len(tiers) >= maxTiers {
		return nil, fmt.Errorf("records can have at most %d tiers, got %d", maxTiers-1, len(tiers))
	}
	for i, t := range tiers {
		switch {
		case t.Resolution < time.Second || t.Resolution > 7*day || t.Resolution%time.Second != 0:
			return nil, fmt.Errorf("records tier %s: the resolution must be whole seconds and at most a week", t.Resolution)
		case t.Retention < t.Resolution:
			return nil, fmt.Errorf("records tier %s: the retention %s is shorter than one record", t.Resolution, t.Retention)
		case i > 0 && (t.Resolution <= tiers[i-1].Resolution || t.Resolution%tiers[i-1].Resolution != 0):
			return nil, fmt.Errorf("records tier %s: the resolution must be a multiple of the previous tier's, %s", t.Resolution, tiers[i-1].Resolution)
		}
	}
	arranged := append([]Tier(nil), tiers...)
	if last := tiers[len(tiers)-1]; last.Retention/last.Resolution > 1000 && last.Resolution < day && day%last.Resolution == 0 {
		arranged = append(arranged, Tier{Resolution: day, Retention: last.Retention})
	}
	return arranged, nil
}

// seconds is the resolution as it stands in keys.
func (t Tier) seconds() int64 { return int64(t.Resolution / time.Second) }

// bucketEnd is the end of the bucket that holds a moment, both in milliseconds:
// bucket (T-I, T] is stamped T, a multiple of I in Unix time.
func (t Tier) bucketEnd(ms int64) int64 {
	size := t.Resolution.Milliseconds()
	return (ms + size - 1) / size * size
}

// A record's key is its resolution and the end of its bucket, both in seconds, in
// one number: the records of a tier lie side by side in the file in the order of
// time, so that deleting the oldest sets whole pages free.
const keyShift = 40

// maxTime is the last moment that has a key, in milliseconds: the year 34,000.
const maxTime = 1000 * (1<<keyShift - 1)

// key is the key of the record whose bucket ends at until, in milliseconds.
func (t Tier) key(until int64) int64 {
	s := (min(max(until, 0), maxTime) + 999) / 1000
	return t.seconds()<<keyShift | min(s, 1<<keyShift-1)
}

// keyUntil is the end of a record's bucket in milliseconds.
func keyUntil(key int64) int64 { return key & (1<<keyShift - 1) * 1000 }

// keyResolution is the resolution of a record's tier in seconds.
func keyResolution(key int64) int64 { return key >> keyShift }
