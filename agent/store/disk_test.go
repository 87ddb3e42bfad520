package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sysotel/agent/disktest"
	"sysotel/agent/health"
)

// fill fills a disk except for left bytes.
func fill(t *testing.T, path string, left int64) {
	t.Helper()
	free, err := freeBytes(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, max(0, free-left)), 0o640); err != nil {
		t.Fatal(err)
	}
}

// TestDiskFull: on a full disk the store keeps readings in memory, reports it, and
// recovers without losing any.
func TestDiskFull(t *testing.T) {
	disk := disktest.Small(t, 48<<20)
	m := newMachine(noon)
	o := m.options(t, filepath.Join(disk, "store"))
	o.Free = nil // The real disk.
	k := &ticker{m: m, j: o.Clock, s: openStore(t, o), g: gauge("g", "0")}
	k.run(t, 100)
	filler := filepath.Join(disk, "filler")
	fill(t, filler, 1<<20)
	k.run(t, 300)
	k.s.Maintain(t.Context())
	k.health(t, health.Degraded, "disk is full: 300 readings wait in memory only")
	if got := seen(t, k.s.tiers[0])[k.g.Labels.String()]; len(got) != 400 {
		t.Errorf("queries see %d samples, want 400", len(got))
	} else {
		mustRise(t, got)
	}
	if got := k.raw(t); len(got) != 100 {
		t.Errorf("%d samples, want the 100 from before", len(got))
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	k.run(t, 10)
	k.health(t, health.OK, "")
	got := k.raw(t)
	mustRise(t, got)
	if len(got) != 410 {
		t.Errorf("%d samples when there is room again, want 410", len(got))
	}
	if minutes := points(t, k.s.tiers[1])[k.g.Labels.String()]; len(minutes) != 6 {
		t.Errorf("%d minutes, want 6", len(minutes))
	}
}

// TestDiskFullUnseen: the same if the disk fills so fast that a write fails.
func TestDiskFullUnseen(t *testing.T) {
	disk := disktest.Small(t, 48<<20)
	m := newMachine(noon)
	o := m.options(t, filepath.Join(disk, "store"))
	k := &ticker{m: m, j: o.Clock, s: openStore(t, o), g: gauge("g", "0")}
	k.run(t, 100)
	filler := filepath.Join(disk, "filler")
	fill(t, filler, 0)
	for range 3000 { // The pages that are begun hold some readings more.
		k.run(t, 1)
		if h := k.s.Health(); h.Status != health.OK {
			break
		}
	}
	n := k.n
	k.health(t, health.Degraded, "no space left")
	m.setFree(0)
	k.run(t, 100)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	m.setFree(1 << 40)
	awaitHealth(t, k.s, health.OK)
	k.run(t, 10)
	got := k.raw(t)
	mustRise(t, got)
	if len(got) != int(n)+110 {
		t.Errorf("%d samples when there is room again, want %d", len(got), int(n)+110)
	}
	if want := (int(n) + 110) / 60; len(points(t, k.s.tiers[1])[k.g.Labels.String()]) < want-1 {
		t.Errorf("%d minutes, want %d", len(points(t, k.s.tiers[1])[k.g.Labels.String()]), want)
	}
}

// TestDiskFullWhileMapping: the library panics if a chunk cannot be written; the
// store reopens it and loses nothing.
func TestDiskFullWhileMapping(t *testing.T) {
	disk := disktest.Small(t, 48<<20)
	m := newMachine(noon)
	o := m.options(t, filepath.Join(disk, "store"))
	s := openStore(t, o)
	h := newHost(400)
	for range 500 {
		m.pass(time.Second)
		s.mustAppend(t, h.read(m.now()))
	}
	before := countSamples(t, s)
	filler := filepath.Join(disk, "filler")
	fill(t, filler, 0)
	s.Maintain(t.Context())
	if h := s.Health(); h.Status != health.Degraded || !strings.Contains(h.Reason, "no space left") {
		t.Errorf("health is %s, %s", h.Status, h.Reason)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	awaitHealth(t, s, health.OK)
	if after := countSamples(t, s); !slices.Equal(after, before) {
		t.Errorf("the tiers hold %v samples, they held %v", after, before)
	}
	m.pass(time.Second)
	s.mustAppend(t, h.read(m.now()))
}

// TestDiskFullAtStart: the store starts on a full disk.
func TestDiskFullAtStart(t *testing.T) {
	m := newMachine(noon)
	m.setFree(1 << 20)
	o := m.options(t, t.TempDir())
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	k := &ticker{m: m, j: o.Clock, s: s, g: gauge("g", "0")}
	k.run(t, 50)
	k.health(t, health.Degraded, "50 readings wait")
	if _, err := s.Tiers()[1].Queryable().Querier(0, 1); !errors.Is(err, ErrOpening) {
		t.Errorf("a query of the minutes returns %v", err)
	}
	if got := seen(t, s.Tiers()[0])[k.g.Labels.String()]; len(got) != 50 {
		t.Errorf("queries see %d samples, want the 50 that wait", len(got))
	}
	m.setFree(1 << 40)
	awaitHealth(t, s, health.OK)
	if got := k.raw(t); len(got) != 50 {
		t.Errorf("%d samples, want the 50 that waited", len(got))
	}
}

// awaitHealth polls the health, because the tiers are opened in the background.
func awaitHealth(t *testing.T, s *Store, want health.Status) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		h := s.Health()
		if h.Status == want {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("health is %s, %s; want %s", h.Status, h.Reason, want)
		}
	}
}

// TestSmallDisk: blocks are written, and moved when the clock is set, on a disk that
// is smaller than what the library reserves for one by itself.
func TestSmallDisk(t *testing.T) {
	m := newMachine(noon)
	o := m.options(t, filepath.Join(disktest.Small(t, 64<<20), "store"))
	o.Free = nil // The real disk.
	k := &ticker{m: m, j: o.Clock, s: openStore(t, o), g: gauge("g", "0")}
	k.run(t, 3600)
	k.s.Maintain(t.Context())
	k.health(t, health.OK, "")
	if blocks, err := filepath.Glob(filepath.Join(k.s.tiers[0].dir, "0*", "meta.json")); err != nil || len(blocks) == 0 {
		t.Fatalf("no block was written: %v", err)
	}
	m.step(-3 * time.Hour)
	k.run(t, 10)
	k.settle(t)
	k.health(t, health.OK, "")
	got := k.raw(t)
	mustRise(t, got)
	if len(got) != 3610 {
		t.Errorf("%d samples after the clock was set, want 3610", len(got))
	}
}
