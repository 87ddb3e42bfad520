package records

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fill writes records of a tier as if time had passed.
func fill(t testing.TB, r *Records, tier Tier, from, to time.Time, model record) {
	t.Helper()
	r.mu.Lock()
	for end := from.Add(tier.Resolution); !end.After(to); end = end.Add(tier.Resolution) {
		model.resolution, model.until, model.last, model.since = tier.seconds(), end.UnixMilli(), end.UnixMilli(), end.Add(-tier.Resolution).UnixMilli()
		r.enqueue(&model)
		if r.queue.bytes > maxQueueBytes/2 {
			r.mu.Unlock()
			flush(t, r)
			r.mu.Lock()
		}
	}
	r.mu.Unlock()
	flush(t, r)
	if n := r.Stats().Dropped[DropRecordQueueFull]; n > 0 {
		t.Fatalf("%d records were dropped", n)
	}
}

// busy is a record of a machine with 250 processes, 70 of which have a row.
func busy(t testing.TB) record {
	t.Helper()
	m := newMachine(3, 250)
	var kept record
	a := newAggregator(DefaultTiers()[:1], 20, func(r *record) { kept = *r })
	for range 11 {
		reading := m.tick()
		a.advance(reading.Time.UnixMilli())
		a.add(&reading)
	}
	if len(kept.rows) < 40 {
		t.Fatalf("%d rows", len(kept.rows))
	}
	return kept
}

