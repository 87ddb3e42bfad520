package records

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestEvents: events are returned newest first, page by page.
func TestEvents(t *testing.T) {
	r := open(t, t.TempDir())
	all := Kinds()
	for i := range 95 {
		e := Event{Time: epoch.Add(time.Duration(i/3) * time.Second), Kind: all[i%len(all)], Cause: "cause", Subject: "sda", Detail: map[string]string{"n": strings.Repeat("x", i)}}
		if e.Kind == Gap {
			e.From, e.To = e.Time.Add(-time.Minute), e.Time
		}
		if err := r.AddEvent(e); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[int64]bool{}
	cursor, pages := "", 0
	last := epoch.Add(time.Hour)
	for {
		page, err := r.Events(t.Context(), EventQuery{Start: epoch, End: epoch.Add(time.Minute), Limit: 10, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, e := range page.Events {
			if seen[e.ID] || e.ID == 0 {
				t.Errorf("event %d comes twice", e.ID)
			}
			seen[e.ID] = true
			if e.Time.After(last) {
				t.Errorf("event %d at %s stands after one at %s", e.ID, e.Time, last)
			}
			last = e.Time
			if (e.Kind == Gap) != (e.To.Sub(e.From) == time.Minute) || len(e.Detail["n"]) != int(e.ID-1) {
				t.Errorf("event %+v", e)
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(seen) != 95 || pages != 10 {
		t.Errorf("%d events on %d pages", len(seen), pages)
	}
	page, err := r.Events(t.Context(), EventQuery{Start: epoch.Add(5 * time.Second), End: epoch.Add(20 * time.Second), Kinds: []Kind{OOMKill, Reboot}, Limit: MaxEvents})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Events {
		if e.Kind != OOMKill && e.Kind != Reboot || e.Time.Before(epoch.Add(5*time.Second)) || !e.Time.Before(epoch.Add(20*time.Second)) {
			t.Errorf("%+v was not asked for", e)
		}
	}
	want := 0
	for i := 3 * 5; i < 3*20; i++ { // Three a second.
		if kind := all[i%len(all)]; kind == OOMKill || kind == Reboot {
			want++
		}
	}
	if len(page.Events) != want {
		t.Errorf("%d events of two kinds, want %d", len(page.Events), want)
	}
}

func TestBadQueries(t *testing.T) {
	r := open(t, t.TempDir())
	hour := epoch.Add(time.Hour)
	for name, f := range map[string]func() error{
		"kind":    func() error { return r.AddEvent(Event{Time: epoch, Kind: "'; DROP TABLE event; --"}) },
		"no time": func() error { return r.AddEvent(Event{Kind: Start}) },
		"asked kind": func() error {
			_, err := r.Events(t.Context(), EventQuery{Start: epoch, End: hour, Kinds: []Kind{"?"}, Limit: 1})
			return err
		},
		"limit 0": func() error { _, err := r.Events(t.Context(), EventQuery{Start: epoch, End: hour}); return err },
		"limit -1": func() error {
			_, err := r.Events(t.Context(), EventQuery{Start: epoch, End: hour, Limit: -1})
			return err
		},
		"limit large": func() error {
			_, err := r.Events(t.Context(), EventQuery{Start: epoch, End: hour, Limit: 1e6})
			return err
		},
		"cursor": func() error {
			_, err := r.Events(t.Context(), EventQuery{Start: epoch, End: hour, Limit: 1, Cursor: "1.x"})
			return err
		},
		"backwards": func() error {
			_, err := r.Events(t.Context(), EventQuery{Start: hour, End: epoch, Limit: 1})
			return err
		},
		"order": func() error {
			_, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: hour, Order: "1; DROP", Top: 1})
			return err
		},
		"end first": func() error {
			_, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: hour, End: epoch, Order: ByCPU, Top: 1})
			return err
		},
	} {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, f := range map[string]func() error{
		"nothing at": func() error { _, err := r.ProcessesAt(t.Context(), epoch); return err },
		"nothing between": func() error {
			_, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: hour, Order: ByCPU, Top: 1})
			return err
		},
		"far":         func() error { _, err := r.ProcessesAt(t.Context(), time.Unix(1<<60, 0)); return err },
		"before 1970": func() error { _, err := r.ProcessesAt(t.Context(), time.Unix(-1e9, 0)); return err },
		"all of time": func() error {
			_, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: time.Time{}, End: time.Unix(1<<40, 0), Order: ByCPU, Top: 1})
			return err
		},
	} {
		if err := f(); !errors.Is(err, ErrNoRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHostileNames: untrusted strings are returned truncated and as valid UTF-8,
// and do no harm.
func TestHostileNames(t *testing.T) {
	r := open(t, t.TempDir())
	names := []string{
		`"; DROP TABLE process_record; --`, "'; DELETE FROM event; --", "two\nlines\r\n", "\x00zero\x00", "bad \xff\xfe utf-8", "\x80",
		strings.Repeat("long ", 200_000), strings.Repeat("ä", 200), strings.Repeat("€", 100) + "\xe2\x82", "", "<script>alert(1)</script>", "\u202egnp.exe", "%s%n%d",
	}
	for i := range 120 {
		reading := ProcessReading{Time: epoch.Add(time.Duration(i+1) * time.Second), Interval: time.Second, BootID: "boot\xff\x00'", CPUs: 1, HostCPUSeconds: 1, Unattributed: 0}
		for j, name := range names {
			reading.Rows = append(reading.Rows, ProcessRow{PID: j + 1, Start: 1, Name: name, Program: name, User: name, Status: name, CommandLine: name, CPUSeconds: 0.01, RSS: 1 << 20})
		}
		r.AddProcesses(reading)
	}
	for _, name := range names {
		if err := r.AddEvent(Event{Time: epoch, Kind: Alert, Cause: name, Subject: name, Detail: map[string]string{name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, r)
	p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: epoch.Add(2 * time.Minute), Order: ByCPU})
	if err != nil || len(p.Rows) != len(names) {
		t.Fatalf("%v, %v", p, err)
	}
	for i, row := range p.Rows {
		want := strings.ToValidUTF8(names[i], "\uFFFD")
		for _, got := range []string{row.Name, row.Program, row.User, row.Status} {
			if !utf8.ValidString(got) || len(got) > maxText+3 || len(names[i]) <= maxText && got != want || !strings.HasPrefix(want, strings.TrimSuffix(got, "\uFFFD")) {
				t.Errorf("%.40q became %.40q", names[i], got)
			}
		}
		if !utf8.ValidString(row.CommandLine) || len(row.CommandLine) > maxCommandLine || row.CPUSeconds != 1.2 {
			t.Errorf("%.40q: %.40q, %v s", names[i], row.CommandLine, row.CPUSeconds)
		}
	}
	for _, query := range names {
		if _, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: epoch.Add(2 * time.Minute), Order: ByCPU, Match: query}); err != nil {
			t.Errorf("asked for %.40q: %v", query, err)
		}
	}
	page, err := r.Events(t.Context(), EventQuery{Start: epoch, End: epoch.Add(time.Second), Limit: 100})
	if err != nil || len(page.Events) != len(names) {
		t.Fatalf("%v, %v", page, err)
	}
	for _, e := range page.Events {
		if !utf8.ValidString(e.Subject) || len(e.Subject) > maxDetail || len(e.Detail) != 1 {
			t.Errorf("%.60q", e.Subject)
		}
	}
	if r.Bytes() > 1<<20 {
		t.Errorf("the files have %d bytes", r.Bytes())
	}
}

// TestNamesAreNotCutWithinARune: truncation keeps runes whole.
func TestNamesAreNotCutWithinARune(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"äöü", "äö"}, {"abcdef", "abcde"}, {"ab€€", "ab€"}, {"abc€€", "abc"}, {"\xff\xff\xff\xff\xff\xff", "\uFFFD"},
	} {
		if got := plain(c.text, 5); got != c.want {
			t.Errorf("%q became %q, want %q", c.text, got, c.want)
		}
	}
}

// TestCommandLineStays: while a process is not chosen for a while.
func TestCommandLineStays(t *testing.T) {
	r := open(t, t.TempDir())
	for i := range 10 {
		reading := steady(epoch.Unix() + int64(i) + 1)
		if i == 0 {
			reading.Rows[3].CommandLine = "program --option"
		}
		r.AddProcesses(reading)
	}
	p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: epoch.Add(10 * time.Second), Order: ByCPU, Match: "--OPTION"})
	if err != nil || p.Matched != 1 || p.Rows[0].PID != 4 || p.Rows[0].CommandLine != "program --option" {
		t.Errorf("%+v, %v", p, err)
	}
	if got := (Usage{CPUSeconds: 1, Seen: 10 * time.Second, MemoryMean: 4 << 20, MemoryPeak: 4 << 20}); p != nil && (p.Rows[0].Seen != got.Seen || p.Rows[0].MemoryMean != got.MemoryMean || !reflect.DeepEqual(p.Rows[0].MemoryPeak, got.MemoryPeak)) {
		t.Errorf("%+v", p.Rows[0].Usage)
	}
}
