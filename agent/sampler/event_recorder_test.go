package sampler

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sysotel/agent/records"
	"sysotel/instruments"
)

// notebook keeps what is handed to the records in memory.
type notebook struct {
	mu       sync.Mutex
	events   []records.Event
	readings []records.ProcessReading
	newest   time.Time
	broken   error
}

var (
	_ Records = (*notebook)(nil)
	_ Records = (*records.Records)(nil)
)

func (n *notebook) AddProcesses(r records.ProcessReading) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r.Rows = slices.Clone(r.Rows)
	n.readings = append(n.readings, r)
	n.newest = r.Time
}

func (n *notebook) AddEvent(e records.Event) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	e.ID = int64(len(n.events) + 1)
	n.events = append(n.events, e)
	return nil
}

func (n *notebook) Events(_ context.Context, q records.EventQuery) (*records.EventPage, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	page := &records.EventPage{}
	for _, e := range n.events {
		if slices.Contains(q.Kinds, e.Kind) && !e.Time.Before(q.Start) && e.Time.Before(q.End) {
			page.Events = append(page.Events, e)
		}
	}
	slices.SortStableFunc(page.Events, func(a, b records.Event) int { return b.Time.Compare(a.Time) })
	return page, n.broken
}

func (n *notebook) Newest() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.newest
}

// of are the events of some kinds.
func (n *notebook) of(kinds ...records.Kind) (found []records.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if slices.Contains(kinds, e.Kind) {
			found = append(found, e)
		}
	}
	return found
}

// one is the only event, which must be of a kind.
func (n *notebook) one(t *testing.T, kind records.Kind) records.Event {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.events) != 1 || n.events[0].Kind != kind {
		t.Fatalf("events %+v, want one %s", n.events, kind)
	}
	return n.events[0]
}

// recorded is a sampler that records events in a notebook.
func recorded(t *testing.T, log *logbook, collectors ...*fake) (*Sampler, *notebook) {
	t.Helper()
	s, n := testSampler(t, time.Second, log, nil, collectors...), &notebook{}
	s.events = newEventRecorder(Options{Interval: time.Second, Host: s.host, HostName: "host-1", Version: "1.2.3", Records: n, Log: log.logger()})
	return s, n
}

// TestClockEvents: a suspend, a step of the clock and a tick that took too long are
// one event each.
func TestClockEvents(t *testing.T) {
	const hour = 3600
	for _, c := range []struct {
		name     string
		move     func(*testClock)
		kind     records.Kind
		from, to float64 // Seconds since the test began.
		detail   map[string]string
	}{
		{"suspend of an hour", func(c *testClock) { c.sleep(time.Hour) }, records.Suspend, 2, hour + 3, map[string]string{"missed": "3600", "slept_seconds": "3600.000"}},
		{"an hour forward", func(c *testClock) { c.set(time.Hour) }, records.ClockStep, 3, hour + 3, map[string]string{"missed": "3600", "step_seconds": "3600.000"}},
		{"an hour back", func(c *testClock) { c.set(-time.Hour) }, records.ClockStep, 3, 3 - hour, map[string]string{"missed": "0", "step_seconds": "-3600.000"}},
		{"a year forward", func(c *testClock) { c.set(365 * 24 * time.Hour) }, records.ClockStep, 3, 365*24*hour + 3, map[string]string{"missed": "31536000", "step_seconds": "31536000.000"}},
		{"forward by 0.5 s", func(c *testClock) { c.set(500 * time.Millisecond) }, "", 0, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				zero := time.Now()
				var log logbook
				s, n := recorded(t, &log, &fake{name: "f"})
				clock := steer(s)
				start(t, s)
				pass(2500 * time.Millisecond)
				c.move(clock)
				pass(5 * time.Second)
				if c.kind == "" {
					equal(t, "events", len(n.events), 0)
					return
				}
				e := n.one(t, c.kind)
				// The sampler looks at least every second, so it sees what happened
				// within that.
				near := func(what string, got time.Time, want float64) {
					t.Helper()
					if d := got.Sub(zero).Seconds() - want; d < -0.01 || d > 1.01 {
						t.Errorf("%s is %s, %.3f s from what is wanted", what, got, d)
					}
				}
				near("from", e.From, c.from)
				near("to", e.To, c.to)
				near("time", e.Time, c.to)
				for k, v := range c.detail {
					equal(t, k, e.Detail[k], v)
				}
			})
		})
	}
}

