//go:build unix

package textfile

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sysotel/instruments/exposition"
)

// TestForeignLinks: nobody reads another user's file through the directory.
func TestForeignLinks(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root, to make files of other users, and CI must run it")
		}
		t.Skip("needs root, to make files of other users")
	}
	const bob, ada = 12345, 12346
	dir, elsewhere := t.TempDir(), t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	file := func(path string, owner int) {
		t.Helper()
		must(os.WriteFile(path, []byte("a 1\n"), 0o600))
		must(os.Lchown(path, owner, owner))
	}
	link := func(name, target string, owner int) {
		t.Helper()
		must(os.Symlink(target, filepath.Join(dir, name)))
		must(os.Lchown(filepath.Join(dir, name), owner, owner))
	}
	file(filepath.Join(elsewhere, "of-root"), 0)
	file(filepath.Join(elsewhere, "of-bob"), bob)
	file(filepath.Join(elsewhere, "of-ada"), ada)
	file(filepath.Join(dir, "plain.prom"), bob)
	link("bob-to-root.prom", filepath.Join(elsewhere, "of-root"), bob)
	link("bob-to-ada.prom", filepath.Join(elsewhere, "of-ada"), bob)
	link("bob-to-bob.prom", filepath.Join(elsewhere, "of-bob"), bob)
	link("bob-to-chain.prom", filepath.Join(dir, "root-to-root.prom"), bob)
	link("root-to-root.prom", filepath.Join(elsewhere, "of-root"), 0)
	link("root-to-ada.prom", filepath.Join(elsewhere, "of-ada"), 0)
	must(os.Link(filepath.Join(elsewhere, "of-root"), filepath.Join(dir, "second-name.prom")))
	must(syscall.Mkfifo(filepath.Join(dir, "pipe.prom"), 0o600))

	check := func(refused ...string) {
		t.Helper()
		d := newDirectory(dir, new(exposition.Budget))
		d.Refresh(time.Now)
		for _, s := range d.Sources() {
			wrong := ""
			for _, name := range refused {
				if strings.HasSuffix(s.Name, name) {
					wrong = name
				}
			}
			if s.OK == (wrong != "") {
				t.Errorf("%s: ok is %v, errors %v", s.Name, s.OK, s.Errors)
			}
			if wrong != "" && len(s.Families) > 0 {
				t.Errorf("%s has %v", s.Name, s.Families)
			}
		}
		if got := len(d.Sources()); got != 10 {
			t.Errorf("%d sources, want the directory and 9 files", got)
		}
	}
	must(os.Chmod(dir, 0o755))
	check("bob-to-root.prom", "bob-to-ada.prom", "bob-to-chain.prom", "pipe.prom")
	must(os.Chmod(dir, 0o1777))
	check("bob-to-root.prom", "bob-to-ada.prom", "bob-to-chain.prom", "pipe.prom", "second-name.prom")
}

// TestReplacedFile: what was looked at is what is read.
func TestReplacedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.prom")
	if err := os.WriteFile(path, []byte("a 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := look(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readFile(path, info); err != nil {
		t.Error(err)
	}
	for what, replace := range map[string]func() error{
		"another file": func() error { return os.WriteFile(path, []byte("b 1\n"), 0o600) },
		"a pipe":       func() error { return syscall.Mkfifo(path, 0o600) },
	} {
		// The old file stays open, so that the new one cannot get its number.
		old, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path, path+what); err != nil {
			t.Fatal(err)
		}
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		if text, err := readFile(path, info); err == nil || !strings.Contains(err.Error(), "was replaced") {
			t.Errorf("%s: %q, %v", what, text, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+what, path); err != nil {
			t.Fatal(err)
		}
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
