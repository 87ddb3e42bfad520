package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/common/model"
)

// Run maintains the store until ctx is done: it closes buckets even if no reading
// comes, flushes the newest readings to the disk, and once a minute compacts, deletes what is beyond the retention and
// enforces MaxBytes.
func (s *Store) Run(ctx context.Context) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	select {
	case <-s.opened:
		s.Maintain(ctx)
	case <-ctx.Done():
		return nil
	}
	var flushing sync.WaitGroup
	flushing.Go(func() { s.flushes(ctx) })
	defer flushing.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-second.C:
			s.closeByTime()
		case <-minute.C:
			s.Maintain(ctx)
			s.reachAhead()
		}
	}
}

// closeByTime appends waiting readings, and writes the buckets that are over.
func (s *Store) closeByTime() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.removed(); err != nil {
		s.fail(err)
	}
	s.drain()
	if s.state != open || s.waiting.len() > 0 || !s.hasSpace() {
		return
	}
	if err := s.closeBuckets(s.clock.Now().UnixMilli()); err != nil {
		s.fail(err)
	}
}

// removed reports that what is open is not what is in the store's directory: it was
// deleted, or replaced.
func (s *Store) removed() error {
	if s.state != open {
		return nil
	}
	for _, t := range s.tiers {
		now, err := os.Stat(t.dir)
		if errors.Is(err, fs.ErrNotExist) || err == nil && t.opened != nil && !os.SameFile(now, t.opened) {
			return fmt.Errorf("tier %s was deleted or replaced while it was in use", t.name)
		}
	}
	return nil
}

// Maintain does once what Run does every minute. Callers that append history faster
// than real time call it in between.
func (s *Store) Maintain(ctx context.Context) {
	s.maintenance.Lock()
	defer s.maintenance.Unlock()
	var errs []error
	for _, t := range s.tiers {
		errs = append(errs, s.maintainTier(ctx, t))
	}
	errs = append(errs, s.enforceMaxBytes(ctx))
	err := errors.Join(errs...)
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetMetrics()
	said := ""
	if err != nil {
		said = err.Error()
	}
	if said != "" && said != s.maintenanceErr {
		s.log.Error("store maintenance failed, retrying in a minute", "err", err)
	}
	s.maintenanceErr = said
}

// reachAhead opens the tiers again when the clock has come to what was set aside
// because it was ahead.
func (s *Store) reachAhead() {
	if due := s.aheadDue(); due {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reopen("history that had been ahead of the clock is looked at", 0)
	}
}

// forgetMetrics removes metrics without a series from the table of roll-ups, if it is
// too large.
func (s *Store) forgetMetrics() {
	if s.state != open || !s.rollups.tooLarge() {
		return
	}
	used := map[string]bool{}
	for _, st := range s.byHash {
		for ; st != nil; st = st.next {
			used[st.labels.Get(model.MetricNameLabel)] = true
		}
	}
	s.rollups.forget(used)
}

// maintainTier maps full chunks to disk, compacts and deletes. It does nothing on a
// full disk, because the library panics if it cannot write a chunk.
func (s *Store) maintainTier(ctx context.Context, t *Tier) (err error) {
	if free, err := s.options.Free(s.options.Dir); err == nil && free < resumeFree {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("maintain tier %s: %v", t.name, p)
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.state == open {
				s.fail(err)
				err = nil // It is the reason of the state until the store is open again.
			}
		}
	}()
	t.mapChunks()
	set, err := t.verify()
	s.setAside(set)
	moved, moveErr := t.moveEnded()
	err = errors.Join(err, moveErr, t.compact(ctx))
	if moved {
		// A block that is written takes buffers of megabytes, which the runtime would keep.
		debug.FreeOSMemory()
	}
	return err
}

// mapChunks moves full chunks of the head from memory to disk.
func (t *Tier) mapChunks() {
	db, err := t.acquire()
	if err != nil {
		return
	}
	defer t.release()
	db.ForceHeadMMap()
}
