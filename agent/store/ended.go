package store

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/tsdb"
)

// maxEnded is how many ended series stay in a tier's head, a kilobyte each, until
// they are moved to a block. The head itself would keep them until its time is over,
// in the coarsest tier for a month: programs or network interfaces that come and go
// under new names would fill the memory.
const maxEnded = 1000

// Fewer of them leave it too, if they are lateEnded at least and the move before was as long
// ago as endedFor: each move writes a block.
const (
	lateEnded = 250
	endedFor  = 10 * time.Minute
)

// moveEnded moves the ended series of the head, those whose newest sample is a
// staleness marker, to a block of their own. There they can be queried as before; a
// series that comes back begins anew in the head. It returns whether there was one to move.
func (t *Tier) moveEnded() (moved bool, err error) {
	db, err := t.acquire()
	if err != nil {
		return false, nil // It is being reopened; the next run is in a minute.
	}
	defer t.release()
	head := db.Head()
	// With many living series more is worth waiting for: each move merges the block
	// with those of the moves before.
	now := t.clock.Boot()
	late := now-t.moved >= endedFor
	if ended := head.NumStaleSeries(); (ended < maxEnded || ended < head.NumSeries()/4) && (ended < lateEnded || !late) {
		return false, nil
	}
	if err := db.CompactStaleHead(); err != nil {
		return true, fmt.Errorf("move the ended series of tier %s to a block: %w", t.name, err)
	}
	t.moved = now
	return true, nil
}

// extent returns the times of the oldest and newest sample in blocks, math.MaxInt64 and
// math.MinInt64 if there are none. Blocks of ended series do not count: the WAL may have
// other series of the same time.
func extent(blocks []*tsdb.Block) (first, newest int64) {
	first, newest = math.MaxInt64, math.MinInt64
	for _, b := range blocks {
		if meta := b.Meta(); !meta.Compaction.FromStaleSeries() {
			first, newest = min(first, meta.MinTime), max(newest, meta.MaxTime-1)
		}
	}
	return first, newest
}
