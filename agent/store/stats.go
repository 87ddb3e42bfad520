package store

import "time"

// Why samples are dropped: the values of the attribute reason of
// sysotel.store.dropped.
const (
	// DropLate: not newer than the newest reading of the same collector.
	DropLate = "late"
	// DropLateRollup: kept in the finest tier, but the bucket of a coarser tier was
	// already written; counted once a tier.
	DropLateRollup = "late_rollup"
	// DropQueueFull: too many readings waited in memory.
	DropQueueFull = "queue_full"
	// DropNewSeries: of a series that is new, while too many of its collector came
	// and went.
	DropNewSeries = "new_series"
	// DropRejected: a second sample at one tick, or refused by the database.
	DropRejected = "rejected"
)

// DropReasons lists the reasons.
func DropReasons() []string {
	return []string{DropLate, DropLateRollup, DropQueueFull, DropNewSeries, DropRejected}
}

// Stats are counts since the store was opened.
type Stats struct {
	// Samples were appended to the finest tier.
	Samples uint64
	// Dropped samples by reason.
	Dropped map[string]uint64
	// Waiting readings are in memory, because they cannot be written yet.
	Waiting uint64
	// Series are being written at present.
	Series uint64
}

// Stats returns the counts.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Samples: s.samples, Dropped: s.drops.Totals(), Waiting: uint64(s.waiting.len()), Series: uint64(len(s.live)),
	}
}

// drop counts n samples that were dropped.
func (s *Store) drop(reason string, n uint64) {
	if n > 0 {
		s.drops.Add(reason, n, s.dropTime())
	}
}

// dropTime is the time by the boot clock, which is never set.
func (s *Store) dropTime() time.Time { return time.Unix(0, int64(s.clock.Boot())) }
