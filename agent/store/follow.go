package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"sysotel/agent/clock"
)

// fate is what becomes of the samples of a part of time.
type fate uint8

const (
	keep  fate = iota // They stay, moved by part.by.
	ahead             // They are ahead of the clock and set aside.
	again             // They are made again from the finest tier.
)

// part is the samples from from to before to, in milliseconds.
type part struct {
	from, to int64
	fate     fate
	by       int64
}

const (
	past   = math.MinInt64 / 4
	future = math.MaxInt64 / 4
)

// partsOf returns what a step does to a tier. What this boot wrote begins at the first
// move; everything before is of other boots, and set aside from the present tick on. In the finest tier what this boot wrote moves. In a coarser one it is made
// again from the finest, as far as that reaches back (to oldest); before, it moves by
// whole steps of the tier.
func partsOf(step clock.Step, resolution time.Duration, finest bool, oldest int64) []part {
	begin, present := step.Moves[0].From.UnixMilli(), step.To.Truncate(time.Second).UnixMilli()
	interval := resolution.Milliseconds()
	remade := int64(future) // From here on it is made again,
	into := int64(future)   // and there it goes.
	if !finest {
		remade = begin
		if oldest > begin+time.Minute.Milliseconds() { // The first reading is soon after the begin.
			remade = BucketEnd(oldest, interval) + 1
		}
		into = step.Place(time.UnixMilli(begin)).UnixMilli()
		if remade > begin {
			into = step.Place(time.UnixMilli(oldest)).UnixMilli()
		}
	}
	// A coarser tier keeps whole buckets: nothing can be written before the end of a block.
	kept := min(present, into, begin)
	if !finest {
		kept = BucketEnd(kept, interval) - interval + 1
	}
	all := []part{
		{from: past, to: kept, fate: keep},
		{from: kept, to: min(present, begin), fate: again},
		{from: present, to: begin, fate: ahead},
	}
	for i, m := range step.Moves {
		end := int64(future)
		if i+1 < len(step.Moves) {
			end = step.Moves[i+1].From.UnixMilli()
		}
		by := m.By.Round(resolution).Milliseconds()
		if finest {
			by = m.By.Milliseconds()
		}
		all = append(all, part{from: m.From.UnixMilli(), to: min(end, remade), fate: keep, by: by})
	}
	all = append(all, part{from: max(remade, begin), to: future, fate: again})
	return slices.DeleteFunc(all, func(p part) bool { return p.from >= p.to })
}

// followClock makes the open tiers follow the steps of the clock that they do not
// follow yet, and takes back what is not ahead any more. It returns with the tiers open.
func (s *Store) followClock() error {
	s.maintenance.Lock()
	defer s.maintenance.Unlock()
	done, err := s.followed()
	if err != nil {
		return err
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.step = done
	}()
	for _, step := range s.clock.Steps(done) {
		if len(step.Moves) == 0 || step.Floor {
			err = s.setFollowed(step.Number)
		} else {
			err = s.follow(step)
		}
		if err != nil {
			return fmt.Errorf("follow the clock: %w", err)
		}
		done = step.Number
	}
	return s.takeBack()
}

// follow moves what is in the tiers as a step of the clock says.
func (s *Store) follow(step clock.Step) error {
	began := time.Now()
	p, err := s.planStep(step)
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	if isSystemError(err) && !full || errors.Is(err, context.Canceled) {
		return err // It is tried again.
	}
	if err != nil {
		s.log.Error("cannot move what was written by a wrong clock, setting aside what is ahead", "err", err)
		p = plan{Step: step.Number}
		if err := s.onlyAside(step.To.UnixMilli(), &p); err != nil {
			return err
		}
	}
	if err := s.change(p); err != nil {
		return err
	}
	s.log.Info("moved what was written by a wrong clock", "from", step.From, "to", step.To, "seconds", time.Since(began).Seconds())
	return nil
}

// planStep prepares what a step of the clock changes.
func (s *Store) planStep(step clock.Step) (plan, error) {
	p := plan{Step: step.Number}
	oldest := s.tiers[0].first.Load()
	err := s.prepare(func(ctx context.Context, t *Tier, head string) error {
		parts := partsOf(step, t.config.Resolution, t == s.tiers[0], oldest)
		return s.divide(ctx, t, head, parts, &p)
	}, &p)
	return p, err
}

