package notify

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble runs a test with a fake clock.
func inBubble(t *testing.T, channels string, change func(*Config), test func(t *testing.T, n *Notifier, fakes map[string]*fake)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		fakes := map[string]*fake{}
		for name := range strings.FieldsSeq(channels) {
			fakes[name] = &fake{}
		}
		n := open(t, dir, fakes, change)
		stop := start(t, n)
		defer stop()
		test(t, n, fakes)
	})
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestEachChannelSendsOnce(t *testing.T) {
	inBubble(t, "a b", nil, func(t *testing.T, n *Notifier, fakes map[string]*fake) {
		deliver(t, n, firing("cpu"), firing("cpu"))
		pass(time.Hour)
		deliver(t, n, firing("cpu"))
		pass(time.Hour)
		want(t, "a", fakes["a"].received(), "cpu 1")
		want(t, "b", fakes["b"].received(), "cpu 1")
	})
}

func TestChosenChannels(t *testing.T) {
	inBubble(t, "a b", nil, func(t *testing.T, n *Notifier, fakes map[string]*fake) {
		one, gone := firing("one"), firing("gone")
		one.Channels, gone.Channels = []string{"b", "c"}, []string{"c"}
		deliver(t, n, one)
		pass(time.Minute)
		deliver(t, n, gone)
		pass(time.Minute)
		want(t, "a", fakes["a"].received(), "gone 1")
		want(t, "b", fakes["b"].received(), "one 1 | gone 1")
	})
}

func TestGroups(t *testing.T) {
	f := func(name, want1 string, all ...Notice) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			inBubble(t, "a", nil, func(t *testing.T, n *Notifier, fakes map[string]*fake) {
				deliver(t, n, all...)
				pass(9 * time.Second)
				want(t, "what is sent before group_wait", fakes["a"].received(), "")
				pass(time.Minute)
				want(t, "what is sent", fakes["a"].received(), want1)
			})
		})
	}
	again := firing("cpu")
	again.ID = "cpu 3"
	f("one message", "cpu 1,disk 1", firing("cpu"), firing("disk"))
	f("bad and good news apart", "cpu 1,disk 1 | swap 2", firing("cpu"), resolved("swap"), firing("disk"))
	f("no recovery before its alert", "cpu 1 | cpu 2", firing("cpu"), resolved("cpu"))
	f("no alert before its recovery", "cpu 1,disk 1 | cpu 2 | cpu 3", firing("cpu"), resolved("cpu"), again, firing("disk"))
}

// TestBackOff: the pause between attempts doubles up to five minutes; the message
// stays the same.
func TestBackOff(t *testing.T) {
	inBubble(t, "a", nil, func(t *testing.T, n *Notifier, fakes map[string]*fake) {
		begin := time.Now()
		var tries []time.Duration
		fakes["a"].answer = func(try int) error {
			tries = append(tries, time.Since(begin).Round(time.Second))
			if try <= 9 {
				return errors.New("unreachable")
			}
			return nil
		}
		deliver(t, n, firing("cpu"))
		pass(11 * time.Second)
		deliver(t, n, firing("disk"))
		want(t, "the health", n.Health().Reason, "channel a: unreachable")
		if s := n.Channels()[0]; s.Waiting != 2 || s.LastError == "" || !s.LastSuccess.IsZero() {
			t.Errorf("the channel is %+v", s)
		}
		pass(time.Hour)
		want(t, "what is sent", fakes["a"].received(), "cpu 1 | disk 1")
		want(t, "the health", n.Health().Reason, "")
		if len(tries) != 11 {
			t.Fatalf("there were %d attempts: %v", len(tries), tries)
		}
		for i := range 9 {
			least := min(5*time.Second<<i, 5*time.Minute)
			if pause := tries[i+1] - tries[i]; pause < least-time.Second || pause > least+least/10+time.Second {
				t.Errorf("the pause after attempt %d was %s, want %s and a tenth more at most", i+1, pause, least)
			}
		}
	})
}

func TestRetryAfter(t *testing.T) {
	inBubble(t, "a", nil, func(t *testing.T, n *Notifier, fakes map[string]*fake) {
		fakes["a"].answer = func(try int) error {
			if try == 1 {
				return &refusal{err: errors.New("too many"), after: 17 * time.Minute}
			}
			return nil
		}
		begin := time.Now()
		deliver(t, n, firing("cpu"))
		pass(time.Hour)
		want(t, "what is sent", fakes["a"].received(), "cpu 1")
		if late := fakes["a"].at[0].Sub(begin); late < 17*time.Minute || late > 19*time.Minute {
			t.Errorf("it was sent after %s", late)
		}
	})
}