// TestSuspendWhileTheClockIsSet is two things at once, and two events.
func TestSuspendWhileTheClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		s, n := recorded(t, &log, &fake{name: "f"})
		clock := steer(s)
		start(t, s)
		pass(2500 * time.Millisecond)
		clock.sleep(time.Hour)
		clock.set(time.Minute)
		pass(5 * time.Second)
		equal(t, "suspends", len(n.of(records.Suspend)), 1)
		equal(t, "steps", len(n.of(records.ClockStep)), 1)
		equal(t, "events", len(n.events), 2)
	})
}

func TestOverloadEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zero := time.Now().UTC()
		var log logbook
		f := &fake{name: "f"}
		f.read = func(_ context.Context, tick instruments.Tick) (instruments.Reading, error) {
			return number(tick.Seq), nil
		}
		s, n := recorded(t, &log, f)
		s.AfterTick = func(context.Context) error {
			if _, at, _ := s.Tick(); at.Equal(zero.Add(2 * time.Second)) {
				time.Sleep(3500 * time.Millisecond)
			}
			return nil
		}
		start(t, s)
		pass(10 * time.Second)
		e := n.one(t, records.Gap)
		equal(t, "cause", e.Cause, causeOverload)
		equal(t, "missed", e.Detail["missed"], "2")
		equal(t, "from", e.From, zero.Add(3*time.Second))
		equal(t, "to", e.To, zero.Add(5*time.Second))
	})
}

// TestCollectorGapEvents: one event when a collector fails, one when it recovers, however
// many ticks lie between.
func TestCollectorGapEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zero := time.Now().UTC()
		var log logbook
		bad := &fake{name: "bad", read: func(_ context.Context, tick instruments.Tick) (instruments.Reading, error) {
			if tick.Seq >= 3 && tick.Seq <= 6 {
				return nil, errors.New("no such file")
			}
			return number(tick.Seq), nil
		}}
		s, n := recorded(t, &log, bad, &fake{name: "good"})
		start(t, s)
		pass(4500 * time.Millisecond)
		e := n.one(t, records.Gap)
		equal(t, "cause", e.Cause, causeError)
		equal(t, "subject", e.Subject, "bad")
		equal(t, "from", e.From, zero.Add(2*time.Second))
		equal(t, "to", e.To, time.Time{})
		equal(t, "state", e.Detail["state"], "began")
		equal(t, "reason", e.Detail["reason"], "no such file")
		pass(5 * time.Second)
		equal(t, "events", len(n.events), 2)
		if len(n.events) < 2 {
			return
		}
		e = n.events[1]
		equal(t, "cause at the end", e.Cause, causeError)
		equal(t, "from at the end", e.From, zero.Add(2*time.Second))
		equal(t, "to at the end", e.To, zero.Add(6*time.Second))
		equal(t, "state at the end", e.Detail["state"], "ended")
	})
}

// bootedHost is a machine that was booted at a moment.
func bootedHost(t *testing.T, id string, boot time.Time) *instruments.Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"proc/stat":                      "cpu 1 1 1 1\ncpu0 1 1 1 1\nbtime " + strconv.FormatInt(boot.Unix(), 10) + "\n",
		"proc/sys/kernel/random/boot_id": id + "\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return instruments.NewHost(root)
}