// prepare calls f for each tier with the path of a block with its head, empty for none.
func (s *Store) prepare(f func(ctx context.Context, t *Tier, head string) error, p *plan) error {
	ctx, cancel := s.closing()
	defer cancel()
	if err := os.RemoveAll(filepath.Join(s.options.Dir, nextDir)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.options.Dir, nextDir), 0o750); err != nil {
		return err
	}
	for _, t := range s.tiers {
		head, err := s.writeHead(ctx, t)
		if err != nil {
			return err
		}
		if err := f(ctx, t, head); err != nil {
			return fmt.Errorf("tier %s: %w", t.name, err)
		}
		for _, name := range []string{"wal", "wbl", "chunks_head"} {
			p.Remove = append(p.Remove, filepath.Join(tiersDir, t.name, name))
		}
	}
	return nil
}

// change closes the tiers, makes a change and opens them again.
func (s *Store) change(p plan) error {
	for _, t := range s.tiers {
		if err := t.close(); err != nil {
			return err
		}
	}
	if err := s.decide(p); err != nil {
		return err
	}
	if err := s.carryOut(); err != nil {
		return err
	}
	return s.openAll()
}

// divide adds to a plan what becomes of the blocks of a tier, and writes the new ones.
func (s *Store) divide(ctx context.Context, t *Tier, head string, parts []part, p *plan) error {
	db, err := t.acquire()
	if err != nil {
		return err
	}
	defer t.release()
	blocks := slices.Clone(db.Blocks())
	if head != "" {
		b, err := tsdb.OpenBlock(newLibraryLog(t.log), filepath.Join(s.options.Dir, head), nil, nil)
		if err != nil {
			return err
		}
		defer b.Close() //nolint:errcheck // It was only read.
		blocks = append(blocks, b)
	}
	w, err := newBlockWriter(ctx, newLibraryLog(t.log))
	if err != nil {
		return err
	}
	for _, b := range blocks {
		from, err := filepath.Rel(s.options.Dir, b.Dir())
		if err != nil {
			return err
		}
		if err := s.divideBlock(w, t, b, from, parts, p); err != nil {
			return err
		}
	}
	return nil
}

// folder is where blocks with a fate go.
func (t *Tier) folder(f fate) string {
	if f == ahead {
		return filepath.Join(tiersDir, t.name+aheadSuffix)
	}
	return filepath.Join(tiersDir, t.name)
}

func (s *Store) divideBlock(w *tsdb.LeveledCompactor, t *Tier, b *tsdb.Block, path string, parts []part, p *plan) error {
	meta := b.Meta()
	for _, part := range parts {
		from, to := max(part.from, meta.MinTime), min(part.to, meta.MaxTime)
		if from >= to {
			continue
		}
		whole := from == meta.MinTime && to == meta.MaxTime
		home := filepath.Join(t.folder(part.fate), filepath.Base(path))
		switch {
		case part.fate == again:
		case whole && part.by == 0:
			if home != path {
				p.Move = append(p.Move, [2]string{path, home})
			}
			return nil
		default:
			dir := filepath.Join(nextDir, t.name)
			ids, err := writePart(w, filepath.Join(s.options.Dir, dir), b, from, to, part.by)
			if err != nil {
				return err
			}
			for _, id := range ids {
				p.Move = append(p.Move, [2]string{filepath.Join(dir, id.String()), filepath.Join(t.folder(part.fate), id.String())})
			}
		}
	}
	p.Remove = append(p.Remove, path)
	return nil
}

// onlyAside plans to set aside each block that reaches beyond the present, and the
// heads: that needs no space and reads nothing.
func (s *Store) onlyAside(present int64, p *plan) error {
	if err := os.RemoveAll(filepath.Join(s.options.Dir, nextDir)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.options.Dir, nextDir), 0o750); err != nil {
		return err
	}
	for _, t := range s.tiers {
		db, err := t.acquire()
		if err != nil {
			return err
		}
		for _, b := range db.Blocks() {
			if id := b.Meta().ULID.String(); b.MaxTime() > present+1 {
				p.Move = append(p.Move, [2]string{filepath.Join(t.folder(keep), id), filepath.Join(t.folder(ahead), id)})
			}
		}
		if db.Head().MaxTime() > present {
			stamp := brokenSuffix + strconv.FormatInt(s.clock.Now().Unix(), 10)
			for _, name := range []string{"wal", "chunks_head"} {
				path := filepath.Join(t.folder(keep), name)
				p.Move = append(p.Move, [2]string{path, path + stamp})
			}
		}
		t.release()
	}
	return nil
}

