package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
)

// openChecked opens the database of the tier. Damaged files are repaired or set
// aside first; if it still cannot be opened, more is set aside, so that the agent
// always has a store. Only system errors, such as a full disk, are returned.
func (t *Tier) openChecked() (set []aside, err error) {
	if err := os.MkdirAll(t.dir, 0o750); err != nil {
		return nil, fmt.Errorf("open tier %s: %w", t.name, err)
	}
	blocks, err := t.checkBlocks()
	set = append(set, blocks...)
	if err != nil {
		return set, fmt.Errorf("check the blocks of tier %s: %w", t.name, err)
	}
	for _, name := range []string{"wal", "chunks_head"} {
		path := filepath.Join(t.dir, name)
		if info, err := os.Lstat(path); err != nil || info.IsDir() {
			continue
		}
		a, err := t.moveAside(path, errors.New("it is not a directory"))
		if err != nil {
			return set, err
		}
		set = append(set, a)
	}
	segments, err := t.checkWAL()
	set = append(set, segments...)
	if err != nil {
		return set, fmt.Errorf("check the WAL of tier %s: %w", t.name, err)
	}
	// Chunks of the head are in the WAL too: without them alone nothing is lost.
	for _, victims := range [][]string{{"chunks_head"}, {"wal"}, {"."}, nil} {
		if err = t.open(); err == nil || isSystemError(err) {
			break
		}
		for _, victim := range victims {
			path := filepath.Join(t.dir, victim)
			if _, statErr := os.Stat(path); errors.Is(statErr, fs.ErrNotExist) {
				continue
			}
			a, moveErr := t.moveAside(path, err)
			if moveErr != nil {
				return set, errors.Join(err, moveErr)
			}
			set = append(set, a)
		}
	}
	return set, err
}

// isSystemError reports whether an error is the machine's and not the file's: it
// may go away, and nothing is set aside for it.
func isSystemError(err error) bool {
	for _, e := range []error{
		syscall.ENOSPC, syscall.EROFS, syscall.EIO, syscall.EACCES, syscall.EPERM, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EDQUOT,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// moveAside renames a damaged file.
func (t *Tier) moveAside(path string, why error) (aside, error) {
	a := aside{path: t.asideName(path), why: why.Error()}
	a.from, a.to = spanOf(path)
	if err := os.Rename(path, a.path); err != nil {
		return aside{}, fmt.Errorf("set %s aside: %w", path, err)
	}
	return a, nil
}

// spanOf returns of which time a block or a file is: by the block's own words, or from
// the last write of the file before it to its own.
func spanOf(path string) (from, to time.Time) {
	var meta tsdb.BlockMeta
	if text, err := os.ReadFile(filepath.Join(path, "meta.json")); err == nil && json.Unmarshal(text, &meta) == nil && meta.MaxTime > 0 {
		return time.UnixMilli(meta.MinTime), time.UnixMilli(meta.MaxTime)
	}
	info, err := os.Stat(path)
	if err != nil {
		return from, to
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return from, info.ModTime()
	}
	for _, e := range entries {
		if before, err := e.Info(); err == nil && !e.IsDir() && before.ModTime().Before(info.ModTime()) && before.ModTime().After(from) {
			from = before.ModTime()
		}
	}
	return from, info.ModTime()
}

// asideName returns a free name for setting path aside.
func (t *Tier) asideName(path string) string {
	stamp := t.clock.Now().Unix()
	for {
		to := fmt.Sprintf("%s%s%d", filepath.Clean(path), brokenSuffix, stamp)
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return to
		}
		stamp++
	}
}

// blockDirs lists the folders of blocks.
func (t *Tier) blockDirs() ([]string, error) {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		if _, err := ulid.ParseStrict(e.Name()); err == nil && e.IsDir() {
			dirs = append(dirs, filepath.Join(t.dir, e.Name()))
		}
	}
	return dirs, nil
}

// checkBlocks sets aside the blocks that cannot be opened, for which the library
// would refuse to open any. Chunks are verified later, because that reads
// everything.
func (t *Tier) checkBlocks() (set []aside, err error) {
	dirs, err := t.blockDirs()
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		b, err := tsdb.OpenBlock(t.log, dir, nil, nil)
		if err == nil {
			if err := b.Close(); err != nil {
				return set, err
			}
			continue
		}
		if isSystemError(err) {
			return set, err
		}
		a, err := t.moveAside(dir, err)
		if err != nil {
			return set, err
		}
		set = append(set, a)
	}
	return set, nil
}

// verifyAfter is how long a block counts as verified, because files can go bad
// later.
const verifyAfter = 24 * time.Hour

// verify reads all chunks and the index of the blocks that were not verified for a
// day, and sets damaged ones aside. Queries and appends continue meanwhile.
func (t *Tier) verify() (set []aside, err error) {
	db, err := t.acquire()
	if err != nil {
		return nil, nil // It is being opened; the next round comes in a minute.
	}
	defer t.release()
	for _, b := range db.Blocks() {
		id := b.Meta().ULID
		if at, done := t.verified.Load(id); done && t.clock.Boot()-at.(time.Duration) < verifyAfter {
			continue
		}
		wrong := verifyBlock(b.Dir())
		if wrong == nil {
			t.verified.Store(id, t.clock.Boot())
			continue
		}
		if isSystemError(wrong) || errors.Is(wrong, fs.ErrNotExist) {
			return set, wrong
		}
		// The block is in use: links to its files are set aside, and the library
		// deletes the block.
		to := t.asideName(b.Dir())
		if err := b.Snapshot(to); err != nil {
			return set, fmt.Errorf("set %s aside: %w", b.Dir(), err)
		}
		t.verified.Store(id, t.clock.Boot())
		t.deletable.Store(id, true)
		meta := b.Meta()
		set = append(set, aside{path: to, why: wrong.Error(), from: time.UnixMilli(meta.MinTime), to: time.UnixMilli(meta.MaxTime)})
	}
	return set, nil
}
