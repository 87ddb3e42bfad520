package sampler

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sysotel/instruments"
)

// testSampler is a sampler over fake collectors, to be used inside a bubble.
func testSampler(t *testing.T, interval time.Duration, log *logbook, change func(instruments.Config), collectors ...*fake) *Sampler {
	t.Helper()
	var list []instruments.Collector
	for _, f := range collectors {
		list = append(list, f)
	}
	c := settings(list...)
	if change != nil {
		change(c)
	}
	s := New(Options{Host: emptyHost(t), Collectors: list, Measured: c, Interval: interval, Log: log.logger()})
	s.clock.asleep = func() time.Duration { return 0 }
	return s
}

// start has the sampler tick until the end of the test, without the events of start
// and stop; stop ends it before.
func start(t *testing.T, s *Sampler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.tick(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// pass lets time go by in the bubble and waits until nothing moves any more.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// account is the state of a collector.
type account struct {
	failures, retries uint64
	ok                bool
}

// stateOf returns the state of a collector.
func stateOf(s *Sampler, name string) (now account) {
	f := s.byName[name]
	f.mu.Lock()
	defer f.mu.Unlock()
	now.failures, now.retries, now.ok = f.failures, f.retries, f.ok
	return now
}

// gaps counts the gaps of one cause.
func gaps(s *Sampler, cause string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gaps[cause]
}

// secondsOf writes times as their distance from the first whole second of the bubble.
func secondsOf(times []time.Time, zero time.Time) (n []int) {
	for _, t := range times {
		n = append(n, int(t.Sub(zero)/time.Second))
	}
	return n
}

func equalInts(t *testing.T, what string, got []int, want ...int) {
	t.Helper()
	same := len(got) == len(want)
	for i := 0; same && i < len(got); i++ {
		same = got[i] == want[i]
	}
	if !same {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// upTo is 0, 1, ... n.
func upTo(n int) (list []int) {
	for i := range n + 1 {
		list = append(list, i)
	}
	return list
}

func TestTicksFallOnWholeSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zero := time.Now().Truncate(time.Second)
		time.Sleep(300 * time.Millisecond)
		var log logbook
		fast, slow := &fake{name: "fast"}, &fake{name: "slow"}
		var late atomic.Int64
		fast.read = func(_ context.Context, tick instruments.Tick) (instruments.Reading, error) {
			if tick.Seq > 1 {
				late.Store(max(late.Load(), int64(time.Since(tick.Time))))
			}
			equal(t, "interval", tick.Interval, time.Second)
			return number(tick.Seq), nil
		}
		slow.read = func(_ context.Context, tick instruments.Tick) (instruments.Reading, error) {
			equal(t, "interval", tick.Interval, 10*time.Second)
			return number(tick.Seq), nil
		}
		s := testSampler(t, time.Second, &log, func(c instruments.Config) {
			f := c.Collectors["slow"]
			f.Interval = 10 * time.Second
			c.Collectors["slow"] = f
		}, fast, slow)
		// Many who ask do not make it read more often.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 5 {
			go func() {
				for {
					_, _, next := s.Tick()
					select {
					case <-ctx.Done():
						return
					case <-next:
						s.Newest("fast")
						s.Newest("slow")
					}
				}
			}()
		}
		start(t, s)
		pass(25 * time.Second)
		equalInts(t, "fast", secondsOf(fast.seen(), zero), upTo(25)...)
		equalInts(t, "slow", secondsOf(slow.seen(), zero), 0, 10, 20)
		equal(t, "delay of a tick", late.Load(), 0)
		seq, at, _ := s.Tick()
		equal(t, "seq", seq, 26)
		equal(t, "time", at, zero.Add(25*time.Second).UTC())
		reading, at := s.Newest("slow")
		equal(t, "the slow collector's reading", reading, instruments.Reading(number(21)))
		equal(t, "its time", at, zero.Add(20*time.Second).UTC())
		log.want(t, 0, "level=WARN")
	})
}

