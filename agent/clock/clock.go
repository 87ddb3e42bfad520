// Package clock decides what time it is. The wall clock can be set: by a time server,
// by hand, by a battery that is empty. The boot clock cannot, and it runs during a
// suspend. So time within one boot is counted by the boot clock, and the wall clock
// says only where the boot begins. There is one [Judge] in the agent, and everything
// that is kept or compared over time asks it and not the wall clock.
//
// What the judge does when the difference of the two clocks changes:
//
//   - Less than a second is followed.
//   - Back by up to a minute: its time runs slower by a tenth until the wall clock has
//     caught up. No second is read twice, nothing is moved.
//   - Ahead by up to five minutes: believed at once.
//   - Ahead by more: doubted for ten minutes, in which time goes on by the boot clock,
//     as if nothing had happened. If it was taken back by then, nothing has. It is
//     believed at once if the kernel says that a time server sets the clock, or if this
//     boot has had that time before.
//   - Back by more than a minute: believed at once. What this boot wrote is then ahead
//     of the present by a known size.
//   - At a start behind the end of the previous run: time goes on from that end, and is
//     doubted like a clock that runs ahead, until the wall clock is past it.
//
// A change that makes stored times wrong is a [Step]: it says by how much the times
// that this boot wrote move. Who keeps times applies each step once, by its number, in
// the way that fits what it keeps:
//
//   - The store moves the samples of the finest tier and makes the coarser ones again
//     from it. What other boots wrote ahead of the present cannot be placed, since
//     nothing connects their clock with this one: it is set aside, as whole blocks, and
//     taken back if the clock comes to be past it by another step.
//   - The records move their finest tier in the same way. What other boots wrote ahead
//     stays where it is: rows need no order, so nothing is in the way.
//   - Alerts, silences, sessions, tokens and queued requests keep their age: what has
//     lasted a minute has still lasted a minute. [Step.Age] says so.
package clock

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sysotel/agent/health"
)

const (
	// jump is how far the wall clock may be set ahead to be believed at once; time
	// servers rarely make larger steps.
	jump = 5 * time.Minute
	// doubt is how long a clock must stay as it was set to be believed.
	doubt = 10 * time.Minute
	// slack is the largest difference that is no step.
	slack = time.Second
	// noise is the difference that comes from reading two clocks one after the other.
	noise = time.Millisecond
	// slewed is the largest step back that is evened out by running slower, by one part
	// in slewing.
	slewed, slewing = time.Minute, 10
)

// Options configure a judge.
type Options struct {
	// File keeps the state over restarts; none if it is empty.
	File string
	// BootID identifies the boot; empty if unknown, each start is a boot then.
	BootID string
	// Grain is what moved times are whole multiples of: the time between two readings.
	// A second if 0.
	Grain time.Duration
	// Wall is the wall clock and Boot the time since boot by a clock that cannot be set;
	// the system's if nil.
	Wall func() time.Time
	Boot func() time.Duration
	// Synced reports whether a time server sets the clock; the kernel's word if nil.
	Synced func() bool
	// Log may be nil.
	Log *slog.Logger
}

// Judge decides what time it is. It is safe for concurrent use.
type Judge struct {
	options Options
	log     *slog.Logger

	mu    sync.Mutex
	state state
	// target is the believed difference of wall clock and boot clock; over is what the
	// judge's time was ahead of that at overSince by the boot clock.
	target, over, overSince time.Duration
	// floored is set while time goes on from the end of the previous run, because the
	// wall clock is behind it.
	floored bool
	// doubted is set while the wall clock is not believed; wrong is its difference to the
	// boot clock and since when that was first seen.
	doubted      bool
	wrong, since time.Duration
	// changed is the newest change, at changedAt by the boot clock.
	changed   *Change
	changedAt time.Duration
	// unseen is a change that Observe has still to return.
	unseen *Change
	// fresh is set from the first start after a boot until Floor.
	fresh   bool
	saveErr error
	trust   trust
}

