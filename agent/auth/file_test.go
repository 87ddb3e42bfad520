package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReopen(t *testing.T) {
	h := newFixture(t)
	h.add(t, "anna", Viewer)
	secret, token, err := h.NewToken("script", Viewer, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	users := h.Users()
	h = h.reopened(t)
	if got := h.Users(); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", users) {
		t.Errorf("got  %+v\nwant %+v", got, users)
	}
	if got := h.Tokens(); len(got) != 1 || got[0] != token {
		t.Errorf("%+v", got)
	}
	h.accepted(t, secret)
	h.accepted(t, h.admin.Access)
	if _, err := h.Refresh(t.Context(), h.admin.Refresh); err != nil {
		t.Error(err)
	}
	h.login(t, "anna", password)
	if h.NeedsSetup() {
		t.Error("a restart reopens the setup")
	}
}

// TestBadFiles: an invalid file is neither replaced nor changed. The agent opens it, and
// nobody can log in or set it up until there is a new administrator from this machine.
func TestBadFiles(t *testing.T) {
	h := newFixture(t)
	_, _, err := h.NewToken("script", Viewer, 0)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(h.dir, accountsFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile(filepath.Join(h.dir, keysFile))
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(c *accounts)) string {
		var c accounts
		if err := json.Unmarshal(good, &c); err != nil {
			t.Fatal(err)
		}
		f(&c)
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "damaged"},
		{"zeros", strings.Repeat("\x00", 100), "damaged"},
		{"cut off", string(good[:len(good)/2]), "damaged"},
		{"more behind it", string(good) + "{}", "damaged"},
		{"null", "null", "damaged"},
		{"no format", "{}", "damaged"},
		{"an unknown key", strings.Replace(string(good), `"users"`, `"losers"`, 1), "damaged"},
		{"newer", strings.Replace(string(good), `"format":1`, `"format":2`, 1), "newer version"},
		{"two of a name", change(func(c *accounts) { c.Users = append(c.Users, c.Users[0]); c.Users[1].ID = "x" }), "damaged"},
		{"a bad name", change(func(c *accounts) { c.Users[0].Name = "a b" }), "damaged"},
		{"a public user", change(func(c *accounts) { c.Users[0].Role = Public }), "damaged"},
		{"no password", strings.Replace(string(good), `"password":"$argon2id`, `"passwort":"$argon2id`, 1), "damaged"},
		{"a dear password", strings.Replace(string(good), "$m=8,", "$m=4000000,", 1), "damaged"},
		{"a session of no user", change(func(c *accounts) { c.Sessions[0].User = "x" }), "damaged"},
		{"two tokens of a secret", change(func(c *accounts) { c.Tokens = append(c.Tokens, c.Tokens[0]) }), "damaged"},
		{"a short hash", strings.Replace(string(good), `"secret":"`, `"secret":"A`, 1), "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, accountsFile)
			for name, text := range map[string]string{accountsFile: c.text, keysFile: string(keys)} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.want != "damaged" {
				_, err := Open(Options{Dir: dir, Issuer: issuer})
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("got %v", err)
				}
				return
			}
			a := open(t, dir, newHandClock())
			locked(t, a)
			if strings.Contains(a.Trouble(), "argon2id$v=19$m") {
				t.Errorf("the trouble shows a hash: %v", a.Trouble())
			}
			if left, err := os.ReadFile(path); err != nil || string(left) != c.text {
				t.Errorf("the file was changed: %v", err)
			}
			if _, err := a.AddUser(t.Context(), "berta", password, Admin); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Login(t.Context(), "berta", password); err != nil || a.Trouble() != "" || a.NeedsSetup() {
				t.Errorf("with a new administrator: %v, %q", err, a.Trouble())
			}
			if aside := some(t, path+brokenSuffix+"*"); len(aside) != 1 {
				t.Errorf("set aside: %v", aside)
			} else if left, err := os.ReadFile(aside[0]); err != nil || string(left) != c.text {
				t.Errorf("set aside is something else: %v", err)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, keysFile), keys, 0o600); err != nil {
			t.Fatal(err)
		}
		a := open(t, dir, newHandClock())
		locked(t, a)
		if err := os.WriteFile(filepath.Join(dir, accountsFile), good, 0o600); err != nil {
			t.Fatal(err)
		}
		a.unlock()
		if _, err := a.Login(t.Context(), "root", password); err != nil {
			t.Errorf("with the file of a backup: %v", err)
		}
	})
}

// locked checks that the accounts are damaged and nobody gets in.
func locked(t *testing.T, a *Auth) {
	t.Helper()
	if !strings.Contains(a.Trouble(), "nobody can log in") || !strings.Contains(a.Trouble(), "sysotel user add") {
		t.Errorf("it does not say what to do: %v", a.Trouble())
	}
	if _, err := a.Login(t.Context(), "root", password); !errors.Is(err, ErrDenied) {
		t.Errorf("a login: %v", err)
	}
	if _, _, err := a.NewSetupCode(); a.NeedsSetup() || !errors.Is(err, ErrSetupDone) {
		t.Errorf("the first setup is open to anyone: %v", err)
	}
	for name, f := range map[string]func() error{
		"viewer": func() error { _, err := a.AddUser(t.Context(), "berta", password, Viewer); return err },
		"token":  func() error { _, _, err := a.NewToken("script", Admin, 0); return err },
	} {
		if err := f(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "sysotel user add") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := a.Backup(filepath.Join(t.TempDir(), "copy")); err == nil {
		t.Error("nothing was backed up as accounts")
	}
}

func some(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestCopy: damaged, lost and emptied accounts are restored from their copy, with all
// that was in them, and damaged files do not add up.
func TestCopy(t *testing.T) {
	h := newFixture(t)
	h.add(t, "anna", Viewer)
	for i, damage := range []func(path string) error{
		func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) },
		func(path string) error { return os.Truncate(path, 0) },
		os.Remove,
		func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		func(path string) error { return os.WriteFile(path, []byte("null"), 0o600) },
		func(path string) error { return os.Truncate(path, 100) },
	} {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		if err := damage(filepath.Join(h.dir, accountsFile)); err != nil {
			t.Fatal(err)
		}
		h = &fixture{Auth: open(t, h.dir, h.handClock), handClock: h.handClock, dir: h.dir, admin: h.admin}
		if !strings.Contains(h.Trouble(), "nothing is lost") || h.NeedsSetup() {
			t.Errorf("damage %d: %q", i, h.Trouble())
		}
		h.login(t, "anna", password)
		h.accepted(t, h.admin.Access)
	}
	if aside := some(t, filepath.Join(h.dir, accountsFile+brokenSuffix+"*")); len(aside) != maxAside {
		t.Errorf("set aside: %v", aside)
	}
}

