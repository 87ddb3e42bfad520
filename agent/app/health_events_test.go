package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sysotel/agent/health"
	"sysotel/agent/records"
)

// TestHealthEvents: a change of health that lasts is an event, one that does not is
// none, and a component that comes and goes does not fill the history.
func TestHealthEvents(t *testing.T) {
	var told []string
	w := &healthEventer{components: map[string]*toldHealth{}, add: func(e records.Event) error {
		span := ""
		if !e.From.IsZero() {
			span = " after " + e.To.Sub(e.From).String()
		}
		told = append(told, e.Subject+" "+e.Cause+span)
		return nil
	}}
	now := time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)
	look := func(statuses ...health.Status) {
		for _, s := range statuses {
			now = now.Add(healthEvery)
			w.look([]health.Component{{Name: "memory", Status: health.OK}, {Name: "alerting", Status: s, Reason: "why"}}, now)
		}
	}
	expect := func(want ...string) {
		t.Helper()
		if got := strings.Join(told, "; "); got != strings.Join(want, "; ") {
			t.Errorf("told %q, want %q", told, want)
		}
		told = nil
	}
	look(health.OK, health.Degraded, health.OK, health.OK)
	expect()
	look(health.Degraded, health.Degraded, health.Degraded, health.OK, health.Degraded)
	expect("alerting degraded: why")
	look(health.Failed, health.Failed, health.OK, health.OK, health.OK)
	expect("alerting failed: why", "alerting ok again after 10s")
	for range 200 {
		look(health.Degraded, health.Degraded, health.OK, health.OK)
	}
	if n := len(told); n < 2*(healthEvents-2) || n > 2*(2*healthEvents) { // Little more than an hour.
		t.Errorf("%d events in 4,000 s", n)
	}
}

