package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Backup writes a copy of the store, which can be opened, into dir, which must be
// empty or missing. Appending continues; readings appended meanwhile may be missing
// in the copy.
func (s *Store) Backup(ctx context.Context, dir string) error {
	s.maintenance.Lock()
	defer s.maintenance.Unlock()
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("back up the store: %s is not empty", dir)
	}
	if err := os.MkdirAll(filepath.Join(dir, tiersDir), 0o750); err != nil {
		return fmt.Errorf("back up the store: %w", err)
	}
	// What waits first: when it is not in the log any more it is in the tiers.
	if err := s.waitingLog.copyTo(filepath.Join(dir, waitingDir)); err != nil {
		return fmt.Errorf("back up the log of waiting readings: %w", err)
	}
	// Coarsest first: readings appended meanwhile are then in the finest tier, from
	// which the open buckets are rebuilt.
	for _, t := range slices.Backward(s.tiers) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("back up the store: %w", err)
		}
		if err := t.backup(dir); err != nil {
			return fmt.Errorf("back up tier %s: %w", t.name, err)
		}
	}
	if err := s.rollups.copyTo(dir); err != nil {
		return fmt.Errorf("back up the store: %w", err)
	}
	if err := writeFormat(filepath.Join(dir, formatFile)); err != nil {
		return fmt.Errorf("back up the store: %w", err)
	}
	return nil
}

// backup copies the blocks and writes the head as another block.
func (t *Tier) backup(dir string) error {
	db, err := t.acquire()
	if err != nil {
		return err
	}
	defer t.release()
	to := filepath.Join(dir, tiersDir, t.name)
	if err := os.MkdirAll(to, 0o750); err != nil {
		return err
	}
	return snapshot(db, to)
}
