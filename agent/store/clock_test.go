package store

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sysotel/agent/clock"
	"sysotel/agent/health"
)

// ticker feeds one gauge with a reading a second, as the sampler does.
type ticker struct {
	m *machine
	j *clock.Judge
	s *Store
	g *Series
	n float64
	o Options
	// boot identifies the boot, file keeps the state of the clock.
	boot, file string
}

func newTicker(t *testing.T, tiers ...TierConfig) *ticker {
	m := newMachine(noon)
	k := &ticker{m: m, o: m.options(t, t.TempDir(), tiers...), g: gauge("g", "0"), boot: "boot", file: filepath.Join(t.TempDir(), "clock.json")}
	k.open(t)
	return k
}

// open starts the agent.
func (k *ticker) open(t *testing.T) {
	t.Helper()
	k.j = clock.New(clock.Options{File: k.file, BootID: k.boot, Wall: k.m.now, Boot: k.m.boot, Synced: func() bool { return false }})
	k.o.Clock = k.j
	k.g = gauge("g", "0")
	k.s = openStore(t, k.o)
}

// restart stops it and starts it again, after a reboot if asked, with the wall clock
// set meanwhile.
func (k *ticker) restart(t *testing.T, reboot bool, set time.Duration) {
	t.Helper()
	if err := k.s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = k.j.Close()
	if reboot {
		k.boot += "+"
		k.m.reboot()
	}
	k.m.pass(3 * time.Second)
	k.m.step(set)
	k.open(t)
}

func (k *ticker) run(t *testing.T, seconds int) {
	t.Helper()
	for range seconds {
		k.m.pass(time.Second)
		k.n++
		k.j.Observe()
		k.s.mustAppend(t, reading(k.j.Now().Truncate(time.Second), "f", Sample{k.g, k.n}))
		k.s.closeByTime()
		if k.boot != "" {
			k.settle(t) // A second here takes no time; too many readings would wait.
		}
	}
}

// settle waits until the store is open.
func (k *ticker) settle(t *testing.T) {
	t.Helper()
	poll(t, "an open store", func() bool {
		k.s.mu.Lock()
		defer k.s.mu.Unlock()
		return k.s.state == open && (k.s.waiting.len() == 0 || k.s.full)
	})
}

