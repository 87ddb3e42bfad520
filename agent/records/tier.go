package records

import (
	"errors"
	"fmt"
	"time"
)

// Tier is a resolution and a retention of process records.
type Tier struct {
	// Resolution is the time that one record covers: whole seconds, a multiple of
	// the previous tier's.
	Resolution time.Duration
	// Retention is how long a record is kept.
	Retention time.Duration
}

const day = 24 * time.Hour

// DefaultTiers are like those of the store, but with 5 s instead of 1 s.
func DefaultTiers() []Tier {
	return []Tier{
		{Resolution: 5 * time.Second, Retention: day},
		{Resolution: time.Minute, Retention: 7 * day},
		{Resolution: 5 * time.Minute, Retention: 30 * day},
		{Resolution: time.Hour, Retention: 365 * day},
	}
}

// maxTiers bounds the memory per process.
const maxTiers = 10

// validateTiers checks the tiers and adds one of whole days if the coarsest holds
// more records than a query may read: a year of hours is 8,760.
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

// seconds returns the resolution as used in keys.
func (t Tier) seconds() int64 { return int64(t.Resolution / time.Second) }

// bucketEnd returns the end of the bucket that contains a time, both in
// milliseconds: bucket (T-I, T] has the timestamp T, a multiple of I in Unix time.
func (t Tier) bucketEnd(ms int64) int64 {
	size := t.Resolution.Milliseconds()
	return (ms + size - 1) / size * size
}

// A record's key combines its resolution and the end of its bucket, both in
// seconds: the records of a tier are adjacent in the file in order of time, so that
// deleting the oldest frees whole pages.
const keyShift = 40

// maxTime is the last time that has a key, in milliseconds: the year 34,000.
const maxTime = 1000 * (1<<keyShift - 1)

// key returns the key of the record whose bucket ends at until, in milliseconds.
func (t Tier) key(until int64) int64 {
	s := (min(max(until, 0), maxTime) + 999) / 1000
	return t.seconds()<<keyShift | min(s, 1<<keyShift-1)
}

// keyUntil returns the end of a record's bucket in milliseconds.
func keyUntil(key int64) int64 { return key & (1<<keyShift - 1) * 1000 }

// keyResolution returns the resolution of a record's tier in seconds.
func keyResolution(key int64) int64 { return key >> keyShift }