// workers counts the goroutines that read collectors, abandoned ones included.
func workers() int {
	text := make([]byte, 1<<20)
	return strings.Count(string(text[:runtime.Stack(text, true)]), "(*worker).loop(")
}

// TestHungCollector is a dead NFS mount: it costs its own numbers and one goroutine.
func TestHungCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zero := time.Now()
		var log logbook
		release := make(chan struct{})
		var inside atomic.Int64
		before, dead, behind := &fake{name: "before"}, &fake{name: "dead"}, &fake{name: "behind"}
		dead.read = func(_ context.Context, tick instruments.Tick) (instruments.Reading, error) {
			if inside.Add(1) != 1 {
				t.Error("the collector is read twice at once")
			}
			defer inside.Add(-1)
			if tick.Seq == 4 {
				<-release // It does not look at its context, as statfs(2) does not.
			}
			return number(tick.Seq), nil
		}
		s := testSampler(t, time.Second, &log, nil, before, dead, behind)
		start(t, s)
		pass(2700 * time.Millisecond)
		equal(t, "workers", workers(), 1)
		if r, _ := s.Newest("dead"); r == nil {
			t.Error("it gave no reading while it was well")
		}
		for range 30 {
			pass(time.Second)
			equal(t, "workers", workers(), 2)
			if r, _ := s.Newest("dead"); r != nil {
				t.Error("a hung collector has a reading")
			}
			_, at := s.Newest("behind")
			equal(t, "the others' newest", at, time.Now().Truncate(time.Second).UTC())
		}
		equalInts(t, "before", secondsOf(before.seen(), zero), upTo(32)...)
		equalInts(t, "behind", secondsOf(behind.seen(), zero), upTo(32)...)
		equalInts(t, "dead", secondsOf(dead.seen(), zero), 0, 1, 2, 3)
		log.want(t, 1, "event=gap", "collector=dead", "cause=timeout", "did not answer within 500ms")
		equal(t, "failures", stateOf(s, "dead").failures, 30)
		equal(t, "gaps", gaps(s, causeTimeout), 30)

		close(release)
		pass(time.Second)
		if _, at := s.Newest("dead"); !at.Equal(time.Now().Truncate(time.Second)) {
			t.Errorf("it is back, but its newest reading is of %s", at)
		}
		equal(t, "workers", workers(), 1)
		log.want(t, 1, "collector recovered", "collector=dead")
		log.want(t, 2, "collector=dead")
		log.want(t, 0, "overload")
	})
}

// TestEveryCollectorHangs: each holds its goroutine, and the ticks go on.
func TestEveryCollectorHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		release := make(chan struct{})
		hang := func(context.Context, instruments.Tick) (instruments.Reading, error) {
			<-release
			return number(1), nil
		}
		s := testSampler(t, time.Second, &log, nil, &fake{name: "a", read: hang}, &fake{name: "b", read: hang}, &fake{name: "c", read: hang})
		start(t, s)
		pass(10500 * time.Millisecond)
		seq, _, _ := s.Tick()
		if seq < 8 {
			t.Errorf("only %d ticks in ten seconds", seq)
		}
		log.want(t, 3, "event=gap", "cause=timeout")
		close(release)
		pass(2 * time.Second)
		for _, name := range []string{"a", "b", "c"} {
			if r, _ := s.Newest(name); r == nil {
				t.Errorf("%s is not back", name)
			}
		}
	})
}

// TestStopWhileACollectorHangs: the agent's end does not wait for a dead server.
func TestStopWhileACollectorHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		release := make(chan struct{})
		dead := &fake{name: "dead", read: func(context.Context, instruments.Tick) (instruments.Reading, error) {
			<-release
			return number(1), nil
		}}
		s := testSampler(t, time.Second, &log, func(c instruments.Config) {
			c.Collectors["dead"] = instruments.CollectorConfig{Enabled: true, Timeout: time.Minute}
		}, dead)
		stop := start(t, s)
		pass(100 * time.Millisecond)
		began := time.Now()
		stop()
		equal(t, "time to stop", time.Since(began), 0)
		log.want(t, 0, "")
		close(release)
	})
}