// TestSlowChannelDelaysNoOther: one channel fails, the other sends.
func TestSlowChannelDelaysNoOther(t *testing.T) {
	inBubble(t, "a b", nil, func(t *testing.T, n *Notifier, fakes map[string]*fake) {
		fakes["a"].answer = func(int) error { return errors.New("unreachable") }
		deliver(t, n, firing("cpu"))
		pass(time.Minute)
		want(t, "b", fakes["b"].received(), "cpu 1")
	})
}

// TestFinalRefusal: a message that the receiver rejects delays the next ones for a
// limited time only.
func TestFinalRefusal(t *testing.T) {
	inBubble(t, "a", nil, func(t *testing.T, n *Notifier, fakes map[string]*fake) {
		fakes["a"].answer = func(try int) error {
			if try <= maxRefusals {
				return &refusal{err: errors.New("bad request"), final: true}
			}
			return nil
		}
		deliver(t, n, firing("cpu"))
		pass(time.Minute)
		deliver(t, n, firing("disk"))
		pass(2 * time.Hour)
		want(t, "what is sent", fakes["a"].received(), "disk 1")
		want(t, "what is dropped", n.Channels()[0].Dropped, 1)
	})
}

// TestTooOld: a notice that could not be sent for a day is dropped.
func TestTooOld(t *testing.T) {
	inBubble(t, "a", nil, func(t *testing.T, n *Notifier, fakes map[string]*fake) {
		begin := time.Now()
		fakes["a"].answer = func(int) error {
			if time.Since(begin) < 25*time.Hour {
				return errors.New("unreachable")
			}
			return nil
		}
		deliver(t, n, firing("old"))
		pass(12 * time.Hour)
		deliver(t, n, firing("new"))
		pass(14 * time.Hour)
		want(t, "what is sent", fakes["a"].received(), "new 1")
		want(t, "what is dropped", n.Channels()[0].Dropped, 1)
	})
}

// TestRateLimit: 200 alerts in 40 minutes make few messages, which contain all of
// them.
func TestRateLimit(t *testing.T) {
	inBubble(t, "a", nil, func(t *testing.T, n *Notifier, fakes map[string]*fake) {
		for i := range 200 {
			deliver(t, n, firing(fmt.Sprintf("rule%d", i)))
			pass(12 * time.Second)
		}
		pass(time.Hour)
		f := fakes["a"]
		sent := strings.Count(strings.Join(f.sent, ","), ",") + 1
		// Ten at once, then one a minute for the forty minutes.
		if sent != 200 || len(f.sent) > 55 || len(f.sent) < 45 {
			t.Errorf("%d alerts were sent in %d messages", sent, len(f.sent))
		}
	})
}

func TestMore(t *testing.T) {
	var m message
	for i := range 30 {
		n := firing([]string{"cpu", "disk"}[i/20])
		n.ID = fmt.Sprint(i)
		m.notices = append(m.notices, n)
	}
	listed, more := m.listed()
	want(t, "what is listed", len(listed), 10)
	want(t, "what is counted", more, 20)
	want(t, "the line", m.more(), "20 more: 10 FIRING cpu, 10 FIRING disk")
	want(t, "the headline", m.headline(), "30 alerts: 20 FIRING cpu, 10 FIRING disk")
}

// TestStop: notices that wait at shutdown are sent after the next start, once.
func TestStop(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		n := open(t, dir, map[string]*fake{"a": f}, nil)
		stop := start(t, n)
		deliver(t, n, firing("sent"))
		pass(time.Minute)
		deliver(t, n, firing("waits"))
		pass(time.Second)
		stop()
		n = open(t, dir, map[string]*fake{"a": f}, nil)
		want(t, "what the channel remembers", n.Channels()[0].Sent, 1)
		stop = start(t, n)
		deliver(t, n, firing("sent"))
		pass(time.Minute)
		stop()
		want(t, "what is sent", f.received(), "sent 1 | waits 1")
	})
}

// TestGoneChannel: notices for a removed channel are dropped.
func TestGoneChannel(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir, map[string]*fake{"a": {}}, nil)
	deliver(t, n, firing("cpu"))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = open(t, dir, map[string]*fake{"b": {}}, nil)
	if waiting, err := n.file.count(t.Context()); err != nil || len(waiting) > 0 {
		t.Errorf("%v waits, %v", waiting, err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNeedsAnID(t *testing.T) {
	n := open(t, t.TempDir(), nil, nil)
	defer func() { _ = n.Close() }()
	if err := n.Deliver(t.Context(), Notice{}); err == nil {
		t.Error("a notice without an id is accepted")
	}
	if err := n.Test(t.Context(), "x"); !errors.Is(err, ErrUnknownChannel) {
		t.Errorf("an unknown channel gives %v", err)
	}
}
