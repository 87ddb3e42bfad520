package textfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sysotel/instruments/exposition"
)

// newDirectory is a directory with the patience of a tick.
func newDirectory(path string, budget *exposition.Budget) *Directory {
	d := New(path, budget.Share())
	d.Patience = 20 * time.Millisecond
	return d
}

// TestDirectoryThatDoesNotAnswer: ticks go on with what is known, for a time; then
// there is nothing, and again once the directory answers.
func TestDirectoryThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory(t.TempDir(), new(exposition.Budget))
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
	d := newDirectory(t.TempDir(), new(exposition.Budget))
	for i := range maxFiles + 1 {
		write(t, d.path, fmt.Sprintf("%04d.prom", i), "")
	}
	refresh(d)
	sources := d.Sources()
	if want := fmt.Sprintf("has more than 1000 *.prom files; those after %s are not read", filepath.Join(d.path, "0999.prom")); len(sources) != 1+maxFiles || sources[0].OK || sources[0].Errors[0].Error() != want {
		t.Errorf("%d sources, the directory: %+v", len(sources), sources[0])
	}

	d = newDirectory(t.TempDir(), new(exposition.Budget))
	large := strings.Repeat("# comment\n", 100_000)
	for i := range 9 {
		write(t, d.path, fmt.Sprintf("%d.prom", i), large)
	}
	write(t, d.path, "small.prom", "a 1\n")
	refresh(d)
	for _, s := range d.Sources() {
		if tooMuch := strings.HasSuffix(s.Name, "8.prom"); s.OK == tooMuch || tooMuch && !strings.Contains(s.Errors[0].Error(), "at most 8388608 bytes, of which the others have 0, and this would be 9000000") {
			t.Errorf("%+v", s)
		}
	}
}

// TestOneBound: the bound is one for all directories. Who has something keeps it, and what
// one gives up is the other's.
func TestOneBound(t *testing.T) {
	var budget exposition.Budget
	first, second := newDirectory(t.TempDir(), &budget), newDirectory(t.TempDir(), &budget)
	large := strings.Repeat("# comment\n", 100_000)
	for i := range 5 {
		write(t, first.path, fmt.Sprintf("%d.prom", i), large)
		write(t, second.path, fmt.Sprintf("%d.prom", i), large)
	}
	refused := func(d *Directory) (n int) {
		for _, s := range d.Sources() {
			if !s.OK {
				n++
				if !strings.Contains(fmt.Sprint(s.Errors), "is not read: all sources together can have at most 8388608 bytes, of which the others have 5000000") {
					t.Errorf("%+v", s)
				}
			}
		}
		return n
	}
	for look := range 5 {
		refresh(first)
		refresh(second)
		if a, b := refused(first), refused(second); a != 0 || b != 2 {
			t.Fatalf("look %d: %d and %d files are refused, want 0 and 2", look, a, b)
		}
	}
	first.Stop()
	refresh(first) // It is read once more, at a reload.
	refresh(second)
	if n := refused(second); n != 0 {
		t.Errorf("%d files are still refused", n)
	}
}

// TestWritten: a source reports when its metrics were written and how often.
func TestWritten(t *testing.T) {
	d := newDirectory(t.TempDir(), new(exposition.Budget))
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
