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

// walPage is the library's page size: after a corrupt page reading resumes with the
// next.
const walPage = 32 << 10

// checkWAL reads the WAL and rewrites damaged segments without the damaged records.
// The library would delete everything after the first damage, and refuse a damaged
// checkpoint. The original segments are set aside, except one truncated by a crash.
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

// readSegment returns the first damage of a segment and its offset. With keep it
// also returns the records, including those after damage.
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
		// The reader is after the damage: at the start of a page, which is read
		// next, or inside one, which is skipped.
		if offset > start && offset%walPage == 0 {
			start = offset
		} else {
			start = offset - offset%walPage + walPage
		}
	}
	return records, at, wrong
}

// copyAside writes a copy of a damaged segment beside the WAL.
func (t *Tier) copyAside(path string, text []byte, why error) (aside, error) {
	to := t.asideName(filepath.Join(t.dir, "wal-"+filepath.Base(path)))
	if err := os.WriteFile(to, text, 0o600); err != nil {
		return aside{}, fmt.Errorf("set %s aside: %w", path, err)
	}
	a := aside{path: to, why: why.Error()}
	a.from, a.to = spanOf(path)
	return a, nil
}

// rewriteSegment replaces a segment by one with the given records.
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
