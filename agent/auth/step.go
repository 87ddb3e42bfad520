package auth

import (
	"time"

	"sysotel/agent/clock"
)

// follow gives the accounts the age that they had before the steps of the clock that they
// do not follow yet: what was made while the clock was ahead neither lives longer nor
// ends when the clock is set right. It reports whether one
// went back.
func (c *accounts) follow(judge *clock.Judge) (back bool) {
	if judge == nil {
		return false
	}
	c.Step = min(c.Step, judge.Latest())
	for _, step := range judge.Steps(c.Step) {
		c.Step = step.Number
		back = back || step.By() < 0
		for i := range c.Users {
			u := &c.Users[i]
			u.Created, u.PasswordChanged, u.LastLogin = step.Age(u.Created), step.Age(u.PasswordChanged), step.Age(u.LastLogin)
		}
		for i := range c.Sessions {
			s := &c.Sessions[i]
			s.refreshed = step.Age(s.refreshed)
			if made := step.Age(s.Created); !made.Equal(s.Created) {
				s.Created, s.Until = made, s.Until.Add(made.Sub(s.Created))
			}
		}
		for i := range c.Tokens {
			t := &c.Tokens[i]
			if made := step.Age(t.Created); !made.Equal(t.Created) {
				if !t.Expires.IsZero() {
					t.Expires = t.Expires.Add(made.Sub(t.Created))
				}
				t.Created = made
			}
		}
	}
	return back
}

// followClock makes the accounts follow the clock. An access token of a clock that was
// ahead would be valid once more when its time comes, so a step back replaces the keys:
// sessions renew their tokens. It is called with writing held.
func (a *Auth) followClock() {
	if a.judge == nil || a.current.Load().Step == a.judge.Latest() {
		return
	}
	next := a.current.Load().copy()
	back := next.follow(a.judge)
	for _, step := range a.judge.Steps(a.current.Load().Step) {
		if step.Number <= next.Step {
			a.code.follow(step)
		}
	}
	defer a.tell()
	if back {
		a.stale = a.takeKeys(nil)
	}
	a.current.Store(newIndex(next))
	if a.locked.Load() != nil {
		return
	}
	if err := a.write(next); err != nil && a.unwritten == nil {
		a.unwritten = err
		a.log.Warn("cannot write the accounts after the clock was set", "err", err)
	}
}

// followNow is followClock without writing held.
func (a *Auth) followNow() {
	a.writing.Lock()
	defer a.writing.Unlock()
	a.followClock()
}

// forgetting returns the time by which what has expired is forgotten. It is refused at
// once, but what is forgotten does not come back when the clock is set right.
func (a *Auth) forgetting() time.Time {
	if a.judge == nil {
		return a.now()
	}
	return a.judge.Retention()
}

// follow moves the end of a code, which this boot made.
func (c *setupCode) follow(step clock.Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.until.IsZero() {
		c.until = c.until.Add(step.By())
	}
}
