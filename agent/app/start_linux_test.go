package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"

	"sysotel/agent/auth"
	"sysotel/agent/disktest"
	"sysotel/agent/health"
	"sysotel/agent/records"
)

// shortDir returns a directory whose path is short enough for a socket below it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") //nolint:usetesting // See above.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// unwell returns the components that are not ok.
func (a *agent) unwell() map[string]string {
	found := map[string]string{}
	for _, c := range a.health() {
		if c.Status != health.OK {
			found[c.Name] = c.Reason
		}
	}
	return found
}

// well waits until the components of the data directory are ok.
func (a *agent) well(when string) {
	a.tb.Helper()
	poll(a.tb, func() error {
		unwell := a.unwell()
		for _, name := range []string{"data_dir", "store", "records", "accounts", "alerting", "channels", "socket", "audit"} {
			if reason, bad := unwell[name]; bad {
				return fmt.Errorf("%s: %s is not ok: %s", when, name, reason)
			}
		}
		return nil
	})
}

// TestStartOnBadDisk: the agent starts on a full and on a read-only disk with history. It
// serves that, measures, alerts and lets users log in, says what it cannot do, and when
// the disk can be written again it recovers by itself, without a hole.
func TestStartOnBadDisk(t *testing.T) {
	for name, spoil := range map[string]func(testing.TB, string) (undo func()){"full": disktest.Fill, "read-only": disktest.ReadOnly} {
		t.Run(name, func(t *testing.T) {
			disk := shortDir(t)
			disktest.Mount(t, disk, 96<<20)
			c := configure(t, "--data-dir="+filepath.Join(disk, "d"))
			const password = "a quiet river at dawn"
			before := run(t, c)
			<-before.history.store.Opened()
			from := before.tick()
			before.ticks(4)
			if _, err := before.accounts.auth.AddUser(t.Context(), "ada", password, auth.Admin); err != nil {
				t.Fatal(err)
			}
			if err := before.Stop(); err != nil {
				t.Fatal(err)
			}

			undone := spoil(t, disk)
			a := run(t, c)
			first := a.tick()
			a.ticks(4)
			poll(t, func() error { // The history is read in the background.
				n, err := a.seconds(from, first)
				if err == nil && n < 4 {
					err = fmt.Errorf("%d seconds of the history can be queried", n)
				}
				return err
			})
			unwell := a.unwell()
			for _, name := range []string{"data_dir", "store", "records"} {
				if reason := unwell[name]; !strings.Contains(reason, "memory") {
					t.Errorf("%s says %q", name, reason)
				}
			}
			if name == "read-only" && !strings.Contains(unwell["socket"], "cannot reach") {
				t.Errorf("the socket says %q", unwell["socket"])
			}
			events, err := a.history.records.Events(t.Context(), records.EventQuery{Start: from.Add(-time.Minute), End: time.Now().Add(time.Minute), Limit: 100})
			if err != nil || len(events.Events) < 2 {
				t.Errorf("events: %v, %v", events, err)
			}
			if _, err := a.history.records.ProcessesAt(t.Context(), from.Add(2*time.Second)); err != nil {
				t.Errorf("processes of the past: %v", err)
			}
			if _, err := a.accounts.auth.Login(t.Context(), "ada", password); err != nil {
				t.Errorf("a login: %v", err)
			}
			if _, err := a.accounts.auth.AddUser(t.Context(), "bob", password, auth.Viewer); !errors.Is(err, auth.ErrUnavailable) {
				t.Errorf("a change of users: %v", err)
			}
			response, err := request(t.Context(), http.DefaultClient, a.server.URL()+"/api/v1/metrics/current")
			if err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("the newest reading: %v, %v", response, err)
			} else {
				_ = response.Body.Close()
			}
			lines := map[string]int{}
			for _, line := range strings.Split(a.journal.String(), "\n") {
				if strings.Contains(line, `"WARN"`) || strings.Contains(line, `"ERROR"`) {
					var l struct{ Component, Msg, What string }
					decode(t, []byte(line), &l)
					lines[l.Component+": "+l.Msg+" "+l.What]++
				}
			}
			for line, n := range lines {
				if n > 1 {
					t.Errorf("%d times in the log: %s", n, line)
				}
			}

			undone()
			a.well("with a disk again")
			last := a.tick()
			a.ticks(2)
			want := int(last.Sub(first)/time.Second) + 1
			if n, err := a.seconds(first.Add(-time.Second), last); err != nil || n != want {
				t.Errorf("%d of %d seconds since the start are in the history, %v", n, want, err)
			}
			if _, err := a.accounts.auth.AddUser(t.Context(), "bob", password, auth.Viewer); err != nil {
				t.Errorf("a change of users: %v", err)
			}
			if err := a.Stop(); err != nil {
				t.Error(err)
			}
			again := run(t, c)
			<-again.history.store.Opened()
			if n, err := again.seconds(first.Add(-time.Second), last); err != nil || n != want {
				t.Errorf("after a restart %d of %d seconds are in the history, %v", n, want, err)
			}
			again.well("after a restart")
		})
	}
}

