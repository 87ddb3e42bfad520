package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/tsdb"

	"sysotel/agent/atomicfile"
)

// Names of a rearrangement of the tiers.
const (
	// nextDir has new blocks, by tier, until they replace old ones.
	nextDir = "next"
	// planFile in it says what they replace: once it is there, the change is made,
	// if need be at the next start.
	planFile = "plan.json"
	// stepFile is the number of the newest step of the clock that the tiers follow.
	stepFile = "clock_step"
	// aheadSuffix follows the name of a tier in the folder of its blocks that are ahead of
	// the clock.
	aheadSuffix = ".ahead"
)

// plan is a change of the folders of all tiers: after a crash in the middle either none
// or all of it is done. Paths are below the store's directory.
type plan struct {
	// Step is the newest step of the clock that the tiers follow then.
	Step   uint64   `json:"step"`
	Remove []string `json:"remove,omitempty"`
	// Move are old and new paths.
	Move [][2]string `json:"move,omitempty"`
}

// decide writes a plan whose new blocks are in nextDir.
func (s *Store) decide(p plan) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(s.options.Dir, nextDir, planFile), text, 0o600)
}

// carryOut finishes a change that was decided, and removes one that was not. It can be
// repeated after a crash.
func (s *Store) carryOut() error {
	next := filepath.Join(s.options.Dir, nextDir)
	text, err := os.ReadFile(filepath.Join(next, planFile))
	if errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(next)
	}
	if err != nil {
		return err
	}
	var p plan
	if err := json.Unmarshal(text, &p); err != nil {
		s.log.Error("the plan of a change of the tiers is damaged, the change is given up", "err", err)
		return os.RemoveAll(next)
	}
	for _, do := range s.operations(p) {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// operations returns what carries out a plan, in order. Each may have been done before.
func (s *Store) operations(p plan) (all []func() error) {
	for _, path := range p.Remove {
		all = append(all, func() error { return os.RemoveAll(filepath.Join(s.options.Dir, path)) })
	}
	for _, m := range p.Move {
		all = append(all, func() error {
			to := filepath.Join(s.options.Dir, m[1])
			if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
				return err
			}
			err := os.Rename(filepath.Join(s.options.Dir, m[0]), to)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
	}
	for _, t := range s.tiers {
		all = append(all, func() error {
			for _, dir := range []string{t.dir, filepath.Join(s.options.Dir, t.folder(ahead))} {
				if err := atomicfile.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			return nil
		})
	}
	return append(all,
		func() error { return s.setFollowed(p.Step) },
		func() error { return os.RemoveAll(filepath.Join(s.options.Dir, nextDir)) },
	)
}

// followed returns the number of the newest step of the clock that the tiers follow; a
// store that knows none begins with the newest.
func (s *Store) followed() (uint64, error) {
	text, err := os.ReadFile(filepath.Join(s.options.Dir, stepFile))
	if err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && n <= s.clock.Latest() {
			return n, nil
		}
		s.log.Warn("the number of the clock's steps does not fit, it begins anew", "text", string(text))
	} else if !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("the number of the clock's steps cannot be read, it begins anew", "err", err)
	}
	if err := clearWay(filepath.Join(s.options.Dir, stepFile)); err != nil {
		return 0, err
	}
	n := s.clock.Latest()
	return n, s.setFollowed(n)
}

func (s *Store) setFollowed(n uint64) error {
	return atomicfile.Write(filepath.Join(s.options.Dir, stepFile), []byte(strconv.FormatUint(n, 10)+"\n"), 0o600)
}

// closing returns a context that ends when the store is closed.
func (s *Store) closing() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-s.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// headDir is where the head of a tier is written as a block.
func headDir(t *Tier) string { return filepath.Join(nextDir, t.name+".head") }

// writeHead writes the head of a tier as a block below nextDir, and returns its path.
// There is none if the head is empty.
func (s *Store) writeHead(ctx context.Context, t *Tier) (string, error) {
	db, err := t.acquire()
	if err != nil {
		return "", err
	}
	defer t.release()
	head := db.Head()
	if head.NumSeries() == 0 || head.MinTime() > head.MaxTime() {
		return "", nil
	}
	w, err := newBlockWriter(ctx, newLibraryLog(t.log))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(s.options.Dir, headDir(t))
	ids, err := w.Write(dir, tsdb.NewRangeHead(head, head.MinTime(), head.MaxTime()), head.MinTime(), head.MaxTime()+1, nil)
	if err != nil {
		return "", fmt.Errorf("write the head of tier %s: %w", t.name, err)
	}
	if len(ids) == 0 {
		return "", nil
	}
	return filepath.Join(headDir(t), ids[0].String()), nil
}