func TestStartAndReboot(t *testing.T) {
	boot := at("12:00:00")
	ran := func(id string, from time.Time, stop bool) []records.Event {
		events := []records.Event{{ID: 1, Time: from, Kind: records.Start, Detail: map[string]string{"boot_id": id}}}
		if stop {
			events = append(events, records.Event{ID: 2, Time: from.Add(time.Minute), Kind: records.Stop})
		}
		return events
	}
	for _, c := range []struct {
		name               string
		before             []records.Event
		newest             time.Time
		id                 string
		reboot             bool
		cause, agent, prev string
		from               time.Time
	}{
		{"the first start", nil, time.Time{}, "b", false, "", "", "none", time.Time{}},
		{"stopped, same boot", ran("b", at("13:00:00"), true), at("13:00:59"), "b", false, "", "", "stopped", at("13:01:00")},
		{"killed, same boot", ran("b", at("13:00:00"), false), at("13:05:00"), "b", false, "", "", "no clean stop", at("13:05:00")},
		{"stopped, then a reboot", ran("a", at("11:00:00"), true), at("11:00:59"), "b", true, "agent_stopped_before", "stopped before", "stopped", at("11:01:00")},
		{"running until a reboot", ran("a", at("11:00:00"), false), at("11:30:00"), "b", true, "unknown", "no clean stop", "no clean stop", at("11:30:00")},
		{"no boot id, booted since", ran("", at("11:00:00"), false), at("11:30:00"), "", true, "unknown", "no clean stop", "no clean stop", at("11:30:00")},
		{"no boot id, not booted since", ran("", at("13:00:00"), false), at("13:30:00"), "", false, "", "", "no clean stop", at("13:30:00")},
		{"the clock was set back since", ran("a", at("19:00:00"), true), at("19:00:59"), "b", true, "agent_stopped_before", "stopped before", "stopped", time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log logbook
			n := &notebook{events: c.before, newest: c.newest}
			recorder := newEventRecorder(Options{Interval: time.Second, Host: bootedHost(t, c.id, boot), HostName: "host-1", Version: "1.2.3", Records: n, Log: log.logger()})
			now := at("14:00:00")
			recorder.start(t.Context(), now)
			var reboots int
			for _, e := range n.of(records.Reboot) {
				reboots++
				equal(t, "time of the reboot", e.Time.UTC(), boot)
				equal(t, "cause", e.Cause, c.cause)
				equal(t, "the agent", e.Detail["agent"], c.agent)
				equal(t, "from", e.From, c.from)
				if e.Detail["evidence"] == "" {
					t.Error("nothing says how it is known")
				}
			}
			want := 0
			if c.reboot {
				want = 1
			}
			equal(t, "reboots", reboots, want)
			starts := n.of(records.Start)
			e := starts[len(starts)-1]
			equal(t, "new events", len(n.events)-len(c.before), want+1)
			equal(t, "previous", e.Detail["previous"], c.prev)
			equal(t, "version", e.Detail["version"], "1.2.3")
			equal(t, "boot id", e.Detail["boot_id"], c.id)
			equal(t, "down since", e.From, c.from)
		})
	}
}

// TestStartWithoutAPast: a start is recorded even if the records cannot be read.
func TestStartWithoutAPast(t *testing.T) {
	var log logbook
	n := &notebook{broken: errors.New("the disk is gone")}
	newEventRecorder(Options{Interval: time.Second, Host: emptyHost(t), Records: n, Log: log.logger()}).start(t.Context(), at("14:00:00"))
	equal(t, "previous", n.one(t, records.Start).Detail["previous"], "unknown")
	log.want(t, 1, "the disk is gone")
}

// TestStartAndStopAreRecorded once each, also when it is closed twice, and nothing
// where it never ran.
func TestStartAndStopAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		n := &notebook{}
		o := Options{Host: emptyHost(t), Interval: time.Second, Records: n, Log: log.logger()}
		for _, run := range []bool{false, true, true} {
			s := New(o)
			s.clock.asleep = func() time.Duration { return 0 }
			if run {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- s.Run(ctx) }()
				pass(1500 * time.Millisecond)
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			for range 2 {
				if err := s.Close(); err != nil { // The second one has nothing to do.
					t.Error(err)
				}
			}
		}
		var kinds []records.Kind
		for _, e := range n.of(records.Start, records.Stop, records.Reboot) {
			kinds = append(kinds, e.Kind)
		}
		if want := []records.Kind{records.Start, records.Stop, records.Start, records.Stop}; !slices.Equal(kinds, want) {
			t.Errorf("%v, want %v", kinds, want)
		}
		equal(t, "previous", n.of(records.Start)[1].Detail["previous"], "stopped")
	})
}
