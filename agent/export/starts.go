package export

import (
	"time"

	"sysotel/instruments"
)

// starts are the moments from which our counters count, by the clock as it is set.
type starts struct {
	boot, agent time.Time
	// clock is nil where it is never set; zero is its zeroOf that the starts are by.
	clock Clock
	zero  time.Time
	// moved is by how much the starts have moved so far.
	moved time.Duration
}

// newStarts returns the starts of a machine's counters and of the agent's own.
func newStarts(o *Options) starts {
	s := starts{boot: o.Host.Boot(), agent: o.Started}
	if s.boot.IsZero() {
		s.boot = o.Started
	}
	if o.Clock != nil {
		// Both starts are by the host's clock, which may not be believed.
		s.clock, s.zero = o.Clock, o.Host.Now().Round(0).Add(-o.Clock.Boot())
		s.follow()
	}
	return s
}

// of returns the start of a counter.
func (s *starts) of(since instruments.Start) time.Time {
	if since == instruments.SinceAgent {
		return s.agent
	}
	return s.boot
}

// clockSlack is by how much a start may be off: a small step back is evened out by a
// clock that runs slower, and needs no start to move.
const clockSlack = time.Minute

// follow moves the starts along when the clock was set, and returns by how much: what
// began an hour ago still began an hour ago, and nothing counts from after its own time.
func (s *starts) follow() time.Duration {
	if s.clock == nil {
		return 0
	}
	zero := zeroOf(s.clock)
	by := zero.Sub(s.zero).Round(time.Second)
	if by.Abs() <= clockSlack {
		return 0
	}
	s.moved += by
	s.zero, s.boot, s.agent = zero, s.boot.Add(by), s.agent.Add(by)
	return by
}

// zeroOf is the time at which the clock that cannot be set showed zero.
func zeroOf(c Clock) time.Time { return c.Now().Add(-c.Boot()) }
