package store

import (
	"strings"
	"testing"
	"time"

	"sysotel/agent/health"
)

// ticker feeds one gauge with a reading a second.
type ticker struct {
	m *machine
	s *Store
	g *Series
	n float64
}

func newTicker(t *testing.T) *ticker {
	m := newMachine(noon)
	return &ticker{m: m, s: openStore(t, m.options(t, t.TempDir())), g: gauge("g", "0")}
}

func (k *ticker) run(t *testing.T, seconds int) {
	t.Helper()
	for range seconds {
		k.m.pass(time.Second)
		k.n++
		k.s.mustAppend(t, reading(k.m.now(), "f", Sample{k.g, k.n}))
		k.s.closeByTime()
	}
}

func (k *ticker) raw(t *testing.T) []point {
	t.Helper()
	return points(t, k.s.tiers[0])[k.g.Labels.String()]
}

func (k *ticker) health(t *testing.T, want health.Status, word string) {
	t.Helper()
	h := k.s.Health()
	if h.Status != want || !strings.Contains(h.Reason, word) {
		t.Errorf("health is %s, %q; want %s with %q", h.Status, h.Reason, want, word)
	}
}

// mustRise fails if two samples have one time.
func mustRise(t *testing.T, points []point) {
	t.Helper()
	for i := 1; i < len(points); i++ {
		if points[i].t <= points[i-1].t {
			t.Fatalf("sample %d at %d is not after %d", i, points[i].t, points[i-1].t)
		}
	}
}

// TestClockStepBack: after a step back readings are dropped until the clock catches
// up.
func TestClockStepBack(t *testing.T) {
	k := newTicker(t)
	k.run(t, 600)
	k.m.step(-time.Hour)
	k.run(t, 300)
	if got := k.raw(t); len(got) != 600 {
		t.Errorf("%d samples after the step, want 600", len(got))
	}
	k.health(t, health.Degraded, "set back")
	if stats := k.s.Stats(); stats.Dropped[DropClockBehind] != 300 || stats.Waiting != 0 {
		t.Errorf("%+v, want 300 dropped and none waiting", stats)
	}
	k.run(t, 3600)
	got := k.raw(t)
	mustRise(t, got)
	if len(got) != 600+300 {
		t.Errorf("%d samples when time caught up, want 900", len(got))
	}
	k.health(t, health.OK, "")
	mustRise(t, points(t, k.s.tiers[1])[k.g.Labels.String()])
}

// TestClockStepForward: a jump ahead of the boot clock is trusted after ten
// minutes; until then readings wait in memory, then they are appended.
func TestClockStepForward(t *testing.T) {
	for _, step := range []time.Duration{6 * time.Minute, time.Hour, 365 * 24 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			k := newTicker(t)
			k.run(t, 600)
			k.m.step(step)
			k.run(t, 500)
			if got := k.raw(t); len(got) != 600 {
				t.Errorf("%d samples while the clock is doubted, want 600", len(got))
			}
			k.health(t, health.Degraded, "not trusted")
			k.run(t, 200)
			got := k.raw(t)
			mustRise(t, got)
			if len(got) != 1300 {
				t.Errorf("%d samples when the clock is trusted, want 1300", len(got))
			}
			k.health(t, health.OK, "")
			k.s.Maintain(t.Context())
			if got := k.raw(t); len(got) != 1300 || got[0].t != noon.UnixMilli()+1000 {
				t.Errorf("history was deleted: %d samples left", len(got))
			}
			for reason, n := range k.s.Stats().Dropped {
				if n > 0 {
					t.Errorf("%d samples were dropped: %s", n, reason)
				}
			}
		})
	}
}

// TestClockWrongForAWhile: a clock that is set a year ahead and back within ten
// minutes changes nothing in the tiers.
func TestClockWrongForAWhile(t *testing.T) {
	k := newTicker(t)
	k.run(t, 600)
	k.m.step(365 * 24 * time.Hour)
	k.run(t, 300)
	k.s.Maintain(t.Context())
	k.m.step(-365 * 24 * time.Hour)
	k.run(t, 100)
	got := k.raw(t)
	mustRise(t, got)
	if len(got) != 700 || got[0].t != noon.UnixMilli()+1000 || got[699].t != k.m.now().UnixMilli() {
		t.Errorf("%d samples from %d to %d", len(got), got[0].t, got[len(got)-1].t)
	}
	if stats := k.s.Stats(); stats.Dropped[DropClockAhead] != 300 {
		t.Errorf("%+v, want 300 dropped because the clock was ahead", stats)
	}
	k.health(t, health.OK, "")
}

// TestClockSmallStep: a step of less than five minutes is trusted at once.
func TestClockSmallStep(t *testing.T) {
	k := newTicker(t)
	k.run(t, 10)
	k.m.step(4 * time.Minute)
	k.run(t, 10)
	if got := k.raw(t); len(got) != 20 {
		t.Errorf("%d samples, want 20", len(got))
	}
}

