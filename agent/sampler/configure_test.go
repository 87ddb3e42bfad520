package sampler

import (
	"context"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sysotel/agent/clock"
	"sysotel/instruments"
)

// with is the configuration with one collector changed.
func with(c instruments.Config, name string, change func(*instruments.CollectorConfig)) instruments.Config {
	c.Collectors = maps.Clone(c.Collectors)
	f := c.Collectors[name]
	change(&f)
	c.Collectors[name] = f
	return c
}

func TestConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zero := time.Now()
		var log logbook
		f, other := &fake{name: "f"}, &fake{name: "other"}
		f.read = func(ctx context.Context, tick instruments.Tick) (instruments.Reading, error) {
			deadline, _ := ctx.Deadline()
			return number(time.Until(deadline).Seconds()), nil
		}
		s := testSampler(t, time.Second, &log, nil, f, other)
		c := settings(f, other)
		start(t, s)
		pass(1500 * time.Millisecond)
		equal(t, "configurations before any", f.configurations(), 0)

		s.Configure(with(c, "f", func(f *instruments.CollectorConfig) { f.Enabled = false }))
		pass(2 * time.Second)
		if r, _ := s.Newest("f"); r != nil {
			t.Errorf("switched off, it has the reading %v", r)
		}
		equal(t, "configurations", f.configurations(), 1)

		s.Configure(with(c, "f", func(f *instruments.CollectorConfig) { f.Timeout = 250 * time.Millisecond }))
		pass(time.Second)
		if r, _ := s.Newest("f"); r != number(0.25) {
			t.Errorf("the time limit is %v s, want 0.25", r)
		}
		s.Configure(with(c, "f", func(f *instruments.CollectorConfig) { f.Interval = 5 * time.Second }))
		pass(7 * time.Second)
		equalInts(t, "reads", secondsOf(f.seen(), zero), 0, 1, 4, 5, 10)
		equalInts(t, "the other's", secondsOf(other.seen(), zero), upTo(11)...)
		equal(t, "configurations", f.configurations(), 3)
		log.want(t, 0, "")
	})
}

// TestConfigureAHungCollector: switched off it costs nothing any more, and what
// concerns its own reading waits until it is back.
func TestConfigureAHungCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		release := make(chan struct{})
		dead := &fake{name: "dead", read: func(_ context.Context, tick instruments.Tick) (instruments.Reading, error) {
			if tick.Seq == 1 {
				<-release
			}
			return number(tick.Seq), nil
		}}
		s := testSampler(t, time.Second, &log, nil, dead)
		c := settings(dead)
		start(t, s)
		pass(2500 * time.Millisecond)
		failures := stateOf(s, "dead").failures

		s.Configure(with(c, "dead", func(f *instruments.CollectorConfig) { f.Enabled = false }))
		pass(3 * time.Second)
		equal(t, "failures since it is off", stateOf(s, "dead").failures, failures)
		s.Configure(with(c, "dead", func(f *instruments.CollectorConfig) { f.Interval = 2 * time.Second }))
		pass(3 * time.Second)
		equal(t, "reads while it hangs", len(dead.seen()), 1)
		equal(t, "configurations while it hangs", dead.configurations(), 0)

		close(release)
		pass(4 * time.Second)
		equal(t, "configurations", dead.configurations(), 1)
		equal(t, "reads", len(dead.seen()), 3)
		if r, _ := s.Newest("dead"); r == nil {
			t.Error("no reading after it is back")
		}
	})
}

// testClock is a wall clock that can be set and a machine that can sleep.
type testClock struct{ by, slept atomic.Int64 }

func (c *testClock) set(by time.Duration)  { c.by.Store(int64(by)) }
func (c *testClock) sleep(d time.Duration) { c.slept.Store(int64(d)) }

// steer gives the sampler a clock of the test's own.
func steer(s *Sampler) *testClock {
	c, born := &testClock{}, time.Now()
	awake := func() time.Duration { return time.Since(born) }
	asleep := func() time.Duration { return time.Duration(c.slept.Load()) }
	judge := clock.New(clock.Options{
		Wall: func() time.Time { return time.Now().Add(time.Duration(c.by.Load() + c.slept.Load())) },
		Boot: func() time.Duration { return awake() + asleep() }, Synced: func() bool { return true },
	})
	s.clock = source{now: judge.Now, observe: judge.Observe, latest: judge.Steps, awake: awake, asleep: asleep}
	return c
}