// aheadBlocks returns the paths of the blocks that are set aside because they are
// ahead of the clock.
func (s *Store) aheadBlocks(t *Tier) ([]string, error) {
	return filepath.Glob(filepath.Join(s.options.Dir, t.folder(ahead), "??????????????????????????"))
}

// takeBack takes back the blocks that were set aside and are not ahead of the clock any
// more, because it was set to where it was when they were written. Where meanwhile
// something else was written for their time, they were wrong, and are deleted.
func (s *Store) takeBack() error {
	p, err := s.planBack()
	if err != nil || len(p.Move) == 0 && len(p.Remove) == 0 {
		return err
	}
	s.log.Info("settling history that had been ahead of the clock")
	return s.change(p)
}

// planBack prepares what takeBack changes; nothing if all that is set aside stays so.
func (s *Store) planBack() (p plan, err error) {
	present := s.clock.Now().UnixMilli()
	s.mu.Lock()
	s.aheadFrom, s.aheadTo = math.MaxInt64, 0
	s.mu.Unlock()
	for _, t := range s.tiers {
		paths, err := s.aheadBlocks(t)
		if err != nil {
			return p, err
		}
		for _, path := range paths {
			if err := s.settleAhead(t, path, present, &p); err != nil {
				s.log.Warn("cannot read a block that is set aside because it is ahead of the clock", "path", path, "err", err)
			}
		}
	}
	if len(p.Move) == 0 && len(p.Remove) == 0 {
		return p, nil
	}
	back := slices.Clone(p.Move)
	p.Move = nil
	if p.Step, err = s.followed(); err != nil {
		return p, err
	}
	// The log of the head begins after the newest block: it becomes a block too.
	err = s.prepare(func(_ context.Context, t *Tier, head string) error {
		if head != "" {
			p.Move = append(p.Move, [2]string{head, filepath.Join(t.folder(keep), filepath.Base(head))})
		}
		return nil
	}, &p)
	p.Move = append(p.Move, back...)
	return p, err
}

// settleAhead plans what becomes of a block that was set aside.
func (s *Store) settleAhead(t *Tier, path string, present int64, p *plan) (err error) {
	b, err := tsdb.OpenBlock(newLibraryLog(t.log), path, nil, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	meta := b.Meta()
	rel, err := filepath.Rel(s.options.Dir, path)
	if err != nil {
		return err
	}
	old := time.UnixMilli(int64(meta.ULID.Time())).Before(s.clock.Now().Add(-t.config.Retention)) //nolint:gosec // Milliseconds since 1970 fit.
	if meta.MaxTime > present+1 && !old {
		s.noteAhead(meta.MinTime, meta.MaxTime)
		return nil
	}
	mine, err := countReadings(t, meta.MinTime, meta.MaxTime-1)
	if err != nil {
		return err
	}
	q, err := tsdb.NewBlockQuerier(b, meta.MinTime, meta.MaxTime-1)
	if err != nil {
		return err
	}
	theirs, err := countOf(q)
	if err != nil {
		return err
	}
	if old || 2*mine > theirs {
		p.Remove = append(p.Remove, rel)
	} else {
		p.Move = append(p.Move, [2]string{rel, filepath.Join(t.folder(keep), filepath.Base(path))})
	}
	return nil
}

// noteAhead remembers for Health what is set aside.
func (s *Store) noteAhead(from, to int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aheadFrom, s.aheadTo = min(s.aheadFrom, from), max(s.aheadTo, to)
}

// aheadDue reports whether the clock has come to a block that is set aside because it
// was ahead.
func (s *Store) aheadDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == open && s.aheadTo > 0 && s.aheadTo <= s.clock.Now().UnixMilli()
}

// countReadings counts the samples of the store's own series in a time range.
func countReadings(t *Tier, from, to int64) (int, error) {
	q, err := t.Querier(from, to)
	if err != nil {
		return 0, err
	}
	return countOf(q)
}

func countOf(q storage.Querier) (n int, err error) {
	defer func() { err = errors.Join(err, q.Close()) }()
	set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, readingsName))
	var it chunkenc.Iterator
	for set.Next() {
		it = set.At().Iterator(it)
		for it.Next() == chunkenc.ValFloat {
			n++
		}
	}
	return n, set.Err()
}
