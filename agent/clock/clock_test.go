package clock

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"sysotel/agent/health"
)

const (
	minute, hour = time.Minute, time.Hour
	day, year    = 24 * hour, 365 * 24 * hour
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// machine has both clocks and a judge of them.
type machine struct {
	*Judge
	t       *testing.T
	options Options
	wall    time.Time
	boot    time.Duration
	changes []Change
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, wall: noon, boot: hour}
	m.options = Options{
		File: filepath.Join(t.TempDir(), "clock.json"), BootID: "one",
		Wall: func() time.Time { return m.wall }, Boot: func() time.Duration { return m.boot },
		Synced: func() bool { return false },
	}
	m.Judge = New(m.options)
	return m
}

// run lets time pass, and checks that no second is there twice or missing but for
// steps.
func (m *machine) run(d time.Duration) {
	m.t.Helper()
	for ; d > 0; d -= time.Second {
		before := m.Now()
		m.wall, m.boot = m.wall.Add(time.Second), m.boot+time.Second
		passed := m.Now().Sub(before)
		if passed < 890*time.Millisecond || passed > 1110*time.Millisecond {
			m.t.Fatalf("the judge's second took %s", passed)
		}
		if c := m.Observe(); c != nil {
			m.changes = append(m.changes, *c)
		}
	}
}

func (m *machine) set(d time.Duration) { m.wall = m.wall.Add(d) }

// restart starts the agent again after a while, in another boot if asked.
func (m *machine) restart(down time.Duration, reboot bool) {
	_ = m.Close()
	m.wall, m.boot = m.wall.Add(down), m.boot+down
	if reboot {
		m.boot = minute
		m.options.BootID += "+"
	}
	m.Judge = New(m.options)
}

// is fails unless the judge's time is ahead of the wall clock by d.
func (m *machine) is(what string, d time.Duration) {
	m.t.Helper()
	if got := m.Now().Sub(m.wall); (got - d).Abs() > time.Millisecond {
		m.t.Errorf("%s: the judge is %s ahead of the wall clock, want %s", what, got, d)
	}
}

// had fails unless there were these changes.
func (m *machine) had(causes ...Cause) {
	m.t.Helper()
	same := len(causes) == len(m.changes)
	for i := 0; same && i < len(causes); i++ {
		same = causes[i] == m.changes[i].Cause
	}
	if !same {
		m.t.Errorf("the changes were %+v, want %v", m.changes, causes)
	}
}

// TestAhead: a clock that is set ahead is doubted for ten minutes in which time goes
// on without it; one set back is believed at once, and what was written ahead moves by
// what it was ahead.
func TestAhead(t *testing.T) {
	for _, by := range []time.Duration{6 * minute, hour, day, year} {
		t.Run(by.String(), func(t *testing.T) {
			m := newMachine(t)
			m.run(hour)
			m.set(by)
			m.run(minute)
			m.is("after a minute", -by)
			if m.Health().Status != health.Degraded {
				t.Error("health is ok while the clock is doubted")
			}
			m.set(-by)
			m.run(minute)
			m.is("taken back", 0)
			m.had(TakenBack)
			if steps := m.Steps(0); len(steps) != 0 {
				t.Errorf("steps %+v of a clock that was not believed", steps)
			}

			m.changes = nil
			before := m.Now()
			m.set(by)
			m.run(2 * hour)
			m.is("after two hours", 0)
			m.had(Believed)
			believed := before.Add(10*minute + time.Second)
			m.set(-by)
			m.run(time.Second)
			m.is("set right", 0)
			m.had(Believed, Set)
			steps := m.Steps(0)
			if len(steps) != 2 || len(steps[0].Moves) != 0 || len(steps[1].Moves) != 1 {
				t.Fatalf("steps %+v", steps)
			}
			back := steps[1]
			if got := back.Place(believed.Add(by + minute)); !got.Equal(believed.Add(minute)) {
				t.Errorf("what was written a minute after the jump moved to %s, want %s", got, believed.Add(minute))
			}
			if got := back.Place(believed.Add(-minute)); !got.Equal(believed.Add(-minute)) {
				t.Errorf("what was written before the jump moved to %s", got)
			}
			if m.Health().Status != health.OK || m.Health().Reason == "" {
				t.Errorf("health %+v", m.Health())
			}
		})
	}
}