// TestRetention: it counts from the trusted time and frees disk space.
func TestRetention(t *testing.T) {
	tiers := []Tier{{5 * time.Second, time.Hour}, {time.Minute, 3 * time.Hour}, {time.Hour, 10 * time.Hour}}
	r := open(t, t.TempDir(), func(o *Options) { o.Tiers, o.EventRetention = tiers, 5*time.Hour })
	model := busy(t)
	for _, tier := range tiers {
		fill(t, r, tier, epoch, epoch.Add(12*time.Hour), model)
	}
	for h := range 12 {
		if err := r.AddEvent(Event{Time: epoch.Add(time.Duration(h) * time.Hour), Kind: Gap}); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, r)
	before := r.Bytes()
	// A clock that is not trusted deletes nothing.
	if err := r.Retain(t.Context(), epoch); err != nil {
		t.Fatal(err)
	}
	if n := len(storedRecords(t, r, tiers[0])); n != 12*720 {
		t.Fatalf("%d records are left, want all", n)
	}
	if err := r.Retain(t.Context(), epoch.Add(12*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, tier := range tiers {
		records := storedRecords(t, r, tier)
		oldest := time.UnixMilli(records[0].until)
		if want := epoch.Add(12*time.Hour - tier.Retention + tier.Resolution); !oldest.Equal(want) || len(records) != int(tier.Retention/tier.Resolution) {
			t.Errorf("tier %s: %d records from %s, want from %s", tier.Resolution, len(records), oldest.UTC(), want)
		}
	}
	page, err := r.Events(t.Context(), EventQuery{Start: epoch, End: epoch.Add(day), Limit: 100})
	if err != nil || len(page.Events) != 5 {
		t.Errorf("%d events are left, want 5: %v", len(page.Events), err)
	}
	if after := r.Bytes(); after > before/3 {
		t.Errorf("the files had %d bytes, and still have %d", before, after)
	}
}

// TestTierThatIsNotConfiguredAnyMore: it has the longest retention.
func TestTierThatIsNotConfiguredAnyMore(t *testing.T) {
	dir := t.TempDir()
	r, err := Open(Options{Dir: dir, Tiers: []Tier{{10 * time.Second, day}, {time.Minute, day}}})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, r, Tier{Resolution: 10 * time.Second}, epoch, epoch.Add(2*time.Hour), busy(t))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = open(t, dir, func(o *Options) { o.Tiers = []Tier{{5 * time.Second, time.Minute}, {time.Minute, time.Hour}} })
	if err := r.Retain(t.Context(), epoch.Add(90*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n := len(storedRecords(t, r, Tier{Resolution: 10 * time.Second})); n != 90*6 {
		t.Errorf("%d records are left, want %d", n, 90*6)
	}
}

// TestShrink: damaged files are deleted first, then the oldest of the finest tier.
func TestShrink(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	model := busy(t)
	for _, tier := range r.tiers[:3] {
		fill(t, r, tier, epoch, epoch.Add(12*time.Hour), model)
	}
	broken := filepath.Join(dir, fileName+brokenSuffix+"20200101T000000.000")
	if err := os.WriteFile(broken, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	before := r.Bytes()
	freed, err := r.Shrink(t.Context(), 512<<10)
	if err != nil || freed < 512<<10 {
		t.Fatalf("%d bytes were freed: %v", freed, err)
	}
	if _, err := os.Stat(broken); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the broken file stays: %v", err)
	}
	if n := len(storedRecords(t, r, r.tiers[0])); n != 12*720 {
		t.Errorf("%d records are left, want all", n)
	}
	if freed, err = r.Shrink(t.Context(), 4<<20); err != nil || freed < 4<<20 || freed > 7<<20 {
		t.Errorf("%d bytes were freed: %v", freed, err)
	}
	if now := r.Bytes(); before-now < 5<<20 {
		t.Errorf("the files had %d bytes and have %d", before, now)
	}
	left := storedRecords(t, r, r.tiers[0])
	if len(left) == 0 || left[len(left)-1].until != epoch.Add(12*time.Hour).UnixMilli() || left[0].until == epoch.Add(5*time.Second).UnixMilli() {
		t.Errorf("%d records of the finest tier are left", len(left))
	}
	if n := len(storedRecords(t, r, r.tiers[1])); n != 12*60 {
		t.Errorf("%d records of the next tier are left, want all", n)
	}
	// More than there is: the empty file still works.
	if _, err := r.Shrink(t.Context(), math.MaxInt64/2); err != nil {
		t.Fatal(err)
	}
	if r.Bytes() > 2<<20 {
		t.Errorf("%d bytes are left of nothing", r.Bytes())
	}
	r.AddProcesses(steady(epoch.Unix() + day.Milliseconds()/1000))
	flush(t, r)
}

// TestBackup: it is consistent during writes, and can be opened.
func TestBackup(t *testing.T) {
	r := open(t, t.TempDir())
	s := epoch.Unix()
	done, stopped := make(chan struct{}), make(chan struct{})
	for range 3000 {
		s++
		r.AddProcesses(steady(s))
	}
	flush(t, r)
	go func() {
		defer close(stopped)
		for at := s; ; {
			select {
			case <-done:
				return
			default:
				at++
				r.AddProcesses(steady(at))
				if err := r.Flush(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	for i := range 3 {
		dir := filepath.Join(t.TempDir(), "it's a ?copy%20")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fileName)
		if err := r.Backup(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if err := r.Backup(t.Context(), path); err == nil || !strings.Contains(err.Error(), "exists") {
			t.Errorf("a second one to the same place: %v", err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		c := open(t, dir)
		c.inspect(t.Context())
		if h := c.Health(); h.Status != "ok" || c.file.Damage() != nil {
			t.Errorf("copy %d: %+v", i, h)
		}
		c.AddProcesses(steady(epoch.Unix() + 100_000))
		p, err := c.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: epoch.Add(2990 * time.Second), Order: ByCPU})
		if err != nil || p.Covered != 2990*time.Second || math.Abs(p.Rows[0].CPUSeconds-299) > 1e-9 {
			t.Errorf("copy %d: %+v, %v", i, p, err)
		}
	}
	close(done)
	<-stopped
}

// TestOldRangesUseWhatIsLeft: and the spans show it.
func TestOldRangesUseWhatIsLeft(t *testing.T) {
	r := open(t, t.TempDir())
	model := busy(t)
	fill(t, r, r.tiers[3], epoch, epoch.Add(48*time.Hour), model)
	fill(t, r, r.tiers[2], epoch.Add(24*time.Hour), epoch.Add(48*time.Hour), model)
	at := func(h, m int) time.Time { return epoch.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute) }
	for name, c := range map[string]struct {
		from, to, start, end time.Time
		spans                int
	}{
		"within an hour":      {at(3, 10), at(3, 50), at(3, 0), at(4, 0), 1},
		"ends within hours":   {at(3, 10), at(6, 50), at(3, 0), at(7, 0), 1},
		"finer at the ends":   {at(30, 10), at(34, 50), at(30, 10), at(34, 50), 3},
		"finer at one end":    {at(3, 10), at(34, 50), at(3, 0), at(34, 50), 2},
		"a whole hour":        {at(3, 0), at(4, 0), at(3, 0), at(4, 0), 1},
		"nothing at its ends": {at(-10, 0), at(100, 0), at(0, 0), at(48, 0), 1},
	} {
		p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: c.from, End: c.to, Order: ByCPU, Top: 5})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !p.Start.Equal(c.start) || !p.End.Equal(c.end) || len(p.Spans) != c.spans {
			t.Errorf("%s: from %s to %s, %v", name, p.Start.UTC(), p.End.UTC(), p.Spans)
		}
		records := 0
		for _, s := range p.Spans {
			records += int(s.To.Sub(s.From) / s.Resolution)
		}
		if want := time.Duration(records) * 5 * time.Second; p.Covered != want {
			t.Errorf("%s: %s covered, want %s: a record counts twice or not at all", name, p.Covered, want)
		}
	}
	p, err := r.ProcessesAt(t.Context(), at(3, 30))
	if err != nil || !p.Start.Equal(at(3, 0)) || p.Spans[0].Resolution != time.Hour {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err = r.ProcessesAt(t.Context(), at(30, 31)); err != nil || !p.Start.Equal(at(30, 30)) || p.Spans[0].Resolution != 5*time.Minute {
		t.Errorf("%+v, %v", p, err)
	}
}
