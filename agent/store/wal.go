package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
)

// walPage is the library's page: after a corrupt one reading goes on with the
// next.
const walPage = 32 << 10

// checkWAL reads the WAL and writes the segments anew that do not hold, without
// what is corrupt in them. The library would delete everything behind the first
// corrupt place, and refuse a corrupt checkpoint. The segments as they were are
// set aside; one that was merely cut short by a crash is not.
func (t *Tier) checkWAL() (set []aside, err error) {
	var paths []string
	for _, pattern := range []string{"checkpoint.*/*", "*"} {
		found, err := filepath.Glob(filepath.Join(t.dir, "wal", pattern))
		if err != nil {
			return nil, err
		}
		slices.Sort(found)
		paths = append(paths, found...)
	}
	paths = slices.DeleteFunc(paths, func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || !info.Mode().IsRegular() || filepath.Ext(path) != ""
	})
	for i, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return set, err
		}
		_, at, wrong := readSegment(text, false)
		if wrong == nil {
			continue
		}
		torn := i == len(paths)-1 && at >= len(text)-len(text)%walPage-walPage
		records, _, _ := readSegment(text, true)
		if torn {
			t.log.Info("WAL was truncated by a crash, repaired it", "segment", filepath.Base(path), "err", wrong)
		} else {
			a, err := t.copyAside(path, text, wrong)
			if err != nil {
				return set, err
			}
			set = append(set, a)
		}
		if err := t.rewriteSegment(path, records); err != nil {
			return set, fmt.Errorf("rewrite segment %s: %w", path, err)
		}
	}
	return set, nil
}

// readSegment reads the records of a segment, and tells the first mistake and
// where it is. With keep it returns the records, and those behind a mistake too.
func readSegment(text []byte, keep bool) (records [][]byte, at int, wrong error) {
	for start := 0; start < len(text); {
		r := wlog.NewReader(bytes.NewReader(text[start:]))
		for r.Next() {
			if keep {
				records = append(records, bytes.Clone(r.Record()))
			}
		}
		err := r.Err()
		if err == nil {
			break
		}
		offset := start + int(r.Offset())
		if wrong == nil {
			wrong, at = err, offset
		}
		if !keep {
			break
		}
		// The reader stands behind what it could not use: at the begin of a page,
		// which is then tried, or in one, which is left out.
		if offset > start && offset%walPage == 0 {
			start = offset
		} else {
			start = offset - offset%walPage + walPage
		}
	}
	return records, at, wrong
}

// copyAside writes a copy of a corrupt segment beside the WAL.
func (t *Tier) copyAside(path string, text []byte, why error) (aside, error) {
	to := t.asideName(filepath.Join(t.dir, "wal-"+filepath.Base(path)))
	if err := os.WriteFile(to, text, 0o600); err != nil {
		return aside{}, fmt.Errorf("set %s aside: %w", path, err)
	}
	return aside{path: to, why: why.Error()}, nil
}

// rewriteSegment puts a segment with the given records in the place of another.
func (t *Tier) rewriteSegment(path string, records [][]byte) error {
	dir := filepath.Join(t.dir, "wal.repair")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	w, err := wlog.NewSize(t.log, nil, dir, 64*walSegment, compression.Snappy)
	if err != nil {
		return err
	}
	if err := w.Log(records...); err != nil {
		return errors.Join(err, w.Close())
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := os.Rename(wlog.SegmentName(dir, 0), path); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