func TestRunWithAClockThatMoves(t *testing.T) {
	const hour = 3600
	for _, c := range []struct {
		name   string
		move   func(*testClock)
		before []int // Ticks within 2.5 s.
		after  []int // Ticks in the 2.9 s after the move at 2.5 s.
		cause  string
		missed uint64
	}{
		{"nothing", func(*testClock) {}, upTo(2), []int{3, 4, 5}, "", 0},
		{"an hour forward", func(c *testClock) { c.set(hour * time.Second) }, upTo(2), []int{hour + 3, hour + 4, hour + 5}, causeClock, hour},
		{"an hour back", func(c *testClock) { c.set(-hour * time.Second) }, upTo(2), []int{3 - hour, 4 - hour, 5 - hour}, causeClock, 0},
		{"suspend of an hour", func(c *testClock) { c.sleep(hour * time.Second) }, upTo(2), []int{hour + 3, hour + 4, hour + 5}, causeSuspend, hour},
		{"back by 1.5 s", func(c *testClock) { c.set(-1500 * time.Millisecond) }, upTo(2), []int{3, 4, 5}, "", 0},
		{"forward by 0.5 s", func(c *testClock) { c.set(500 * time.Millisecond) }, upTo(2), []int{3, 4, 5}, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				zero := time.Now()
				var log logbook
				f := &fake{name: "f"}
				s := testSampler(t, time.Second, &log, nil, f)
				clock := steer(s)
				start(t, s)
				pass(2500 * time.Millisecond)
				equalInts(t, "before", secondsOf(f.seen(), zero), c.before...)
				c.move(clock)
				pass(2900 * time.Millisecond)
				equalInts(t, "after", secondsOf(f.seen(), zero)[len(c.before):], c.after...)
				seen := f.seen()
				for i := 1; i < len(seen); i++ {
					if seen[i].Equal(seen[i-1]) {
						t.Errorf("the second %s is read twice", seen[i])
					}
				}
				for _, cause := range []string{causeSuspend, causeClock, causeOverload, causeTimeout, causeError} {
					want := uint64(0)
					if cause == c.cause {
						want = c.missed
					}
					equal(t, "gaps by "+cause, gaps(s, cause), want)
				}
				steps, missed := 0, 0
				if c.cause == causeClock {
					steps = 1
				}
				if c.missed > 0 {
					missed = 1
				}
				log.want(t, steps, "event=clock_step")
				log.want(t, missed, "event=gap", "cause="+c.cause)
				log.want(t, steps+missed, "")
			})
		})
	}
}

// TestOverload: a tick that takes longer than its interval leaves a gap with
// its cause, and no second is read twice.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zero := time.Now()
		var log logbook
		f := &fake{name: "f", read: func(_ context.Context, tick instruments.Tick) (instruments.Reading, error) {
			switch tick.Seq {
			case 3:
				time.Sleep(3300 * time.Millisecond)
			case 5:
				time.Sleep(1400 * time.Millisecond)
			}
			return number(tick.Seq), nil
		}}
		s := testSampler(t, time.Second, &log, func(c instruments.Config) {
			c.Collectors["f"] = instruments.CollectorConfig{Enabled: true, Timeout: time.Minute}
		}, f)
		start(t, s)
		pass(10500 * time.Millisecond)
		equalInts(t, "ticks", secondsOf(f.seen(), zero), 0, 1, 2, 5, 6, 7, 8, 9, 10)
		equal(t, "gaps", gaps(s, causeOverload), 2)
		log.want(t, 1, "event=gap", "cause=overload", "missed=2", "from=2000-01-01T00:00:03.000Z", "to=2000-01-01T00:00:04.000Z")
		log.want(t, 1, "")
	})
}

func TestLongIntervals(t *testing.T) {
	for _, interval := range []time.Duration{7 * time.Second, time.Minute} {
		t.Run(interval.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(2200 * time.Millisecond)
				began := time.Now()
				var log logbook
				f := &fake{name: "f"}
				s := testSampler(t, interval, &log, nil, f)
				clock := steer(s)
				start(t, s)
				pass(3 * interval)
				seen := f.seen()
				equal(t, "ticks", len(seen), 4)
				equal(t, "the first", seen[0], began.Truncate(time.Second).UTC())
				for _, at := range seen[1:] {
					equal(t, "distance from the whole interval", at.Unix()%int64(interval/time.Second), 0)
				}
				// Set back to the second of the newest tick, which is not read again.
				clock.set(seen[3].Sub(time.Now().Truncate(time.Second)))
				pass(2 * interval)
				seen = f.seen()
				for i := 1; i < len(seen); i++ {
					if !seen[i].After(seen[i-1]) {
						t.Errorf("%s is read after %s", seen[i], seen[i-1])
					}
				}
			})
		})
	}
}