// TestSlowCollectorThatKeepsItsTimeout: its worker is not abandoned, it is only late.
func TestSlowCollectorThatKeepsItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		slow := &fake{name: "slow", read: func(ctx context.Context, _ instruments.Tick) (instruments.Reading, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		s := testSampler(t, time.Second, &log, nil, slow)
		start(t, s)
		pass(4700 * time.Millisecond)
		equal(t, "gaps by timeout", gaps(s, causeTimeout), 5)
		equal(t, "gaps by error", gaps(s, causeError), 0)
		equal(t, "reads", len(slow.seen()), 5)
		equal(t, "retries", stateOf(s, "slow").retries, 0)
		log.want(t, 1, "event=gap", "cause=timeout")
	})
}

func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		reads := 0
		f := &fake{name: "f", read: func(_ context.Context, tick instruments.Tick) (instruments.Reading, error) {
			if reads++; reads%2 == 1 {
				return nil, errors.New("for a moment")
			}
			return number(tick.Seq), nil
		}}
		s := testSampler(t, time.Second, &log, nil, f)
		start(t, s)
		pass(2500 * time.Millisecond)
		if r, _ := s.Newest("f"); r != number(3) {
			t.Errorf("the newest reading is %v", r)
		}
		equal(t, "retries", stateOf(s, "f").retries, 3)
		equal(t, "failures", stateOf(s, "f").failures, 0)
		log.want(t, 0, "")
	})
}

func TestFailure(t *testing.T) {
	for _, c := range []struct{ name, says string }{{"error", "no such file"}, {"panic", "panic: "}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logbook
				bad, good := &fake{name: "bad"}, &fake{name: "good"}
				bad.read = func(_ context.Context, tick instruments.Tick) (instruments.Reading, error) {
					switch {
					case tick.Seq < 3 || tick.Seq > 6:
						return number(tick.Seq), nil
					case c.name == "panic":
						var none []int
						return number(none[tick.Seq]), nil
					}
					return nil, errors.New("no such file")
				}
				s := testSampler(t, time.Second, &log, nil, bad, good)
				start(t, s)
				pass(1500 * time.Millisecond)
				if r, _ := s.Newest("bad"); r == nil {
					t.Error("no reading before it failed")
				}
				for i := range 4 {
					pass(time.Second)
					if r, _ := s.Newest("bad"); r != nil {
						t.Errorf("failed, and the newest reading is %v", r)
					}
					equal(t, "failures", stateOf(s, "bad").failures, uint64(i+1))
				}
				equal(t, "retries", stateOf(s, "bad").retries, 4)
				equal(t, "gaps", gaps(s, causeError), 4)
				log.want(t, 1, "event=gap", "collector=bad", "cause=error", c.says)
				log.want(t, 1, "")
				pass(3 * time.Second)
				if r, _ := s.Newest("bad"); r == nil {
					t.Error("it is back without a reading")
				}
				log.want(t, 1, "collector recovered", "collector=bad")
				log.want(t, 2, "")
				equal(t, "the other's reads", len(good.seen()), 9)
			})
		})
	}
}

func TestUnsupportedIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		f := &fake{name: "f", read: func(context.Context, instruments.Tick) (instruments.Reading, error) {
			return nil, errors.Join(errors.New("no file"), instruments.ErrUnsupported)
		}}
		s := testSampler(t, time.Second, &log, nil, f)
		start(t, s)
		pass(3500 * time.Millisecond)
		if r, _ := s.Newest("f"); r != nil {
			t.Errorf("reading %v", r)
		}
		equal(t, "reads", len(f.seen()), 4)
		equal(t, "failures", stateOf(s, "f").failures, 0)
		equal(t, "ok", stateOf(s, "f").ok, true)
		log.want(t, 0, "")
	})
}