// TestSetBack: what this boot wrote moves along when the clock is set back, and
// returns when it is set to where it was.
func TestSetBack(t *testing.T) {
	for _, by := range []time.Duration{2 * minute, hour, day, year} {
		for _, after := range []time.Duration{minute, 2 * hour} {
			t.Run(by.String()+" for "+after.String(), func(t *testing.T) {
				m := newMachine(t)
				m.run(hour)
				m.set(-by)
				m.run(after)
				m.is("set back", 0)
				m.set(by)
				m.run(time.Second)
				m.is("set to where it was", 0)
				m.had(Set, Set)
				steps := m.Steps(0)
				if len(steps) != 2 {
					t.Fatalf("steps %+v", steps)
				}
				if got := steps[0].Place(noon); !got.Equal(noon.Add(-by)) {
					t.Errorf("the first reading moved to %s", got)
				}
				if got := steps[1].Place(steps[0].Place(noon)); !got.Equal(noon) {
					t.Errorf("the first reading returned to %s", got)
				}
				if got := steps[0].Place(noon.Add(-time.Second)); !got.Equal(noon.Add(-time.Second)) {
					t.Errorf("another boot's reading moved to %s", got)
				}
			})
		}
	}
}

// TestSlewed: a small step back loses no second.
func TestSlewed(t *testing.T) {
	m := newMachine(t)
	m.run(minute)
	m.set(-30 * time.Second)
	m.run(2 * minute) // run checks that time goes on.
	if got := m.Now().Sub(m.wall); got < 17*time.Second || got > 19*time.Second {
		t.Errorf("the judge is %s ahead after two minutes, want 18s", got)
	}
	m.run(4 * minute)
	m.is("after six minutes", 0)
	m.had(Slewed)
	// Several of them must not add up.
	for range 5 {
		m.set(-50 * time.Second)
		m.run(5 * time.Second)
	}
	if got := m.Now().Sub(m.wall); got > slewed {
		t.Errorf("the judge is %s ahead", got)
	}
}

// TestFraction: steps that are no whole seconds leave the moved times on whole
// seconds, and the rest is evened out.
func TestFraction(t *testing.T) {
	m := newMachine(t)
	m.run(minute)
	m.set(-hour - 300*time.Millisecond)
	m.run(time.Second)
	by := m.Steps(0)[0].Moves[0].By
	if by%time.Second != 0 {
		t.Errorf("readings move by %s", by)
	}
	if got := m.Steps(0)[0].By(); got != by {
		t.Errorf("the present moved by %s and readings by %s", got, by)
	}
	m.run(10 * time.Second)
	m.is("ten seconds later", 0)
}

// TestSynced: a time server is believed at once.
func TestSynced(t *testing.T) {
	m := newMachine(t)
	m.options.Synced = func() bool { return true }
	m.Judge = New(m.options)
	m.run(minute)
	m.set(year)
	m.run(time.Second)
	m.is("a year ahead", 0)
	m.had(Set)
}

// TestSuspend: both clocks run on during a suspend.
func TestSuspend(t *testing.T) {
	m := newMachine(t)
	m.run(minute)
	m.wall, m.boot = m.wall.Add(8*hour), m.boot+8*hour
	m.run(minute)
	m.is("after a suspend", 0)
	m.had()
}

// TestStartsAhead: a clock that was ahead since the start of the machine and is then
// set right moves all that this boot wrote.
func TestStartsAhead(t *testing.T) {
	for _, by := range []time.Duration{hour, day, year} {
		for _, restart := range []bool{false, true} {
			m := newMachine(t)
			m.run(minute)
			m.set(by)
			m.restart(minute, true)
			begin := m.Now()
			m.run(2 * hour)
			if restart {
				m.restart(minute, false)
				m.run(minute)
			}
			m.set(-by)
			if restart {
				m.restart(minute, false)
			}
			m.run(time.Second)
			m.is("set right", 0)
			m.had(Set)
			s := m.Steps(0)[0]
			if got := s.Place(begin); !got.Equal(begin.Add(-by)) {
				t.Errorf("%s ahead: the first reading moved to %s", by, got)
			}
			if got := s.Place(noon.Add(30 * time.Second)); by > hour && !got.Equal(noon.Add(30*time.Second)) {
				t.Errorf("%s ahead: another boot's reading moved to %s", by, got)
			}
			if !m.changes[0].AheadUntil.IsZero() {
				t.Errorf("%s ahead: %+v says that another boot was ahead", by, m.changes[0])
			}
		}
	}
}

// TestBootAfterAhead: after a boot that ran a year ahead, time goes on from its end
// for ten minutes, and is then right; what the other boot wrote ahead is named.
func TestBootAfterAhead(t *testing.T) {
	m := newMachine(t)
	m.set(year)
	m.Judge = New(Options{Wall: m.options.Wall, Boot: m.options.Boot, Synced: m.options.Synced, File: m.options.File, BootID: "zero"})
	m.run(hour)
	m.set(-year)
	m.restart(minute, true)
	m.run(9 * minute)
	m.is("at first", year-minute+time.Second)
	m.had()
	m.run(2 * minute)
	m.is("ten minutes later", 0)
	m.had(Believed)
	if until := m.changes[0].AheadUntil; !until.Equal(noon.Add(hour + year)) {
		t.Errorf("the other boot was ahead until %s", until)
	}
	s := m.Steps(0)[0]
	if got, want := s.Place(noon.Add(hour+year+time.Second)), noon.Add(hour+minute); !got.Equal(want) {
		t.Errorf("the first reading of this boot moved to %s, want %s", got, want)
	}
	if got := s.Place(noon.Add(hour + year - time.Second)); !got.Equal(noon.Add(hour + year - time.Second)) {
		t.Errorf("the last reading of the other boot moved to %s", got)
	}
}

