package storetest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/health"
	"sysotel/agent/store"
)

// ticking is the time at the end of a Year that is filled tick by tick.
const ticking = 2 * time.Hour

// Year makes a store's directory as it is after a year, in about a minute for the
// default tiers: each is full, compacted and without data beyond its retention.
// Other tiers must have the same resolutions. Whole buckets go to the upper tiers,
// from fewer readings than a machine makes but rolled up as always; the last two
// hours go tick by tick to all tiers. The last tick is at end; read makes the
// readings, tier by tier, coarsest first; own are the labels of the store's own
// series.
func Year(tb testing.TB, dir string, tiers []store.TierConfig, end time.Time, own labels.Labels, read func(at time.Time) store.Reading) {
	tb.Helper()
	from := end.Add(-ticking).Truncate(time.Hour)
	if err := os.MkdirAll(filepath.Join(dir, "tiers"), 0o750); err != nil {
		tb.Fatal(err)
	}
	// Intervals of the readings that make a bucket of an upper tier: as few as
	// still have rates between them. They have a long retention, so that they make
	// few blocks.
	steps := []time.Duration{0, 15 * time.Second, time.Minute, 5 * time.Minute}
	for i, tier := range slices.Backward(tiers) {
		fed, until := []store.TierConfig{tier}, from
		if i > 0 {
			until = from.Add(steps[i]) // The next reading closes the last bucket.
			fed = []store.TierConfig{{Resolution: steps[i], Retention: tier.Retention / 2}, tier}
		}
		one := filepath.Join(tb.TempDir(), "store")
		f := feeder{dir: one, tiers: fed, own: own, read: read}
		f.run(tb, from.Add(-tier.Retention-tier.Retention/8).Truncate(tier.Resolution), until)
		name := filepath.Join("tiers", model.Duration(tier.Resolution).String())
		if err := os.Rename(filepath.Join(one, name), filepath.Join(dir, name)); err != nil {
			tb.Fatal(err)
		}
	}
	f := feeder{dir: dir, tiers: tiers, own: own, read: read}
	f.run(tb, from, end)
}

// feeder fills a store's directory.
type feeder struct {
	dir   string
	tiers []store.TierConfig
	own   labels.Labels
	read  func(at time.Time) store.Reading
}

// run appends the readings after from up to to, and maintains the store.
func (f feeder) run(tb testing.TB, from, to time.Time) {
	tb.Helper()
	clock := NewClock(from)
	s, err := store.Open(store.Options{Dir: f.dir, Tiers: f.tiers, Labels: f.own, Clock: clock.Judge()})
	if err != nil {
		tb.Fatal(err)
	}
	<-s.Opened()
	step := f.tiers[0].Resolution
	rounds := max(int64(1), int64(to.Sub(from)/step)/40)
	ticks := int64(0)
	for at := from.Add(step); !at.After(to); at = at.Add(step) {
		clock.Set(at)
		if err := s.Append(f.read(at)); err != nil {
			tb.Fatal(err)
		}
		if ticks++; ticks%rounds == 0 {
			s.Maintain(tb.Context())
		}
	}
	s.Maintain(tb.Context())
	Complete(tb, s)
	if h := s.Health(); h.Status != health.OK {
		tb.Fatalf("the store is %s: %s", h.Status, h.Reason)
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

// Block describes one block.
type Block struct {
	MinTime, MaxTime int64
	Samples          uint64
	Bytes            int64
}

// Blocks lists the blocks of a tier below the store's directory, in order of
// creation.
func Blocks(tb testing.TB, dir string, tier string) (blocks []Block) {
	tb.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "tiers", tier, "*", "meta.json"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, path := range found { // Names begin with the time of creation.
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || strings.Contains(filepath.Base(filepath.Dir(path)), ".") {
			continue // It is being made or deleted.
		}
		if err != nil {
			tb.Fatal(err)
		}
		var meta struct {
			MinTime, MaxTime int64
			Stats            struct{ NumSamples uint64 }
		}
		if err := json.Unmarshal(text, &meta); err != nil {
			tb.Fatal(err)
		}
		blocks = append(blocks, Block{meta.MinTime, meta.MaxTime, meta.Stats.NumSamples, Size(tb, filepath.Dir(path))})
	}
	return blocks
}

// Size adds up the files below a folder; files that vanish count nothing.
func Size(tb testing.TB, dir string) (bytes int64) {
	tb.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return ignoreGone(err)
	})
	if err != nil {
		tb.Fatal(err)
	}
	return bytes
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