// TestDeleted: the directory is deleted while the agent runs. The accounts are in memory
// and are written again; nobody finds an open door.
func TestDeleted(t *testing.T) {
	h := newFixture(t)
	if err := os.RemoveAll(h.dir); err != nil {
		t.Fatal(err)
	}
	if h.NeedsSetup() {
		t.Error("the setup is open")
	}
	h.accepted(t, h.admin.Access)
	h.rotate()
	h.tidy()
	h = h.reopened(t)
	h.accepted(t, h.admin.Access)
	h.login(t, "root", password)
}

func TestBadKeys(t *testing.T) {
	for _, text := range []string{"", "{", `{"format":1,"keys":[]}`, `{"format":1,"keys":[{"id":"a","secret":"AAAA","created":"2026-01-01T00:00:00Z"}]}`} {
		h := newFixture(t)
		path := filepath.Join(h.dir, keysFile)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h = h.reopened(t)
		h.refused(t, h.admin.Access, ErrDenied)
		if _, err := h.Refresh(t.Context(), h.admin.Refresh); err != nil {
			t.Error(err)
		}
		aside, err := filepath.Glob(path + brokenSuffix + "*")
		if err != nil || len(aside) != 1 {
			t.Errorf("set aside: %v, %v", aside, err)
		}
	}
	h := newFixture(t)
	if err := os.WriteFile(filepath.Join(h.dir, keysFile), []byte(`{"format":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Options{Dir: h.dir, Issuer: issuer})
	wants(t, err, errNewer)
}

func TestUnfinishedFileIsRemoved(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ".accounts.json-123")
	if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir, newHandClock())
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}

// TestCannotWrite: changes of accounts fail and change nothing; those of sessions
// take effect and are written later. A file replaces the directory, which stops root
// too.
func TestCannotWrite(t *testing.T) {
	var log bytes.Buffer
	h := newFixture(t)
	h.log = slog.New(slog.NewTextHandler(&log, nil))
	anna := h.add(t, "anna", Viewer)
	_, token, err := h.NewToken("script", Viewer, 0)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := h.login(t, "anna", password)
	away := h.dir + "-away"
	if err := os.Rename(h.dir, away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprintf("%+v %+v", h.Users(), h.Tokens())
	for name, f := range map[string]func() error{
		"add":      func() error { _, err := h.AddUser(t.Context(), "berta", password, Viewer); return err },
		"role":     func() error { _, err := h.SetRole(anna.ID, Admin); return err },
		"password": func() error { return h.SetPassword(t.Context(), anna.ID, other) },
		"remove":   func() error { return h.RemoveUser(anna.ID) },
		"token":    func() error { _, _, err := h.NewToken("more", Viewer, 0); return err },
		"revoke":   func() error { return h.RevokeToken(token.ID) },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), "nothing is changed: ") || !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := fmt.Sprintf("%+v %+v", h.Users(), h.Tokens()); after != before {
		t.Errorf("changed:\n%s\n%s", before, after)
	}
	h.accepted(t, elsewhere.Access)

	g := h.login(t, "anna", password)
	h.accepted(t, g.Access)
	if g, err = h.Refresh(t.Context(), g.Refresh); err != nil {
		t.Error(err)
	}
	if err := h.Logout(elsewhere.Identity.Session); err != nil {
		t.Error(err)
	}
	h.refused(t, elsewhere.Access, ErrDenied)
	h.pass(signFor)
	h.rotate()
	h.rotate()
	h.pass(-signFor)
	if got := strings.Count(log.String(), "level=WARN"); got != 2 {
		t.Errorf("%d warnings: one for sessions, one for keys\n%s", got, log.String())
	}

	if err := os.Remove(h.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, h.dir); err != nil {
		t.Fatal(err)
	}
	h.tidy()
	h = h.reopened(t)
	h.accepted(t, g.Access)
	h.refused(t, elsewhere.Access, ErrDenied)
	if !strings.Contains(log.String(), "the accounts are written again") {
		t.Error(log.String())
	}
}

// TestRun rotates keys and removes expired sessions, on disk too.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a, err := Open(Options{Dir: dir, Issuer: issuer, SessionTTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		a.hasher.cost = cheap
		code, _, err := a.NewSetupCode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Setup(t.Context(), code, "root", password); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- a.Run(ctx) }()
		time.Sleep(time.Hour + 2*tidyEvery)
		synctest.Wait()
		text, err := os.ReadFile(filepath.Join(dir, accountsFile))
		if err != nil || !strings.Contains(string(text), `"sessions":[]`) {
			t.Errorf("%v", err)
		}
		first := a.keys.Load().newest().ID
		time.Sleep(signFor)
		synctest.Wait()
		if a.keys.Load().newest().ID == first {
			t.Error("the key is not rotated")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
