package sampler

import (
	"testing"
	"time"

	"sysotel/agent/clock"
)

// at is a moment of the day on which the clock tests play.
func at(clock string) time.Time {
	t, err := time.Parse("15:04:05.999", clock)
	if err != nil {
		panic(err)
	}
	return time.Date(2026, 3, 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

func TestJudge(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name                string
		before, now         string
		slept, set, between time.Duration
		next                string
		early               bool
		cause               string
		missed              uint64
	}{
		{"on time", "12:00:00", "12:00:01", 0, 0, s, "12:00:01", false, "", 0},
		{"a little late", "12:00:00", "12:00:01.002", 0, 0, s, "12:00:01", false, "", 0},
		{"late by 0.4 s", "12:00:00", "12:00:01.4", 0, 0, s, "12:00:01", false, "", 0},
		{"early", "12:00:00", "12:00:00.999", 0, 0, s, "12:00:01", true, "", 0},
		{"early because the clock is slewed", "12:00:00", "12:00:00.5", 0, -500 * time.Millisecond, s, "12:00:01", true, "", 0},
		{"the clock was set back by less than a step", "12:00:00", "11:59:59.5", 0, -1500 * time.Millisecond, s, "12:00:01", true, "", 0},
		{"three ticks missed", "12:00:00", "12:00:04.1", 0, 0, s, "12:00:04", false, causeOverload, 3},
		{"suspend of an hour", "12:00:00", "13:00:01.3", time.Hour, 0, s, "13:00:01", false, causeSuspend, 3600},
		{"suspend within one tick", "12:00:00", "12:00:01.6", 600 * time.Millisecond, 0, s, "12:00:01", false, "", 0},
		{"an hour forward", "12:00:00", "13:00:01", 0, time.Hour, s, "13:00:01", false, causeClock, 3600},
		{"an hour back", "12:00:00", "11:00:01", 0, -time.Hour, s, "11:00:01", false, causeClock, 0},
		{"after an hour back", "11:00:01", "11:00:02", 0, 0, s, "11:00:02", false, "", 0},
		{"set while it slept", "12:00:00", "14:00:01", time.Hour, time.Hour, s, "14:00:01", false, causeClock, 7200},

		{"7 s on time", "12:00:00", "12:00:07.01", 0, 0, 7 * s, "12:00:07", false, "", 0},
		{"7 s, first tick between", "12:00:05", "12:00:07.01", 0, 0, 7 * s, "12:00:07", false, "", 0},
		{"7 s early", "12:00:00", "12:00:06.99", 0, 0, 7 * s, "12:00:07", true, "", 0},
		{"7 s, late by 3 s is read at its true second", "12:00:00", "12:00:10.2", 0, 0, 7 * s, "12:00:10", false, "", 0},
		{"7 s, back on the whole interval", "12:00:10", "12:00:14", 0, 0, 7 * s, "12:00:14", false, "", 0},
		{"7 s, one missed", "12:00:00", "12:00:15.2", 0, 0, 7 * s, "12:00:15", false, causeOverload, 1},
		{"7 s, set back by 3 s", "12:00:00", "12:00:04", 0, -3 * s, 7 * s, "12:00:04", false, causeClock, 0},
		{"7 s, set back into the second of the tick before", "12:00:00", "12:00:00.5", 0, -6500 * time.Millisecond, 7 * s, "12:00:07", true, "", 0},

		{"a minute on time", "12:00:00", "12:01:00", 0, 0, time.Minute, "12:01:00", false, "", 0},
		{"a minute early", "12:00:00", "12:00:59.9", 0, 0, time.Minute, "12:01:00", true, "", 0},
		{"a minute, late by 20 s", "12:00:00", "12:01:20.5", 0, 0, time.Minute, "12:01:20", false, "", 0},
		{"a minute, suspend of an hour", "12:00:00", "13:01:00", time.Hour, 0, time.Minute, "13:01:00", false, causeSuspend, 60},
		{"a minute, set back by 20 s", "12:00:00", "12:00:40", 0, -20 * s, time.Minute, "12:00:40", false, causeClock, 0},
		{"a minute, an hour forward", "12:00:00", "13:01:00", 0, time.Hour, time.Minute, "13:01:00", false, causeClock, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			next, early, g := nextTick(at(c.before), at(c.now), c.slept, c.set, c.between)
			if !next.Equal(at(c.next)) || early != c.early {
				t.Errorf("next %s, early %v, want %s, %v", next.Format("15:04:05"), early, c.next, c.early)
			}
			equal(t, "cause", g.cause, c.cause)
			equal(t, "missed", g.missed, c.missed)
			if g.cause != "" && (!g.from.Equal(after(at(c.before), c.between)) || !g.to.Equal(next)) {
				t.Errorf("the gap is from %s to %s", g.from, g.to)
			}
		})
	}
}

func TestSince(t *testing.T) {
	start := moment{wall: at("12:00:00"), awake: time.Minute, asleep: time.Hour}
	slept, set := moment{at("13:00:01"), time.Minute + time.Second, 2 * time.Hour}.since(start)
	equal(t, "slept", slept, time.Hour)
	equal(t, "set", set, 0)
	slept, set = moment{at("11:00:01"), time.Minute + time.Second, time.Hour}.since(start)
	equal(t, "slept", slept, 0)
	equal(t, "set", set, -time.Hour)
}

// TestSinceFollowsTheClock: since when a collector is as it is moves with the times that
// were written.
func TestSinceFollowsTheClock(t *testing.T) {
	s := testSampler(t, time.Second, &logbook{}, nil, &fake{name: "cpu"})
	step := clock.Step{Number: 3, Moves: []clock.Move{{From: at("11:00:00"), By: -8 * time.Hour}}}
	s.clock.latest = func(after uint64) []clock.Step {
		equal(t, "the step before", after, 2)
		return []clock.Step{step}
	}
	c := s.byName["cpu"]
	s.placeSince(&clock.Change{Step: 3})
	equal(t, "of one that was always so", c.since, time.Time{})
	c.since = at("12:00:00")
	s.placeSince(&clock.Change{Cause: clock.Slewed})
	equal(t, "after a step that moves nothing", c.since, at("12:00:00"))
	s.placeSince(&clock.Change{Step: 3})
	equal(t, "after a step", c.since, at("04:00:00"))
}
