package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Backup writes a copy of the store into dir, which must be empty or missing. A
// store that is opened there goes on from it. Appending goes on meanwhile; what
// comes after the call may or may not be in the copy.
func (s *Store) Backup(ctx context.Context, dir string) error {
	s.maintenance.Lock()
	defer s.maintenance.Unlock()
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("back up the store: %s is not empty", dir)
	}
	if err := os.MkdirAll(filepath.Join(dir, tiersDir), 0o750); err != nil {
		return fmt.Errorf("back up the store: %w", err)
	}
	// The coarsest first: what is appended meanwhile is then in the finest, from
	// which the open buckets are rebuilt, and not the other way round.
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

// backup links the blocks and writes the head as one more.
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
