package queue

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"sysotel/agent/clock"
)

// settable is a clock that is wrong and is set right.
type settable struct {
	*clock.Judge
	options    clock.Options
	passed, by time.Duration
}

func newSettable(dir string, by time.Duration) *settable {
	s := &settable{by: by}
	s.options = clock.Options{
		File: filepath.Join(dir, "clock.json"), BootID: "one", Synced: func() bool { return true },
		Wall: func() time.Time { return epoch.Add(s.passed + s.by) }, Boot: func() time.Duration { return time.Hour + s.passed },
	}
	s.Judge = clock.New(s.options)
	s.Floor(time.Time{}) // Nothing is stored.
	return s
}

// TestStep: when a clock that was wrong is set right, waiting requests keep their age,
// and marks are where the data is that they are about; the agent may be restarted.
func TestStep(t *testing.T) {
	const day = 24 * time.Hour
	const requests = recent + 20 // Some are on disk only.
	for _, by := range []time.Duration{time.Hour, day, 25 * time.Hour, 365 * day, -time.Hour, -25 * time.Hour, -365 * day} {
		for what, reopened := range map[string]bool{"running": false, "restarted": true} {
			t.Run(by.String()+" "+what, func(t *testing.T) {
				dir := t.TempDir()
				c := newSettable(dir, by)
				o := options(dir)
				o.Clock = c.Judge
				q := open(t, o)
				for n := range requests {
					c.passed = time.Duration(n) * time.Minute
					c.Observe()
					q.Partition.Push(c.Now(), c.Now(), body(n))
				}
				if reopened {
					if err := errors.Join(q.Close(), c.Close()); err != nil {
						t.Fatal(err)
					}
				}
				c.passed, c.by = c.passed+time.Minute, 0
				if reopened {
					c.Judge = clock.New(c.options)
					o.Clock = c.Judge
					q = open(t, o)
				}
				c.Observe()
				if now := epoch.Add(requests * time.Minute); !c.Now().Equal(now) {
					t.Fatalf("it is %s, want %s", c.Now(), now)
				}
				mark := epoch.Add((requests - 1) * time.Minute)
				if by < 0 {
					mark = mark.Add(by) // What is stored stays.
				}
				if got := q.Mark(); !got.Equal(mark) {
					t.Errorf("the mark is %s, want %s", got, mark)
				}
				q.Push(c.Now(), body(requests))
				all, err := q.Partition.Oldest(1 << 20)
				if err != nil || len(all) != requests+1 {
					t.Fatalf("%d requests wait (%v), want %d", len(all), err, requests+1)
				}
				for n, r := range all {
					if want := epoch.Add(time.Duration(n) * time.Minute); !r.Time.Equal(want) {
						t.Errorf("request %d was pushed at %s, want %s", n, r.Time, want)
					}
				}
				q.Partition.Return(all)
				fresh := 2
				if reopened {
					fresh = 1 // Only those of this process.
				}
				live, err := q.Partition.Newest(c.Now().Add(-90*time.Second), 10, 1<<20)
				if err != nil || len(live) != fresh {
					t.Errorf("%d requests are new (%v), want %d", len(live), err, fresh)
				}
				q.Partition.Return(live)

				// They last as long as others; where the clock went ahead, until that is trusted.
				c.passed += o.MaxAge - 10*time.Minute
				c.Observe()
				q.Push(c.Now(), body(requests+1))
				kept := uint64(12)
				if by < 0 {
					kept = requests + 2
				}
				if s := q.Stats(); s.Waiting+s.Dropped != requests+2 || s.Waiting < kept-1 || s.Waiting > kept+1 {
					t.Errorf("%d requests wait and %d are dropped after their time, want about %d to wait", s.Waiting, s.Dropped, kept)
				}
				c.passed += o.MaxAge + time.Hour
				c.Observe()
				q.Push(c.Now(), body(requests+2))
				if s := q.Stats(); s.Waiting != 1 {
					t.Errorf("%d requests wait after another day, want the newest", s.Waiting)
				}
			})
		}
	}
}

// TestStepOfAnotherBoot: what an earlier boot queued by a clock that was ahead is as old
// as the step.
func TestStepOfAnotherBoot(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	ahead := epoch.Add(365 * 24 * time.Hour)
	q := open(t, o)
	q.Partition.Push(ahead, ahead, body(0))
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	c := newSettable(dir, time.Hour)
	o.Clock = c.Judge
	q = open(t, o)
	c.passed, c.by = time.Minute, 0
	c.Observe()
	if mark := q.Mark(); !mark.Equal(c.Now()) {
		t.Errorf("the mark is %s, want %s", mark, c.Now())
	}
	q.Push(c.Now(), body(1))
	all, err := q.Partition.Oldest(1 << 20)
	if err != nil || len(all) != 2 || !all[0].Time.Equal(c.Now()) {
		t.Fatalf("requests are %v (%v), want the first of %s", all, err, c.Now())
	}
}

// TestStepWithoutDisk: while the file cannot be written, requests in memory follow, and
// those on disk once it can be.
func TestStepWithoutDisk(t *testing.T) {
	dir := t.TempDir()
	c := newSettable(dir, 365*24*time.Hour)
	o := options(dir)
	o.Clock = c.Judge
	q := open(t, o)
	q.Push(c.Now(), body(0))
	if _, err := q.file.exec(t.Context(), "PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	c.passed = time.Minute
	q.Partition.Push(c.Now(), c.Now(), body(1))
	c.passed, c.by = 2*time.Minute, 0
	c.Observe()
	q.Push(c.Now(), body(2))
	if q.Stats().Failing == nil {
		t.Fatal("the disk does not fail")
	}
	if _, err := q.file.exec(t.Context(), "PRAGMA query_only = 0"); err != nil {
		t.Fatal(err)
	}
	c.passed = 3 * time.Minute
	q.Push(c.Now(), body(3))
	if err := q.Stats().Failing; err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, o)
	all, err := q.Partition.Oldest(1 << 20)
	if err != nil || len(all) != 4 {
		t.Fatalf("%d requests wait (%v), want 4", len(all), err)
	}
	for n, r := range all {
		if want := epoch.Add(time.Duration(n) * time.Minute); !r.Time.Equal(want) {
			t.Errorf("request %d was pushed at %s, want %s", n, r.Time, want)
		}
	}
	if want := epoch.Add(time.Minute); !q.Mark().Equal(want) {
		t.Errorf("the mark is %s, want %s", q.Mark(), want)
	}
}

// TestAheadAtBoot: a clock that is far ahead at the start of a boot drops nothing that
// waits; the requests are there when it is set right.
func TestAheadAtBoot(t *testing.T) {
	dir := t.TempDir()
	c := newSettable(dir, 0)
	c.options.Synced = func() bool { return false }
	c.Judge = clock.New(c.options)
	o := options(dir)
	o.Clock = c.Judge
	q := open(t, o)
	const requests = recent + 20
	for n := range requests {
		c.passed = time.Duration(n) * time.Minute
		c.Observe()
		q.Partition.Push(c.Now(), c.Now(), body(n))
	}
	if err := errors.Join(q.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	c.options.BootID, c.by = "two", 365*24*time.Hour
	c.Judge = clock.New(c.options)
	o.Clock = c.Judge
	q = open(t, o)
	for n := range 60 {
		c.passed += time.Minute
		c.Observe()
		q.Partition.Push(c.Now(), c.Now(), body(requests+n))
	}
	if stats := q.Stats(); stats.Dropped != 0 || stats.Waiting != requests+60 {
		t.Errorf("%+v, want %d requests and none dropped", stats, requests+60)
	}
}
