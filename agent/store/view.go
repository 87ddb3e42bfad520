package store

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/wlog"
)

// view is a tier on a disk that cannot be written: its blocks, and the head as its WAL
// has it. It writes nothing below the tier's directory.
type view struct {
	blocks []*tsdb.Block
	head   *tsdb.Head
	// scratch is where the library puts full chunks of the head.
	scratch string
}

// openView opens what can be read of a tier. What is damaged is left out: it is repaired
// once the disk can be written.
func (t *Tier) openView() (err error) {
	v := &view{}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read tier %s: %v", t.name, p)
		}
		if err != nil {
			err = errors.Join(err, v.close())
		}
	}()
	dirs, err := t.blockDirs()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		b, err := tsdb.OpenBlock(t.log, dir, nil, nil)
		if err != nil {
			t.log.Warn("a block cannot be read", "path", dir, "err", err)
			continue
		}
		v.blocks = append(v.blocks, b)
	}
	first, last := extent(v.blocks)
	after := last
	if after != math.MinInt64 {
		after++
	}
	if err := t.openHeadView(v, after); err != nil {
		t.log.Warn("the newest part of a tier cannot be read while the disk cannot be written", "err", err)
	}
	t.mu.Lock()
	t.view = v
	t.mu.Unlock()
	if v.head != nil && v.head.NumSeries() > 0 {
		first, last = min(first, v.head.MinTime()), max(last, v.head.MaxTime())
	}
	t.first.Store(first)
	t.newest.Store(last)
	return nil
}

// openHeadView replays the WAL into memory.
func (t *Tier) openHeadView(v *view, after int64) (err error) {
	wal := filepath.Join(t.dir, "wal")
	if info, err := os.Stat(wal); err != nil || !info.IsDir() {
		return nil // There is none, or rubbish.
	}
	if v.scratch, err = scratchDir(t.dir); err != nil {
		return err
	}
	w, err := wlog.Open(t.log, wal)
	if err != nil {
		return err
	}
	o := tsdb.DefaultHeadOptions()
	o.ChunkDirRoot = v.scratch
	o.ChunkRange = t.config.BlockRange().Milliseconds()
	o.StripeSize = 256
	o.SamplesPerChunk = samplesPerChunk
	o.WALReplayConcurrency = 2
	o.IsolationDisabled = true
	if v.head, err = tsdb.NewHead(nil, newLibraryLog(t.log), w, nil, o, tsdb.NewHeadStats()); err != nil {
		return err
	}
	return v.head.Init(after) // What was read before damage stays.
}

// scratchDir makes a directory for a tier on a disk that can be written. It removes what
// a process left that was killed.
func scratchDir(tier string) (dir string, err error) {
	if tier, err = filepath.Abs(tier); err != nil {
		return "", err
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(tier)) // It never fails.
	name := fmt.Sprintf("sysotel-%016x-", sum.Sum64())
	var errs []error
	for _, parent := range []string{os.TempDir(), "/dev/shm"} {
		left, _ := filepath.Glob(filepath.Join(parent, name+"*")) // The pattern is valid.
		for _, old := range left {
			errs = append(errs, os.RemoveAll(old))
		}
		dir, err := os.MkdirTemp(parent, name)
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// Querier implements storage.Queryable.
func (v *view) Querier(mint, maxt int64) (storage.Querier, error) {
	var all []storage.Querier
	add := func(b tsdb.BlockReader) error {
		q, err := tsdb.NewBlockQuerier(b, mint, maxt)
		if err == nil {
			all = append(all, q)
		}
		return err
	}
	var err error
	for _, b := range v.blocks {
		if b.OverlapsClosedInterval(mint, maxt) {
			err = errors.Join(err, add(b))
		}
	}
	if v.head != nil && v.head.NumSeries() > 0 && maxt >= v.head.MinTime() {
		err = errors.Join(err, add(tsdb.NewRangeHead(v.head, mint, maxt)))
	}
	if err != nil {
		for _, q := range all {
			err = errors.Join(err, q.Close())
		}
		return nil, err
	}
	return storage.NewMergeQuerier(all, nil, storage.ChainedSeriesMerge), nil
}

func (v *view) close() error {
	var errs []error
	if v.head != nil {
		errs = append(errs, v.head.Close())
	}
	for _, b := range v.blocks {
		errs = append(errs, b.Close())
	}
	if v.scratch != "" {
		errs = append(errs, os.RemoveAll(v.scratch))
	}
	return errors.Join(errs...)
}

// closeView closes the view when the last querier is closed.
func (t *Tier) closeView() error {
	t.mu.Lock()
	v := t.view
	t.view = nil
	for v != nil && t.readers > 0 {
		t.idle.Wait()
	}
	t.mu.Unlock()
	if v == nil {
		return nil
	}
	return v.close()
}