// New returns a judge that goes on where the file ends.
func New(o Options) *Judge {
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Boot == nil {
		o.Boot = bootClock()
	}
	if o.Synced == nil {
		o.Synced = synced
	}
	if o.Grain <= 0 {
		o.Grain = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	j := &Judge{options: o, log: o.Log}
	j.load()
	boot, offset := j.read()
	alive := j.state.Alive
	sameBoot := o.BootID != "" && j.state.Boot == o.BootID && len(j.state.Segments) > 0
	if sameBoot {
		// The wall clock may have been set meanwhile: Observe will see it.
		j.target, j.floored = j.last().Offset, j.state.Floored
	} else {
		j.fresh = true
		j.state.Boot, j.state.Former, j.state.Before, j.target = o.BootID, nil, alive, offset
		if behind := alive.Sub(at(boot, offset)); behind > slewed {
			j.target, j.floored = time.Duration(alive.Add(o.Grain).UnixNano())-boot, true
			j.log.Warn("the clock is behind the end of the previous run, time goes on from there", "clock", at(boot, offset), "previous", alive)
		}
	}
	if behind := alive.Sub(at(boot, j.target)); behind > 0 && behind <= slewed {
		j.over, j.overSince = behind, boot
	}
	if j.fresh {
		j.state.Begun = j.present(boot).Truncate(o.Grain)
		j.state.Segments = []segment{{From: j.state.Begun, Offset: j.target}}
	}
	j.anchor(boot, sameBoot, alive)
	return j
}

// at is the time at which the boot clock shows boot.
func at(boot, offset time.Duration) time.Time { return time.Unix(0, int64(boot+offset)).UTC() }

// read reads both clocks.
func (j *Judge) read() (boot, offset time.Duration) {
	boot = j.options.Boot()
	return boot, time.Duration(j.options.Wall().UnixNano()) - boot
}

// last is the present segment.
func (j *Judge) last() *segment { return &j.state.Segments[len(j.state.Segments)-1] }

// Now returns the present time. It changes by steps only within Observe and Floor. It
// has no monotonic part: durations of this process are measured by time.Now.
func (j *Judge) Now() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.present(j.options.Boot())
}

// Boot returns the time since boot, including suspend.
func (j *Judge) Boot() time.Duration { return j.options.Boot() }

// present is the time when the boot clock shows boot. It is called with j.mu held, as
// are the following.
func (j *Judge) present(boot time.Duration) time.Time { return at(boot, j.target+j.left(boot)) }

// left is what is left of over.
func (j *Judge) left(boot time.Duration) time.Duration {
	passed := max(boot-j.overSince, 0) / slewing
	if j.over > 0 {
		return max(j.over-passed, 0)
	}
	return min(j.over+passed, 0)
}

// slew makes time go on from now although the target changes.
func (j *Judge) slew(boot, target time.Duration, now time.Time) {
	j.target, j.over, j.overSince = target, now.Sub(at(boot, target)), boot
	j.last().Offset = target
}

// Change is a change of the wall clock that the agent's user should know of.
type Change struct {
	// From is what the time was before it, To after it: as the judge has it, and for one
	// that was taken back as the wall clock had it.
	From, To time.Time
	// Cause is why there is a change.
	Cause Cause
	// Step is the number of the step, 0 if there was none.
	Step uint64
	// AheadUntil is the end of what other boots wrote ahead of To, which is set aside;
	// zero if there is nothing.
	AheadUntil time.Time
}

// By is how far the clock was set.
func (c Change) By() time.Duration { return c.To.Sub(c.From) }

// Cause is why the time changed.
type Cause string

// The causes.
const (
	Set       Cause = "set"        // The wall clock was set.
	Believed  Cause = "believed"   // It was set, and believed after a while.
	Slewed    Cause = "slewed"     // It was set back by a little; time runs slower.
	TakenBack Cause = "taken_back" // It was set ahead, never believed, and set back.
	Floored   Cause = "behind"     // It is behind the end of what is stored.
)

