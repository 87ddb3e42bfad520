package records

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"sysotel/agent/sqlite"
)

// TestEverythingAtOnce: ticks, events, queries, retention, backups and damage found
// meanwhile do not disturb each other.
func TestEverythingAtOnce(t *testing.T) {
	dir, copies := t.TempDir(), t.TempDir()
	r, err := Open(Options{Dir: dir, Tiers: []Tier{{5 * time.Second, 10 * time.Minute}, {time.Minute, day}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for name, f := range map[string]func(i int) error{
		"between": func(int) error {
			_, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: epoch.Add(time.Hour), Order: ByIO, Top: 10})
			return err
		},
		"at": func(i int) error {
			_, err := r.ProcessesAt(t.Context(), epoch.Add(time.Duration(i)*time.Second))
			return err
		},
		"event": func(i int) error { return r.AddEvent(Event{Time: epoch.Add(time.Duration(i)), Kind: Start}) },
		"events": func(int) error {
			_, err := r.Events(t.Context(), EventQuery{Start: epoch, End: epoch.Add(day), Limit: 10})
			return err
		},
		"retain": func(int) error { return r.Retain(t.Context(), epoch.Add(20*time.Minute)) },
		"health": func(int) error { r.Health(); r.Bytes(); return nil },
		"backup": func(i int) error { return r.Backup(t.Context(), filepath.Join(copies, strconv.Itoa(i))) },
		"damage": func(i int) error {
			if i != 5 {
				return nil
			}
			return r.read(t.Context(), func(d *database) error {
				if r.file.Damage() == nil {
					return sqlite.ErrDamaged
				}
				return nil
			})
		},
	} {
		running.Go(func() {
			for i := 0; i < 100 && ctx.Err() == nil; i++ {
				if err := f(i); err != nil && !errors.Is(err, ErrNoRecord) {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for s := epoch.Unix() + 1; s <= epoch.Unix()+1200; s++ {
		r.AddProcesses(steady(s))
		if s%200 == 0 {
			flush(t, r)
		}
	}
	stop()
	running.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := r.ProcessesAt(t.Context(), epoch); !errors.Is(err, ErrClosed) {
		t.Errorf("a query after Close: %v", err)
	}
	r = open(t, dir)
	p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: epoch.Add(time.Hour), Order: ByCPU})
	if err != nil || p.Covered != 20*time.Minute || p.HostCPUSeconds != 1212 {
		t.Errorf("%+v, %v", p, err)
	}
}
