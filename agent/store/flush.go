package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/prometheus/tsdb/wlog"

	"sysotel/agent/atomicfile"
)

// flushEvery bounds what a sudden loss of power takes of the history. The library leaves it
// to the system, which may keep half a minute in memory; a flush at each reading would cost
// a twentieth of all that the agent does, and wear out small disks.
const flushEvery = 5 * time.Second

// flushes flushes the tiers until ctx is done. It is apart from Run's other work, because a
// disk may take long.
func (s *Store) flushes(ctx context.Context) {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for _, t := range s.tiers {
		t.flushed = flushed{newest: t.newest.Load(), segment: -1}
	}
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var err error
		for _, t := range s.tiers {
			err = errors.Join(err, t.flush())
		}
		if err != nil && !failed {
			s.log.Warn("cannot flush the history to the disk, retrying", "err", err)
		}
		failed = err != nil
	}
}

// flushed is what of a tier is on the disk for sure.
type flushed struct {
	newest  int64
	segment int
}

// flush writes what the newest segment of the WAL has to the disk, and the folders that lead
// to it; the library does so with the segments before.
func (t *Tier) flush() error {
	newest := t.newest.Load()
	if newest == t.flushed.newest {
		return nil
	}
	dir := filepath.Join(t.dir, "wal")
	_, last, err := wlog.Segments(dir)
	if err != nil || last < 0 {
		return err
	}
	f, err := os.OpenFile(wlog.SegmentName(dir, last), os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // It was cut off in between, and what it had is in a block.
	}
	if err != nil {
		return err
	}
	err = errors.Join(f.Sync(), f.Close())
	if last != t.flushed.segment {
		for _, folder := range []string{dir, t.dir, filepath.Dir(t.dir), filepath.Dir(filepath.Dir(t.dir))} {
			err = errors.Join(err, atomicfile.SyncDir(folder))
		}
	}
	if err == nil {
		t.flushed = flushed{newest: newest, segment: last}
	}
	return err
}