// Observe looks at the clocks and decides. It returns the change if there is one. The
// sampler calls it before each tick: times that belong together are of one judgement.
func (j *Judge) Observe() *Change {
	j.mu.Lock()
	defer j.mu.Unlock()
	boot, offset := j.read()
	now := j.present(boot)
	j.state.Alive = now
	_ = j.trusted(boot)
	if change := j.unseen; change != nil {
		j.unseen = nil
		return change
	}
	change := j.judge(boot, offset, now)
	if change != nil {
		j.changed, j.changedAt = change, boot
		j.log.Warn("the clock was set", "event", "clock_step", "cause", string(change.Cause), "from", change.From, "to", change.To)
		j.state.Alive = j.present(boot)
		j.save()
	}
	return change
}

func (j *Judge) judge(boot, offset time.Duration, now time.Time) *Change {
	d := offset - j.target
	wall := at(boot, offset)
	// Ahead of a floor means that the clock has been set right.
	far := d > jump && !j.floored || d < -slewed && j.floored
	if far && !j.options.Synced() && !j.had(offset) {
		if !j.doubted || (offset-j.wrong).Abs() > jump {
			if !j.doubted {
				j.log.Warn("the clock was set and is not believed yet, time goes on without it", "clock", wall, "time", now)
			}
			j.doubted, j.wrong, j.since = true, offset, boot
		}
		if boot-j.since < doubt {
			return nil
		}
	}
	believed := j.doubted && far
	taken := j.doubted && !far && !j.floored
	was := j.wrong
	j.doubted = false
	cause := Set
	if believed {
		cause = Believed
	}
	switch {
	case d.Abs() < slack:
		if d.Abs() > noise {
			j.slew(boot, offset, now)
		}
		j.floored = false
		if taken {
			return &Change{From: at(boot, was), To: now, Cause: TakenBack}
		}
		return nil
	case d > 0 && j.floored:
		j.floored = false
		return j.step(boot, offset, wall, cause, func(segment) bool { return true })
	case d > 0 && j.had(offset):
		return j.step(boot, offset, wall, cause, func(segment) bool { return false })
	case d > 0:
		j.state.Segments = append(j.state.Segments, segment{From: wall.Truncate(j.options.Grain), Offset: offset})
		j.state.Segments = slices.Delete(j.state.Segments, 0, max(len(j.state.Segments)-maxKept, 0))
		j.slew(boot, offset, wall)
		return j.publish(boot, Step{From: now}, cause)
	case d >= -slewed && now.Sub(wall) <= slewed:
		j.floored = false
		j.slew(boot, offset, now)
		return &Change{From: now, To: wall, Cause: Slewed}
	}
	j.floored = false
	return j.step(boot, offset, wall, cause, func(s segment) bool { return s.Offset > offset+slack })
}

// had reports whether this boot has had a difference of the clocks before and lost it
// to a step back.
func (j *Judge) had(offset time.Duration) bool {
	return slices.ContainsFunc(j.state.Former, func(o time.Duration) bool { return (o - offset).Abs() <= slack })
}

// step sets the present to a time near to, moves the newest segment and those before it
// that are to move with it, and from then on follows a difference of the clocks.
func (j *Judge) step(boot, offset time.Duration, to time.Time, cause Cause, along func(segment) bool) *Change {
	all, now, grain := j.state.Segments, j.present(boot), j.options.Grain
	first := len(all) - 1
	for first > 0 && along(all[first-1]) {
		first--
	}
	s := Step{From: now}
	for _, one := range all[first:] {
		s.Moves = append(s.Moves, Move{From: one.From, By: (offset - one.Offset).Round(grain)})
	}
	by := to.Sub(now).Round(grain)
	s.Moves[len(s.Moves)-1].By = by
	if cause != Floored {
		j.state.Former = append(j.state.Former, j.target)
		j.state.Former = slices.Delete(j.state.Former, 0, max(len(j.state.Former)-maxKept, 0))
	}
	all[first].From = all[first].From.Add(s.Moves[0].By)
	if first > 0 && (all[first-1].Offset-offset).Abs() <= grain+slack {
		first--
	}
	j.state.Segments = all[:first+1]
	j.slew(boot, offset, now.Add(by))
	return j.publish(boot, s, cause)
}