// TestWhatTheAgentStandsOn: what it stands on is taken from it while it runs: its data
// directory, a database that is emptied or replaced, a rule file that is removed, is a
// directory or may not be read. Each is told in the log, by an event and, while it lasts,
// by health, within a minute; the agent measures on, and recovers.
func TestWhatTheAgentStandsOn(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	rules := filepath.Join(dir, "rules.yml")
	write := func() error {
		return os.WriteFile(rules, []byte("groups: [{name: g, rules: [{alert: FromFile, expr: vector(1)}]}]"), 0o600)
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	c := configure(t, "--data-dir="+filepath.Join(dir, "d"), "--alerting.rules="+rules)
	a := run(t, c)
	<-a.history.store.Opened()
	a.ticks(2)
	data := func(name string) string { return filepath.Join(c.DataDir, name) }
	// empty empties a file, which may have to be made again first. Into a file that is
	// being written the rest of its pages may still go: another kind of damage.
	empty := func(name string) func() error {
		return func() error {
			poll(t, func() error { return os.Truncate(data(name), 0) })
			return nil
		}
	}
	steps := []struct {
		name string
		do   func() error
		// The log, an event and, until undo, the health say:
		log, event, health string
		undo               func() error
	}{
		{
			"a rule file is removed", func() error { return os.Remove(rules) },
			"a rule file cannot be read any more", "alerting degraded: 1 rule files cannot be read any more", "no such file", write,
		},
		{
			"a rule file is a directory", func() error { return errors.Join(os.Remove(rules), os.Mkdir(rules, 0o700)) },
			rules + ": is a directory", "alerting degraded: 1 rule files cannot be read any more", "is a directory",
			func() error { return errors.Join(os.Remove(rules), write()) },
		},
		{
			"the alert state is emptied", empty("alerting/state.db"),
			`"what":"the alert state","path":"` + data("alerting/state.db") + `","aside"`, "the alert state the file is damaged: ", "", nil,
		},
		{
			"the records are replaced", func() error {
				text, err := os.ReadFile(data("records/records.db"))
				if err != nil {
					return err
				}
				return errors.Join(os.WriteFile(data("records/new"), text, 0o600), os.Rename(data("records/new"), data("records/records.db")))
			},
			"the file was removed while it was in use", "the process history the file was removed while it was in use", "", nil,
		},
		{
			"the messages are removed", func() error { return os.Remove(data("alerting/messages.db")) },
			"the file was removed while it was in use", "the notification queue the file was removed while it was in use", "", nil,
		},
		{
			"the data directory is removed", func() error { return os.RemoveAll(c.DataDir) },
			"the data directory was deleted or replaced", "the data directory it was deleted or replaced while it was in use", "", nil,
		},
		{
			"the records are emptied", empty("records/records.db"),
			`"what":"the process history","path":"` + data("records/records.db") + `","aside"`, "the process history the file is damaged: ", "", nil,
		},
		{
			"the data directory is removed again", func() error { return os.RemoveAll(c.DataDir) },
			"the data directory was deleted or replaced", "the data directory it was deleted or replaced while it was in use", "", nil,
		},
		{
			"the alert state is emptied again", empty("alerting/state.db"),
			`"what":"the alert state","path":"` + data("alerting/state.db") + `","aside"`, "the alert state the file is damaged: ", "", nil,
		},
		{
			"the records are emptied again", empty("records/records.db"),
			`"what":"the process history","path":"` + data("records/records.db") + `","aside"`, "the process history the file is damaged: ", "", nil,
		},
	}
	emptied := false
	for _, s := range steps {
		before := len(a.journal.String())
		if err := s.do(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: %v", s.name, err)
		}
		began := time.Now()
		poll(t, func() error {
			if text := a.journal.String()[before:]; !strings.Contains(text, s.log) {
				return fmt.Errorf("%s: the log says\n%s", s.name, text)
			}
			if text := string(get(t, a.socket, "/api/v1/health")); s.health != "" && !strings.Contains(text, s.health) {
				return fmt.Errorf("%s: health says %s", s.name, text)
			}
			page, err := a.history.records.Events(t.Context(), records.EventQuery{Start: began.Add(-time.Second), End: time.Now().Add(time.Hour), Kinds: []records.Kind{records.Damage, records.Health}, Limit: 50})
			if err != nil {
				return err
			}
			for _, e := range page.Events {
				if strings.Contains(e.Subject+" "+e.Cause, s.event) {
					return nil
				}
			}
			return fmt.Errorf("%s: the events are %+v", s.name, page.Events)
		})
		t.Logf("%s: told after %s", s.name, time.Since(began).Round(100*time.Millisecond))
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%s: told after %s", s.name, took)
		}
		if got := strings.Count(string(get(t, a.socket, "/prometheus/api/v1/rules")), `"name":"FromFile"`); got != 1 {
			t.Errorf("%s: the rule of the file is there %d times", s.name, got)
		}
		if s.undo != nil {
			undone := time.Now()
			if err := s.undo(); err != nil {
				t.Fatal(err)
			}
			poll(t, func() error { // It recovers by itself, and says so.
				page, err := a.history.records.Events(t.Context(), records.EventQuery{Start: undone, End: time.Now().Add(time.Hour), Kinds: []records.Kind{records.Health}, Limit: 50})
				if err == nil && (len(page.Events) == 0 || page.Events[0].Cause != "ok again") {
					err = fmt.Errorf("%s, and undone: the events are %+v", s.name, page.Events)
				}
				return err
			})
		}
		emptied = emptied || s.name == "the records are emptied" // Damage to them stays in health.
		if !emptied {
			a.well("after " + s.name)
		}
	}
	if missed := a.journal.missed(t); len(missed) > 5 { // The machine of the test may be busy.
		t.Errorf("%d seconds were missed", len(missed))
	}
	from := a.tick()
	a.ticks(3)
	poll(t, func() error {
		n, err := a.seconds(from.Add(-time.Second), from.Add(2*time.Second))
		if err == nil && n != 3 {
			err = fmt.Errorf("%d of 3 seconds", n)
		}
		return err
	})
}
