package records

import (
	"strings"
	"testing"
	"time"

	"sysotel/agent/disktest"
)

// TestDiskFull: on a small file system records wait in memory, Health has the
// reason, queries work, and nothing is lost once there is space.
func TestDiskFull(t *testing.T) {
	dir := disktest.Small(t, 2<<20)
	var undo func()
	fullAndFree(t, dir, func(*Records) { undo = disktest.Fill(t, dir) }, func(*Records) { undo() })
}

// TestFullFile: the same with SQLite's own limit.
func TestFullFile(t *testing.T) {
	limit := func(r *Records, pages string) {
		if err := r.write(t.Context(), func(d *database) error {
			_, err := d.writer.ExecContext(t.Context(), "PRAGMA max_page_count = "+pages)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	fullAndFree(t, t.TempDir(), func(r *Records) { limit(r, "1") }, func(r *Records) { limit(r, "1000000") })
}

func fullAndFree(t *testing.T, dir string, fill, free func(*Records)) {
	t.Helper()
	r, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }() // Where the test fails early, the disk may be full.
	s := epoch.Unix()
	add := func(n int) (err error) {
		for range n {
			s++
			r.AddProcesses(steady(s))
			if s%60 == 0 {
				err = r.Flush(t.Context())
			}
		}
		return err
	}
	if err := add(600); err != nil {
		t.Fatal(err)
	}
	fill(r)
	for range 20 { // What fits into free pages is still written.
		err = add(600)
	}
	if err == nil {
		t.Fatal("the disk is full and yet everything is written")
	}
	if err := r.AddEvent(Event{Time: time.Unix(s, 0), Kind: OOMKill, Subject: "victim"}); err != nil {
		t.Fatal(err)
	}
	if h := r.Health(); h.Status != "degraded" || !strings.Contains(h.Reason, "disk is full") {
		t.Errorf("health says %+v", h)
	}
	whole := func(when string) {
		p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: time.Unix(s, 0), Order: ByCPU})
		if err != nil || p.Covered != time.Duration(s-epoch.Unix())*time.Second {
			t.Fatalf("%s: %v, %v", when, p, err)
		}
		events, err := r.Events(t.Context(), EventQuery{Start: epoch, End: time.Unix(s+1, 0), Limit: 10})
		if err != nil || len(events.Events) != 1 || events.Events[0].Subject != "victim" {
			t.Errorf("%s: events %v, %v", when, events, err)
		}
	}
	whole("while the disk is full")
	free(r)
	if err := add(600); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if h := r.Health(); h.Status != "ok" || h.Reason != "" {
		t.Errorf("with room again health says %+v", h)
	}
	if n := len(r.queue.records) + len(r.queue.events); n > 0 {
		t.Errorf("%d things still wait", n)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = Open(Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	whole("after a restart")
}
