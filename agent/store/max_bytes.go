package store

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/tsdb"
)

// enforceMaxBytes deletes damaged files first, then the oldest blocks of the finest
// tier, then those of the next.
func (s *Store) enforceMaxBytes(ctx context.Context) error {
	if s.options.MaxBytes <= 0 {
		return nil
	}
	over := s.Size() - s.options.MaxBytes
	if s.options.Others != nil {
		over += s.options.Others()
	}
	if over <= 0 {
		return nil
	}
	freed, err := s.deleteSetAside(over)
	if over -= freed; over <= 0 {
		return err
	}
	errs := []error{err}
	for _, t := range s.tiers {
		if over <= 0 {
			break
		}
		n := t.markDeletable(over)
		if n == 0 {
			continue
		}
		s.log.Warn("store.max_bytes exceeded, deleting the oldest blocks", "tier", t.name, "bytes", n, "max_bytes", s.options.MaxBytes)
		over -= n
		errs = append(errs, t.compact(ctx))
	}
	return errors.Join(errs...)
}

// markDeletable marks the oldest blocks for deletion until they add up to over
// bytes, and returns their size. A block in use is deleted after that use.
func (t *Tier) markDeletable(over int64) (freed int64) {
	db, err := t.acquire()
	if err != nil {
		return 0
	}
	defer t.release()
	blocks := slices.SortedFunc(slices.Values(db.Blocks()), func(a, b *tsdb.Block) int { return cmp.Compare(a.MinTime(), b.MinTime()) })
	for _, b := range blocks {
		if freed >= over {
			break
		}
		t.deletable.Store(b.Meta().ULID, true)
		freed += b.Size()
	}
	return freed
}

// Size returns the size of the store on disk in bytes.
func (s *Store) Size() int64 { return sizeOf(s.options.Dir) }

// Size returns the size of the tier on disk in bytes.
func (t *Tier) Size() int64 { return sizeOf(t.dir) }

// sizeOf adds up the files below a folder; files that vanish count nothing.
func sizeOf(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			size += allocated(info)
		}
		return nil
	})
	return size
}

// deleteSetAside deletes what was set aside, damaged files first, until over bytes are
// free.
func (s *Store) deleteSetAside(over int64) (freed int64, err error) {
	found, err := s.setAsideFiles()
	if err != nil {
		return 0, err
	}
	for _, path := range found {
		if freed >= over {
			break
		}
		size := sizeOf(path)
		if err := os.RemoveAll(path); err != nil {
			return freed, err
		}
		s.log.Warn("store.max_bytes exceeded, deleted what was set aside", "path", path)
		freed += size
	}
	return freed, nil
}

// setAsideFiles lists the damaged files that were set aside, oldest first, and then what
// is ahead of the clock.
func (s *Store) setAsideFiles() ([]string, error) {
	var found, early []string
	for _, pattern := range []string{"*", filepath.Join("*", "*")} {
		paths, err := filepath.Glob(filepath.Join(s.options.Dir, tiersDir, pattern+brokenSuffix+"*"))
		if err != nil {
			return nil, err
		}
		found = append(found, paths...)
	}
	stamp := func(path string) string { return path[strings.LastIndex(path, brokenSuffix)+len(brokenSuffix):] }
	for _, t := range s.tiers {
		paths, err := s.aheadBlocks(t)
		if err != nil {
			return nil, err
		}
		early = append(early, paths...)
	}
	slices.SortFunc(found, func(a, b string) int { return cmp.Compare(stamp(a), stamp(b)) })
	return append(found, early...), nil
}