// seconds returns how many seconds after one time up to another the history has.
func (a *agent) seconds(after, until time.Time) (int, error) {
	text := fmt.Sprintf("system_memory_limit_bytes[%ds]", int(until.Sub(after)/time.Second))
	result, err := a.history.querier.Instant(a.tb.Context(), text, until)
	if err != nil {
		return 0, err
	}
	defer result.Close()
	matrix, ok := result.Value.(promql.Matrix)
	if !ok || len(matrix) != 1 {
		return 0, nil
	}
	return len(matrix[0].Floats), nil
}

// TestDataDirectoryDeleted: it is deleted while the agent runs. The agent says so, makes
// it anew with all that belongs there, and nobody finds the accounts gone.
func TestDataDirectoryDeleted(t *testing.T) {
	c := configure(t, "--data-dir="+filepath.Join(shortDir(t), "d"))
	a := run(t, c)
	<-a.history.store.Opened()
	a.ticks(2)
	const password = "a quiet river at dawn"
	if _, err := a.accounts.auth.AddUser(t.Context(), "ada", password, auth.Admin); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(c.DataDir); err != nil {
		t.Fatal(err)
	}
	if a.accounts.auth.NeedsSetup() {
		t.Error("the first setup is open")
	}
	if _, err := a.accounts.auth.Login(t.Context(), "ada", password); err != nil { // It writes the accounts.
		t.Error(err)
	}
	poll(t, func() error {
		for _, name := range []string{lockFileName, SocketName, "records/records.db", "auth/accounts.json", "alerting/state.db", "store/format", "store/tiers/1s/wal"} {
			if _, err := os.Stat(filepath.Join(c.DataDir, name)); err != nil {
				return err
			}
		}
		return nil
	})
	a.well("after the deletion")
	if _, err := holdDirectory(c.DataDir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another sysotel") {
		t.Errorf("a second agent: %v", err)
	}
	if text := a.journal.String(); strings.Count(text, "was deleted or replaced while it was in use; it is made anew") != 1 {
		t.Error("the log does not say once that the directory was deleted")
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

// TestEveryFileIsOurs: a running agent's data directory is known as an agent's.
func TestEveryFileIsOurs(t *testing.T) {
	c := configure(t)
	a := run(t, c)
	a.tick()
	if d := (&dataDir{path: c.DataDir}); !d.isOurs() {
		t.Error("a file of the agent is taken for another's")
	}
}

// TestLooseModes: a data directory that every user can change is closed or refused.
func TestLooseModes(t *testing.T) {
	mode := func(dir string) os.FileMode {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	parent := t.TempDir()
	dir := filepath.Join(parent, "d")
	for _, c := range []struct {
		name        string
		prepare     func() error
		want        os.FileMode
		refusedWith string
	}{
		{name: "new", prepare: func() error { return nil }, want: 0o700},
		{name: "its own, loose", prepare: func() error { return os.Chmod(dir, 0o777) }, want: 0o770},
		{name: "group", prepare: func() error { return os.Chmod(dir, 0o770) }, want: 0o770},
		{name: "with strange files", prepare: func() error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "strange"), nil, 0o600), os.Chmod(dir, 0o777))
		}, want: 0o777, refusedWith: "chmod 700 " + dir},
		{name: "sticky", prepare: func() error {
			return errors.Join(os.Remove(filepath.Join(dir, "strange")), os.Chmod(dir, 0o777|os.ModeSticky))
		}, want: 0o777, refusedWith: "chmod 700 " + dir},
		{name: "loose parent", prepare: func() error { return errors.Join(os.Chmod(dir, 0o700), os.Chmod(parent, 0o777)) }, want: 0o700, refusedWith: "chmod o-w " + parent},
		{name: "sticky parent", prepare: func() error { return os.Chmod(parent, 0o777|os.ModeSticky) }, want: 0o700},
	} {
		if err := c.prepare(); err != nil {
			t.Fatal(err)
		}
		d, err := holdDirectory(dir, slog.New(slog.DiscardHandler))
		switch {
		case c.refusedWith == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.refusedWith != "" && (err == nil || !strings.Contains(err.Error(), c.refusedWith)):
			t.Errorf("%s: %v, want %q", c.name, err, c.refusedWith)
		}
		if d != nil {
			if err := d.close(); err != nil {
				t.Error(err)
			}
		}
		if got := mode(dir); got != c.want {
			t.Errorf("%s: its mode is %#o, want %#o", c.name, got, c.want)
		}
	}
}

// TestIdentityWithoutDisk: while the disk cannot be written the identity is kept in memory,
// which the log says, and on disk as soon as it can.
func TestIdentityWithoutDisk(t *testing.T) {
	disk := shortDir(t)
	disktest.Mount(t, disk, 8<<20)
	path := filepath.Join(disk, "d")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	undo := disktest.ReadOnly(t, disk)
	var log strings.Builder
	d, err := holdDirectory(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	id := d.identity("")
	if d.identity("") != id || !strings.Contains(log.String(), "after a restart it is another machine") {
		t.Errorf("the identity is %q; %s", id, &log)
	}
	undo()
	d.look()
	_ = d.close()
	if d, err = holdDirectory(path, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if got := d.identity(""); got != id {
		t.Errorf("after a restart it is %s, and was %s", got, id)
	}
	_ = d.close()
}
