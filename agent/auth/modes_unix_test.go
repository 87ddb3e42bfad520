//go:build unix

package auth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestModes: other users cannot read the files; files they can read are refused,
// with the command that fixes it.
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
		name  string
		wrong os.FileMode
		fix   string
	}{{keysFile, 0o640, "chmod 600 "}, {accountsFile, 0o604, "chmod 600 "}, {"", 0o777, "chmod 700 "}} {
		path := filepath.Join(dir, c.name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.wrong); err != nil {
			t.Fatal(err)
		}
		_, err = Open(Options{Dir: dir, Issuer: issuer})
		if err == nil || !strings.Contains(err.Error(), c.fix+path) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := os.Chmod(path, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
}
