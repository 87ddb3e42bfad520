package notify

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"sysotel/agent/clock"
)

// TestStep: a clock that is wrong and set right drops no notice as too old, keeps none
// back, and does not make it seem that a channel works or fails at another time.
func TestStep(t *testing.T) {
	const day = 24 * time.Hour
	for _, by := range []time.Duration{time.Hour, day, 25 * time.Hour, 365 * day, -time.Hour, -25 * time.Hour, -365 * day} {
		t.Run(by.String(), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				began, wrong := time.Now(), by
				judge := clock.New(clock.Options{
					Wall: func() time.Time { return time.Now().Add(wrong) }, Synced: func() bool { return true },
					Boot: func() time.Duration { return time.Hour + time.Since(began) },
				})
				f := &fake{answer: func(int) error { return errors.New("it is away") }}
				n := openAt(t, dir, judge, map[string]*fake{"a": f}, nil)
				stop := start(t, n)
				defer stop()
				told := func(rule string) Notice {
					one := firing(rule)
					one.Since, one.At = judge.Now(), judge.Now()
					return one
				}
				deliver(t, n, told("cpu"))
				pass(time.Hour)
				right := time.Now()
				wrong = 0
				if judge.Observe() == nil {
					t.Fatal("there is no step")
				}
				deliver(t, n, told("memory"))
				pass(10 * time.Minute)
				s := n.Channels()[0]
				if s.Waiting != 2 || s.Dropped != 0 || s.LastErrorAt.After(time.Now()) || s.LastErrorAt.Before(right) {
					t.Errorf("the channel is %+v, want two waiting and an error since %s", s, right)
				}
				all, err := n.file.waitingFor(t.Context(), "a")
				if err != nil || len(all) != 2 {
					t.Fatalf("%d wait: %v", len(all), err)
				}
				since := began
				if by < 0 {
					since = began.Add(by) // The history stays.
				}
				want(t, "the first one's age", time.Since(all[0].time), 70*time.Minute)
				want(t, "the second one's age", time.Since(all[1].time), 10*time.Minute)
				want(t, "the first one's begin", all[0].notice.Since.UTC(), since.UTC())
				active, err := n.file.active(t.Context())
				if err != nil || len(active) != 2 {
					t.Fatalf("%d are active: %v", len(active), err)
				}
				want(t, "the active one's begin", active[0].Since.UTC(), since.UTC())

				// What can be sent is sent at once, and does not hide a later failure.
				f.mu.Lock()
				f.answer = nil
				f.mu.Unlock()
				pass(lastRetry + lastRetry/5)
				want(t, "what is sent", f.received(), "cpu 1 | memory 1")
				deliver(t, n, told("disk"))
				pass(30 * time.Second)
				want(t, "what is sent", f.received(), "cpu 1 | memory 1 | disk 1")

				// What is too old by true time is dropped.
				f.mu.Lock()
				f.answer = func(int) error { return errors.New("it is away") }
				f.mu.Unlock()
				deliver(t, n, told("network"))
				pass(maxAge + 2*lastRetry)
				want(t, "what is dropped", n.Channels()[0].Dropped, 1)
			})
		})
	}
}

// TestStepHidesNoError: the time of a success by a clock that was ahead does not hide an
// error after it was set right, after a restart neither.
func TestStepHidesNoError(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		began, wrong := time.Now(), 24*time.Hour
		judge := clock.New(clock.Options{
			Wall: func() time.Time { return time.Now().Add(wrong) }, Synced: func() bool { return true },
			Boot: func() time.Duration { return time.Hour + time.Since(began) },
		})
		f := &fake{}
		n := openAt(t, dir, judge, map[string]*fake{"a": f}, nil)
		stop := start(t, n)
		deliver(t, n, firing("cpu"))
		pass(time.Minute)
		stop()
		wrong = 0
		judge.Observe()
		n = openAt(t, dir, judge, map[string]*fake{"a": f}, nil)
		want(t, "the last success", time.Since(n.Channels()[0].LastSuccess), 50*time.Second)
		f.answer = func(int) error { return errors.New("it is away") }
		defer start(t, n)()
		deliver(t, n, firing("memory"))
		pass(time.Minute)
		want(t, "the error", n.Channels()[0].LastError, "it is away")
	})
}

// TestAheadAtBoot: a clock that is far ahead at the start of a boot drops no notice.
func TestAheadAtBoot(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "clock.json")
	synctest.Test(t, func(t *testing.T) {
		for boot, ahead := range []time.Duration{0, 365 * 24 * time.Hour} {
			began := time.Now()
			judge := clock.New(clock.Options{
				File: file, BootID: fmt.Sprint("boot ", boot), Synced: func() bool { return false },
				Wall: func() time.Time { return time.Now().Add(ahead) },
				Boot: func() time.Duration { return time.Minute + time.Since(began) },
			})
			judge.Floor(time.Time{}) // Nothing is stored.
			judge.Observe()
			f := &fake{answer: func(int) error { return errors.New("it is away") }}
			n := openAt(t, dir, judge, map[string]*fake{"a": f}, nil)
			stop := start(t, n)
			notice := firing(fmt.Sprint("rule ", boot))
			notice.Since, notice.At = judge.Now(), judge.Now()
			deliver(t, n, notice)
			pass(time.Hour)
			if s := n.Channels()[0]; s.Waiting != boot+1 || s.Dropped != 0 {
				t.Errorf("boot %d: the channel is %+v", boot, s)
			}
			stop()
			if err := errors.Join(n.Close(), judge.Close()); err != nil {
				t.Error(err)
			}
		}
	})
}
