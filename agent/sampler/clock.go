package sampler

import (
	"time"

	"sysotel/agent/clock"
)

// source is the sampler's source of time; tests have their own.
type source struct {
	// now is the time as the judge of the clock has it; it changes by steps only within
	// observe. latest returns the steps after a number.
	now     func() time.Time
	observe func() *clock.Change
	latest  func(uint64) []clock.Step
	// awake and asleep are how long the machine has been running and suspended.
	awake, asleep func() time.Duration
}

// moment is one reading of the clock.
type moment struct {
	wall          time.Time
	awake, asleep time.Duration
}

func (c source) read() moment { return moment{c.now().Round(0), c.awake(), c.asleep()} }

// place returns where a tick of before a change is after it.
func (c source) place(t time.Time, change *clock.Change) time.Time {
	if change.Step == 0 {
		return t
	}
	for _, step := range c.latest(change.Step - 1) {
		t = step.Place(t)
	}
	return t
}

// since returns how long the machine was suspended since an earlier moment, and by how
// much the wall clock was set.
func (m moment) since(before moment) (slept, set time.Duration) {
	slept = m.asleep - before.asleep
	return slept, m.wall.Sub(before.wall) - (m.awake - before.awake) - slept
}

// Causes of gaps, as in events and in sysotel.agent.gaps.
const (
	causeSuspend  = "suspend"
	causeClock    = "clock_step"
	causeOverload = "overload"
	causeTimeout  = "timeout"
	causeError    = "error"
)

// gap is a run of missed ticks, from the first to the tick that was read in place of
// the last.
type gap struct {
	cause    string
	from, to time.Time
	missed   uint64
}

// nextTick returns the second that a wake-up at now belongs to, given the previous
// tick, and how long the machine slept and by how much the clock was set since then.
// A wake-up is early if the clock has not reached the next tick yet, or was set back
// into the second of the previous tick: each second is read once. The gap has the
// missed ticks and their cause: a suspend, a clock step, or an agent that did not get
// to run. A tick that is seconds late belongs to the second in which it is read; the
// one after it is on the whole interval again.
func nextTick(before, now time.Time, slept, set, interval time.Duration) (next time.Time, early bool, g gap) {
	expected := after(before, interval)
	stepped := set > 2*time.Second || set < -2*time.Second
	next = floor(now, time.Second)
	// What was written has moved with the clock: the next tick is after it.
	if stepped && next.Before(before) && before.Sub(next) <= interval {
		return expected, true, gap{}
	}
	if next.Equal(before) || !stepped && next.Before(expected) {
		return expected, true, gap{}
	}
	g = gap{from: expected, to: next}
	if last := floor(next, interval); last.After(expected) {
		g.missed = uint64(last.Sub(expected) / interval)
	}
	switch {
	case stepped:
		g.cause = causeClock
	case g.missed == 0:
		return next, false, gap{}
	case slept > interval/2:
		g.cause = causeSuspend
	default:
		g.cause = causeOverload
	}
	return next, false, g
}

// floor is the last whole interval of Unix time at or before t.
func floor(t time.Time, interval time.Duration) time.Time {
	n := t.UnixNano()
	return time.Unix(0, n-n%int64(interval)).UTC()
}

// after is the first whole interval of Unix time after t.
func after(t time.Time, interval time.Duration) time.Time { return floor(t, interval).Add(interval) }