// TestStartsBehind: without a battery the clock starts in 1970. Time goes on from the
// end of the previous run until a time server sets the clock.
func TestStartsBehind(t *testing.T) {
	m := newMachine(t)
	m.run(hour)
	right := m.wall
	m.set(time.Unix(0, 0).Sub(m.wall))
	m.restart(0, true)
	m.is("at the start", right.Add(time.Second).Sub(m.wall))
	m.run(3 * minute)
	m.wall = right.Add(8 * hour)
	m.run(time.Second)
	m.is("set right", 0)
	m.had(Set)
	s := m.Steps(0)[0]
	if got, want := s.Place(right.Add(time.Second)), right.Add(8*hour-3*minute); (got.Sub(want)).Abs() > time.Second {
		t.Errorf("the first reading of this boot moved to %s, want %s", got, want)
	}
	if got := s.Place(right); !got.Equal(right) {
		t.Errorf("the last reading of the other boot moved to %s", got)
	}
}

// TestFloor: without a file the end of the previous run comes from the store.
func TestFloor(t *testing.T) {
	m := newMachine(t)
	m.run(3 * time.Second)
	stored := noon.Add(day)
	m.Floor(stored)
	s := m.Steps(0)
	if len(s) != 1 || !s[0].Floor {
		t.Fatalf("steps %+v", s)
	}
	if got := s[0].Place(noon); !got.After(stored) || got.Sub(stored) > 3*time.Second {
		t.Errorf("the first reading moved to %s, want just after %s", got, stored)
	}
	now := m.Now()
	m.Floor(now.Add(hour)) // Only what an earlier run stored counts.
	if !m.Now().Equal(now) {
		t.Error("the present moved twice")
	}
	m.run(11 * minute)
	m.is("ten minutes later", 0)
	m.had(Floored, Believed)
}

// TestAge: what this boot wrote keeps its age over each step, what others wrote keeps
// its time.
func TestAge(t *testing.T) {
	for _, by := range []time.Duration{day, -day} {
		m := newMachine(t)
		m.run(hour)
		sent, old := m.Now(), noon.Add(-minute)
		age := 20 * minute
		m.run(age)
		m.set(by)
		m.run(11 * minute)
		s := m.Steps(0)[0]
		if got := m.Now().Sub(s.Age(sent)); (got - age - 11*minute).Abs() > time.Second {
			t.Errorf("a step of %s: what was %s old is %s old", by, age, got)
		}
		if got := s.Age(old); !got.Equal(old) {
			t.Errorf("a step of %s: another boot's time became %s", by, got)
		}
		if !s.Age(time.Time{}).IsZero() {
			t.Error("no time became one")
		}
	}
}

// TestFile: a damaged file is as good as none, one that cannot be written is said.
func TestFile(t *testing.T) {
	m := newMachine(t)
	if err := os.WriteFile(m.options.File, []byte(`{"number": -1`), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Judge = New(m.options)
	m.run(minute)
	m.is("with a damaged file", 0)
	m.options.File = filepath.Join(t.TempDir(), "missing", "clock.json")
	m.Judge = New(m.options)
	_ = m.Close()
	if m.Health().Status != health.Degraded {
		t.Errorf("health %+v although the file cannot be written", m.Health())
	}
	// The lists are bounded.
	for range 100 {
		m.set(2 * minute)
		m.run(time.Second)
		m.set(-2 * minute)
		m.run(time.Second)
	}
	if len(m.state.Steps) > maxKept || len(m.state.Segments) > maxKept || len(m.state.Former) > maxKept {
		t.Errorf("%d steps, %d segments, %d former", len(m.state.Steps), len(m.state.Segments), len(m.state.Former))
	}
	if s := m.Steps(m.Latest() - 1); len(s) != 1 || s[0].Number != m.Latest() {
		t.Errorf("the newest step is %+v", s)
	}
}

// TestSystem: the system's clocks agree with each other.
func TestSystem(t *testing.T) {
	j := New(Options{})
	if c := j.Observe(); c != nil {
		t.Errorf("%+v", c)
	}
	if d := time.Since(j.Now()); d.Abs() > time.Second {
		t.Errorf("the judge is %s behind", d)
	}
}
