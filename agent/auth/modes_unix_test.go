//go:build unix

package auth

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestModes: other users cannot read the files; where they can, that is ended and told.
func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "auth")
	open(t, dir, newHandClock())
	for name, want := range map[string]os.FileMode{"": 0o700, accountsFile: 0o600, keysFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q has %v, %v", name, info.Mode().Perm(), err)
		}
	}
	for _, c := range []struct {
		name        string
		wrong, want os.FileMode
	}{{keysFile, 0o640, 0o600}, {accountsFile, 0o604, 0o600}, {accountsFile, 0, 0o600}, {"", 0o777, 0o700}} {
		path := filepath.Join(dir, c.name)
		if err := os.Chmod(path, c.wrong); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		if _, err := Open(Options{Dir: dir, Issuer: issuer, Log: slog.New(slog.NewTextHandler(&log, nil))}); err != nil {
			t.Errorf("%q: %v", c.name, err)
		}
		info, err := os.Stat(path)
		if err != nil || c.wrong != 0 && info.Mode().Perm() != c.want {
			t.Errorf("%q has %v, %v", c.name, info.Mode().Perm(), err)
		}
		if c.wrong != 0 && !strings.Contains(log.String(), path) {
			t.Errorf("%q: the log says %s", c.name, log.String())
		}
	}
}