// check fails unless every reading is there, in order, with so many holes between
// them, up to the present; and the averages of every tier are those of the readings.
func (k *ticker) check(t *testing.T, holes int) {
	t.Helper()
	k.settle(t)
	raw := k.raw(t)
	mustRise(t, raw)
	found := 0
	for i, p := range raw {
		if int(p.v) != i+1 {
			t.Fatalf("reading %d of %d has value %v at %s", i, len(raw), p.v, time.UnixMilli(p.t).UTC())
		}
		if i > 0 && p.t != raw[i-1].t+1000 {
			found++
		}
	}
	if len(raw) != int(k.n) || found != holes {
		t.Errorf("%d readings with %d holes, want %v with %d", len(raw), found, k.n, holes)
	}
	if last := raw[len(raw)-1].t; last != k.j.Now().Truncate(time.Second).UnixMilli() {
		t.Errorf("the newest reading is at %s, it is %s", time.UnixMilli(last).UTC(), k.j.Now())
	}
	for reason, n := range k.s.Stats().Dropped {
		if n > 0 {
			t.Errorf("%d samples were dropped: %s", n, reason)
		}
	}
	for _, tier := range k.s.tiers[1:] {
		interval := tier.config.Resolution.Milliseconds()
		sums, counts := map[int64]float64{}, map[int64]float64{}
		for _, p := range raw {
			end := BucketEnd(p.t, interval)
			sums[end] += p.v
			counts[end]++
		}
		got := points(t, tier)[k.g.Labels.String()]
		mustRise(t, got)
		wrong := 0
		for _, p := range got {
			if math.IsNaN(p.v) {
				continue // A staleness marker.
			}
			if want := sums[p.t] / counts[p.t]; math.Abs(p.v-want) > 1e-5*want || counts[p.t] == 0 {
				if wrong++; wrong < 3 {
					t.Errorf("tier %s has %v at %s, want %v", tier.Name(), p.v, time.UnixMilli(p.t).UTC(), want)
				}
			}
			delete(counts, p.t)
		}
		present := k.j.Now().UnixMilli() - grace.Milliseconds() - 1000
		for end := range counts {
			if end < present {
				if wrong++; wrong < 3 {
					t.Errorf("tier %s has nothing at %s", tier.Name(), time.UnixMilli(end).UTC())
				}
			}
		}
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

const (
	hour = time.Hour
	day  = 24 * hour
	year = 365 * day
)

// cases returns the cases of a table, of which the short form of the tests takes one of
// each kind: the first ones.
func cases[T any](short int, all ...T) []T {
	if soak() {
		return all
	}
	return all[:short]
}

// TestClockTakenBack: a clock that is set and taken back costs nothing, however far
// and however long.
func TestClockTakenBack(t *testing.T) {
	for _, by := range cases(4, -2*time.Minute, -year, 6*time.Minute, year, -day, -hour, hour, day) {
		for _, after := range []int{60, 1500} {
			t.Run(by.String()+" for "+(time.Duration(after)*time.Second).String(), func(t *testing.T) {
				k := newTicker(t)
				k.run(t, 700)
				k.m.step(by)
				k.run(t, after)
				believed := by > 0 && after > 600
				k.check(t, map[bool]int{true: 1}[believed])
				k.m.step(-by)
				k.run(t, 700)
				k.check(t, 0)
				k.health(t, health.OK, "")
			})
		}
	}
}

// TestClockSetAhead: a clock that is set ahead and stays so is believed after ten
// minutes. Nothing is deleted because of it.
func TestClockSetAhead(t *testing.T) {
	for _, by := range cases(3, 4*time.Minute, hour, year, day) {
		t.Run(by.String(), func(t *testing.T) {
			k := newTicker(t)
			k.run(t, 300)
			k.m.step(by)
			k.run(t, 700)
			k.s.Maintain(t.Context())
			k.check(t, 1)
		})
	}
}

// TestClockSlewed: a small step back makes neither a hole nor two readings at a time.
func TestClockSlewed(t *testing.T) {
	k := newTicker(t)
	k.run(t, 100)
	k.m.step(-30 * time.Second)
	for range 400 {
		k.m.pass(time.Second)
		k.j.Observe()
		if now := k.j.Now().Truncate(time.Second); now.UnixMilli() > k.s.newest {
			k.n++
			k.s.mustAppend(t, reading(now, "f", Sample{k.g, k.n}))
		}
	}
	k.check(t, 0)
}

// TestClockWrongAtStart: a clock that is ahead when the machine starts and is set
// right hours later: what was written ahead is moved to where it belongs, beside what
// an earlier boot wrote, also if the agent is restarted in between or while it is set.
func TestClockWrongAtStart(t *testing.T) {
	type wrong struct {
		by      time.Duration
		restart string
	}
	for _, c := range cases(3,
		wrong{hour, ""}, wrong{day, "before"}, wrong{year, "while"}, wrong{day, ""}, wrong{year, ""},
		wrong{hour, "before"}, wrong{year, "before"}, wrong{hour, "while"}, wrong{day, "while"},
	) {
		t.Run(c.by.String()+" "+c.restart, func(t *testing.T) {
			k := newTicker(t)
			k.run(t, 700)
			k.restart(t, true, c.by)
			k.run(t, 4000)
			k.s.Maintain(t.Context())
			switch c.restart {
			case "":
				k.m.step(-c.by)
			case "before":
				k.restart(t, false, 0)
				k.run(t, 10)
				k.m.step(-c.by)
			case "while":
				k.restart(t, false, -c.by)
			}
			k.run(t, 700)
			k.check(t, map[bool]int{true: 2, false: 1}[c.restart != ""])
			k.health(t, health.OK, "")
		})
	}
}

// TestClockAheadInAnotherBoot: what a boot wrote that ran ahead cannot be placed by
// the next. It is set aside, history goes on, and a restart does not bring it back.
func TestClockAheadInAnotherBoot(t *testing.T) {
	for _, by := range cases(2, hour, year, day) {
		t.Run(by.String(), func(t *testing.T) {
			k := newTicker(t)
			k.run(t, 700)
			k.m.step(by)
			k.run(t, 1300) // 600 of them by the right time, in doubt.
			k.restart(t, true, -by)
			k.run(t, 1300)
			k.settle(t)
			raw := k.raw(t)
			mustRise(t, raw)
			// The 700 that were ahead are not there.
			if len(raw) != 1300+1300 || raw[len(raw)-1].t != k.m.now().UnixMilli() {
				t.Errorf("%d readings until %s; it is %s", len(raw), time.UnixMilli(raw[len(raw)-1].t).UTC(), k.m.now())
			}
			if got := raw[1300].v; got != 2001 {
				t.Errorf("after what is right follows reading %v", got)
			}
			k.health(t, health.OK, "set aside")
			k.restart(t, false, 0)
			k.run(t, 100)
			if got := k.raw(t); len(got) != 2700 {
				t.Errorf("%d readings after a restart", len(got))
			}
		})
	}
}

// TestClockBehindAtStart: a clock that begins in the past after a reboot is not
// believed until it is set right, and readings go where they belong then.
func TestClockBehindAtStart(t *testing.T) {
	for _, by := range cases(2, -hour, time.Unix(0, 0).Sub(noon), -day, -year) {
		t.Run(by.String(), func(t *testing.T) {
			k := newTicker(t)
			k.run(t, 700)
			k.restart(t, true, by)
			k.run(t, 120)
			k.check(t, 1)
			k.m.step(-by + 8*hour) // The machine was off for a night.
			k.run(t, 600)
			k.check(t, 1)
			raw := k.raw(t)
			if off := time.Duration(raw[700].t-raw[699].t) * time.Millisecond; (off - 8*hour).Abs() > 10*time.Second {
				t.Errorf("the machine was off for %s", off)
			}
		})
	}
}

// TestClockSetBackWrongly: history of earlier boots that is ahead of a clock that was
// set back is set aside, and comes back when the clock is right again, also after a
// reboot.
func TestClockSetBackWrongly(t *testing.T) {
	type wrong struct {
		by     time.Duration
		reboot bool
	}
	for _, c := range cases(2, wrong{-day, false}, wrong{-year, true}, wrong{-day, true}, wrong{-year, false}) {
		t.Run(fmt.Sprintf("%s reboot %t", c.by, c.reboot), func(t *testing.T) {
			k := newTicker(t)
			k.run(t, 1000)
			k.restart(t, true, 0)
			k.run(t, 500)
			k.m.step(c.by)
			k.run(t, 300)
			k.settle(t)
			if got := k.raw(t); len(got) != 800 || got[0].v != 1001 {
				t.Errorf("%d readings, from %v", len(got), got[0].v)
			}
			k.health(t, health.OK, "set aside")
			if c.reboot {
				k.restart(t, true, -c.by)
			} else {
				k.m.step(-c.by)
			}
			k.run(t, 700)
			k.settle(t)
			raw := k.raw(t)
			mustRise(t, raw)
			if len(raw) != 2500 {
				t.Errorf("%d readings came back, want 2500", len(raw))
			}
		})
	}
}

// TestClockWithoutFile: a store knows by itself that the clock is behind.
func TestClockWithoutFile(t *testing.T) {
	k := newTicker(t)
	k.run(t, 700)
	k.file = filepath.Join(t.TempDir(), "clock.json")
	k.restart(t, true, -day)
	k.run(t, 10)
	k.check(t, 1)
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
	k := &ticker{m: m, j: o.Clock, s: openStore(t, o), g: gauge("g", "0"), o: o}
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
	o.Clock = m.judge()
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
