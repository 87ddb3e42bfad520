package fresh

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// notes are what a user of files is told.
type notes struct {
	mu  sync.Mutex
	all []string
}

func (n *notes) note(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		err = errors.New("new")
	}
	n.all = append(n.all, err.Error())
}

// joined makes one text of files, which must begin with ok.
func joined(contents [][]byte) (string, error) {
	var all string
	for _, c := range contents {
		if !strings.HasPrefix(string(c), "ok") {
			return "", errors.New("it does not begin with ok")
		}
		all += string(c)
	}
	return all, nil
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(a, "ok1")
	if _, err := Open([]string{a, b}, joined, nil); err == nil || !strings.Contains(err.Error(), "cannot read the file "+b+": no such file") {
		t.Fatalf("without the second file: %v", err)
	}
	write(b, "ok2")
	var told notes
	f, err := Open([]string{a, b}, joined, told.note)
	if err != nil {
		t.Fatal(err)
	}
	step := func(want string, broken bool, wantTold ...string) {
		t.Helper()
		for range 3 { // The same again changes nothing.
			if got := f.Get(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if since, err := f.Broken(); (err != nil) != broken || since.IsZero() == broken {
			t.Errorf("broken: %v since %s, want %t", err, since, broken)
		}
		if strings.Join(told.all, "|") != strings.Join(wantTold, "|") {
			t.Errorf("told %q, want %q", told.all, wantTold)
		}
		told.all = nil
	}
	step("ok1ok2", false)
	write(a, "ok3") // Of the same size, perhaps at the same time.
	step("ok3ok2", false, "new")
	write(a, "") // As a program that is about to write leaves it.
	step("ok3ok2", true, "it does not begin with ok")
	write(a, "half")
	step("ok3ok2", true)
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	step("ok3ok2", true)
	write(a, "ok3")
	step("ok3ok2", false, "new")
	write(a, "ok3") // Written again with the same content.
	step("ok3ok2", false)

	// As Kubernetes does: files are links into a folder that is exchanged as a whole.
	for _, version := range []string{"1", "2"} {
		folder := filepath.Join(dir, "v"+version)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		write(filepath.Join(folder, "c"), "ok"+version)
		swap(t, folder, filepath.Join(dir, "current"))
		if version == "1" {
			if err := os.Symlink(filepath.Join("current", "c"), filepath.Join(dir, "c")); err != nil {
				t.Fatal(err)
			}
			if f, err = Open([]string{filepath.Join(dir, "c")}, joined, told.note); err != nil {
				t.Fatal(err)
			}
			step("ok1", false)
		}
	}
	step("ok2", false, "new")
}

// swap makes a link point elsewhere at once.
func swap(t *testing.T, to, link string) {
	t.Helper()
	if err := os.Symlink(to, link+"_new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+"_new", link); err != nil {
		t.Fatal(err)
	}
}

// TestSettledFilesAreNotRead: what did not change is not read again.
func TestSettledFilesAreNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte("ok"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	f, err := Open([]string{path}, joined, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f.young {
		t.Error("a file of an hour ago is read again and again")
	}
	f.sum[0]++ // Reading it would show.
	_ = f.Get()
	if f.value != "ok" || f.sum == sumOf([][]byte{[]byte("ok")}) {
		t.Error("the file was read again")
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, maxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir: "not a regular file", large: "larger than 1 MiB", filepath.Join(dir, "none"): "no such file",
	} {
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), path) != 1 {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