// publish adds a step to the list.
func (j *Judge) publish(boot time.Duration, s Step, cause Cause) *Change {
	j.state.Number++
	s.Number, s.To, s.Since = j.state.Number, j.present(boot), j.state.Begun
	j.state.Steps = append(j.state.Steps, s)
	j.state.Steps = slices.Delete(j.state.Steps, 0, max(len(j.state.Steps)-maxKept, 0))
	j.state.Begun = s.Place(j.state.Begun)
	c := &Change{From: s.From, To: s.To, Cause: cause, Step: s.Number}
	if j.state.Before.After(s.To) {
		c.AheadUntil = j.state.Before
	}
	return c
}

// Floor reports to the judge the time of the newest thing that was stored when the agent
// started. If the present is before it, time goes on from there.
func (j *Judge) Floor(newest time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	boot, offset := j.read()
	now, grain := j.present(boot), j.options.Grain
	if !j.fresh {
		if behind := newest.Sub(now); behind > 0 && behind <= slewed {
			j.slew(boot, j.target, newest)
		}
		return
	}
	j.fresh = false
	if j.state.Before.IsZero() {
		j.anchorAt(boot, newest)
	}
	if newest.After(j.state.Before) {
		j.state.Before = newest
	}
	if !newest.After(now) {
		return
	}
	// What this run has read so far moves along, to after the newest.
	to := now.Add(newest.Add(grain).Sub(j.state.Begun).Truncate(grain)).Add(grain)
	floor := time.Duration(to.UnixNano()) - boot
	j.floored = to.Sub(at(boot, offset)) > slewed
	if !j.floored {
		floor = offset
	}
	change := j.step(boot, floor, to, Floored, func(segment) bool { return true })
	j.state.Steps[len(j.state.Steps)-1].Floor = true
	j.changed, j.changedAt, j.unseen = change, boot, change
	j.log.Warn("the clock is behind what is stored, time goes on from there", "clock", now, "stored", newest)
	j.save()
}

// Latest is the number of the newest step, 0 before the first.
func (j *Judge) Latest() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.Number
}

// Steps returns the steps after a number, oldest first. Those of long ago are
// forgotten.
func (j *Judge) Steps(after uint64) []Step {
	j.mu.Lock()
	defer j.mu.Unlock()
	i, _ := slices.BinarySearchFunc(j.state.Steps, after+1, func(s Step, n uint64) int {
		switch {
		case s.Number < n:
			return -1
		case s.Number > n:
			return 1
		}
		return 0
	})
	return slices.Clone(j.state.Steps[i:])
}

// reported is how long Health speaks of a change.
const reported = 24 * time.Hour

// Health is degraded while the clock is not believed.
func (j *Judge) Health() health.Component {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := health.Component{Name: "clock", Status: health.OK}
	boot, offset := j.read()
	now := j.present(boot)
	format := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case j.floored:
		c.Status = health.Degraded
		c.Reason = fmt.Sprintf("the clock shows %s, before the end of the previous run; time goes on from there until the clock is past it or has been so for %s", format(at(boot, offset)), doubt)
	case j.doubted:
		c.Status = health.Degraded
		c.Reason = fmt.Sprintf("the clock was set to %s and is not believed yet; time goes on from %s", format(at(boot, offset)), format(now))
	case j.changed != nil && boot-j.changedAt < reported:
		c.Reason = j.changed.sentence()
	}
	if j.saveErr != nil {
		c.Status = health.Degraded
		if c.Reason != "" {
			c.Reason += "; "
		}
		c.Reason += "cannot save the state of the clock: " + j.saveErr.Error()
	}
	return c
}

// sentence describes a change for a person.
func (c *Change) sentence() string {
	format := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch c.Cause {
	case TakenBack:
		return fmt.Sprintf("the clock was wrong (%s) for a while and was set right at %s", format(c.From), format(c.To))
	case Slewed:
		return fmt.Sprintf("the clock was set back by %s at %s; time ran slower until it had caught up", c.From.Sub(c.To).Round(time.Millisecond), format(c.From))
	}
	text := fmt.Sprintf("the clock was set from %s to %s", format(c.From), format(c.To))
	if !c.AheadUntil.IsZero() {
		text += fmt.Sprintf("; what earlier boots wrote up to %s is set aside", format(c.AheadUntil))
	}
	return text
}
