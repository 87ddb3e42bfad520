package textfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDirectoryThatDoesNotAnswer: ticks go on with what is known, for a time; then
// there is nothing, and again once the directory answers.
func TestDirectoryThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(t.TempDir())
		write(t, d.path, "a.prom", "a 1\n")
		if !d.Refresh(time.Now) || len(d.Sources()) != 2 {
			t.Fatalf("sources %+v, want the directory and its file", d.Sources())
		}
		answers := make(chan struct{})
		d.list = func(dir string) ([]foundFile, error) {
			<-answers
			return list(dir)
		}
		for second := range 12 {
			began := time.Now()
			changed := d.Refresh(time.Now)
			if waited := time.Since(began); waited > d.Patience {
				t.Errorf("a tick waited for %s", waited)
			}
			if want := second == 10; changed != want {
				t.Errorf("after %d s changed is %v", second, changed)
			}
			sources := d.Sources()
			if lost := second >= 10; lost != (len(sources) == 1 && !sources[0].OK && strings.Contains(fmt.Sprint(sources[0].Errors), "has not answered for 10s")) {
				t.Errorf("after %d s the sources are %+v", second, sources)
			}
			time.Sleep(time.Second - time.Since(began))
		}
		close(answers)
		synctest.Wait()
		if !d.Refresh(time.Now) || len(d.Sources()) != 2 {
			t.Errorf("sources %+v, want the directory and its file again", d.Sources())
		}
	})
}

// TestDirectoryBounds: a directory has a bound for its files, and for what they hold.
func TestDirectoryBounds(t *testing.T) {
	d := New(t.TempDir())
	for i := range maxFiles + 1 {
		write(t, d.path, fmt.Sprintf("%04d.prom", i), "")
	}
	refresh(d)
	sources := d.Sources()
	if want := fmt.Sprintf("has more than 1000 *.prom files; those after %s are not read", filepath.Join(d.path, "0999.prom")); len(sources) != 1+maxFiles || sources[0].OK || sources[0].Errors[0].Error() != want {
		t.Errorf("%d sources, the directory: %+v", len(sources), sources[0])
	}

	d = New(t.TempDir())
	large := strings.Repeat("# comment\n", 100_000)
	for i := range 9 {
		write(t, d.path, fmt.Sprintf("%d.prom", i), large)
	}
	write(t, d.path, "small.prom", "a 1\n")
	refresh(d)
	for _, s := range d.Sources() {
		if tooMuch := strings.HasSuffix(s.Name, "8.prom"); s.OK == tooMuch || tooMuch && !strings.Contains(s.Errors[0].Error(), "the files before it have 8000000 bytes already") {
			t.Errorf("%+v", s)
		}
	}
}

// TestWritten: a source reports when its metrics were written and how often.
func TestWritten(t *testing.T) {
	d := New(t.TempDir())
	for i, want := range []int64{0, 0, 1, 1, 2} {
		at := time.Unix(1_800_000_000+int64(i/2), 0)
		path := write(t, d.path, "a.prom", "a 1\n")
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		refresh(d)
		if s := d.Sources()[1]; s.Changes != want || !s.Written.Equal(at) {
			t.Errorf("look %d: written %s, %d changes; want %s and %d", i, s.Written, s.Changes, at, want)
		}
	}
}

// refresh waits until a directory is read.
func refresh(d *Directory) {
	for d.Refresh(time.Now); !d.since.IsZero(); d.Refresh(time.Now) {
	}
}

func write(t *testing.T, dir, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
