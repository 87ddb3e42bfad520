package clock

import (
	"testing"
	"time"
)

// lag is how far the trusted time is behind the judge's.
func (m *machine) lag() time.Duration { return m.Now().Sub(m.Retention()).Round(time.Second) }

// trusts fails unless the trusted time is behind the judge's by d.
func (m *machine) trusts(what string, d time.Duration) {
	m.t.Helper()
	if got := m.lag(); (got - d).Abs() > time.Minute {
		m.t.Errorf("%s: the trusted time is %s behind, want %s", what, got, d)
	}
}

// TestRetention: nothing is deleted by a clock that was set ahead, in this boot or at the
// start of one, until a day has passed.
func TestRetention(t *testing.T) {
	for name, ahead := range map[string]func(m *machine){
		"running":  func(m *machine) { m.set(year) },
		"a reboot": func(m *machine) { m.restart(year, true) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.Floor(time.Time{})
			m.run(hour)
			m.trusts("at first", 0)
			ahead(m)
			m.run(hour)
			m.is("after an hour", 0)
			m.trusts("after an hour", year)
			m.restart(time.Second, false)
			m.trusts("after a restart", year)
			m.restart(time.Second, true)
			m.run(hour)
			m.trusts("after a reboot", year)
			m.run(day)
			m.trusts("after a day", 0)
			m.restart(year, true)
			m.run(hour)
			m.trusts("a year later", year)
			m.set(-year)
			m.run(time.Second)
			m.trusts("set back", 0)
		})
	}
}

// TestRetentionUnknown: while it is not known when earlier runs were, nothing is
// deleted.
func TestRetentionUnknown(t *testing.T) {
	m := newMachine(t)
	m.run(hour)
	if got := m.Retention(); got.Unix() != 0 {
		t.Errorf("the trusted time is %s before anything is known", got)
	}
	m.Floor(m.Now().Add(-year))
	m.trusts("from what is stored", year)
	m.run(day)
	m.trusts("after a day", 0)
}

// TestRetentionOfLaptop: a machine that is off each night is trusted in the end, though
// it never runs for a day.
func TestRetentionOfLaptop(t *testing.T) {
	m := newMachine(t)
	m.Floor(time.Time{})
	for range 6 {
		m.run(16 * hour)
		m.restart(8*hour, true)
	}
	m.run(minute)
	m.trusts("after six nights", 16*hour)
}