// TestClockSuspend: after an hour of sleep the boot clock is an hour ahead too, so
// the wall clock is trusted at once.
func TestClockSuspend(t *testing.T) {
	k := newTicker(t)
	k.run(t, 100)
	k.m.pass(time.Hour)
	k.run(t, 100)
	got := k.raw(t)
	mustRise(t, got)
	if len(got) != 200 {
		t.Errorf("%d samples, want 200", len(got))
	}
	k.health(t, health.OK, "")
	// There is no bucket for the time asleep.
	minutes := points(t, k.s.tiers[1])[k.g.Labels.String()]
	mustRise(t, minutes)
	if len(minutes) != 4 {
		t.Errorf("minutes %v, want the four with readings", minutes)
	}
}

// TestClockStartsWrong: a machine that starts with a clock a year ahead loses no
// history when it runs so for hours.
func TestClockStartsWrong(t *testing.T) {
	m := newMachine(noon)
	o := m.options(t, t.TempDir(), TierConfig{time.Second, 12 * time.Hour}, TierConfig{time.Minute, 48 * time.Hour})
	k := &ticker{m: m, s: openStore(t, o), g: gauge("g", "0")}
	for range 4 * 360 {
		k.m.pass(9 * time.Second)
		k.run(t, 1)
	}
	k.s.Maintain(t.Context())
	if len(k.s.tiers[0].db.Blocks()) == 0 {
		t.Fatal("there is no block that could be deleted")
	}
	if err := k.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.step(365 * 24 * time.Hour)
	k.s = openStore(t, o)
	for range 8 {
		m.pass(time.Hour)
		k.s.Maintain(t.Context())
	}
	if got := k.raw(t); len(got) != 1440 {
		t.Errorf("%d samples left, want 1440", len(got))
	}
	m.pass(24 * time.Hour)
	k.s.Maintain(t.Context())
	if n := len(k.s.tiers[0].db.Blocks()); n != 0 {
		t.Errorf("%d blocks left after a day, want none", n)
	}
}

// TestRetention: data beyond the retention is deleted, block by block, and not
// shown before.
func TestRetention(t *testing.T) {
	m := newMachine(noon)
	o := m.options(t, t.TempDir(), TierConfig{time.Second, time.Hour}, TierConfig{10 * time.Second, 3 * time.Hour})
	s := openStore(t, o)
	g := gauge("g", "0")
	for i := range 8 * 360 {
		m.pass(10 * time.Second)
		s.mustAppend(t, reading(m.now(), "f", Sample{g, float64(i)}))
		if i%6 == 0 {
			s.Maintain(t.Context())
		}
	}
	s.Maintain(t.Context())
	for _, tier := range s.tiers {
		got := points(t, tier)[g.Labels.String()]
		kept := m.now().Sub(time.UnixMilli(got[0].t))
		block := tier.config.BlockRange()
		if kept < tier.Retention() || kept > tier.Retention()+4*block {
			t.Errorf("tier %s keeps %v; it must keep %v and at most four blocks of %v more", tier.Name(), kept, tier.Retention(), block)
		}
		if oldest := tier.Oldest(); !oldest.Equal(m.now().Add(-tier.Retention())) {
			t.Errorf("tier %s answers from %v, want %v", tier.Name(), oldest, m.now().Add(-tier.Retention()))
		}
		mustRise(t, got)
	}
}

// TestMaxBytes: beyond MaxBytes the oldest data of the finest tier is deleted
// first.
func TestMaxBytes(t *testing.T) {
	m := newMachine(noon)
	o := m.options(t, t.TempDir(), TierConfig{time.Second, time.Hour}, TierConfig{time.Minute, 6 * time.Hour})
	s := openStore(t, o)
	h := newHost(200)
	for i := range 3 * 3600 {
		m.pass(time.Second)
		s.mustAppend(t, h.read(m.now()))
		if i%600 == 0 {
			s.Maintain(t.Context())
		}
	}
	s.Maintain(t.Context())
	full := s.Size()
	before := [2]int{len(s.tiers[0].db.Blocks()), len(s.tiers[1].db.Blocks())}
	s.options.MaxBytes = full - sizeOf(s.tiers[0].db.Blocks()[0].Dir()) - 1
	s.Maintain(t.Context())
	if s.Size() > s.options.MaxBytes {
		t.Errorf("%d bytes, want at most %d", s.Size(), s.options.MaxBytes)
	}
	after := [2]int{len(s.tiers[0].db.Blocks()), len(s.tiers[1].db.Blocks())}
	if after[0] >= before[0] || after[0] == 0 || after[1] != before[1] {
		t.Errorf("blocks %v became %v; only the oldest of the finest tier go", before, after)
	}
	s.options.Others = func() int64 { return full }
	s.Maintain(t.Context())
	if n := len(s.tiers[0].db.Blocks()); n != 0 {
		t.Errorf("%d blocks of the finest tier are left, though others take all bytes", n)
	}
	if got := points(t, s.tiers[0]); len(got) == 0 {
		t.Error("the newest readings are gone too")
	}
}
