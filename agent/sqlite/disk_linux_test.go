package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sysotel/agent/disktest"
)

// TestBadDisk: a file is opened on a full and on a read-only disk, and comes into
// trouble while it is open. What it holds can be read, changes go on in memory or are
// refused, and once there is a disk again everything is on it.
func TestBadDisk(t *testing.T) {
	for name, c := range map[string]struct {
		spoil   func(testing.TB, string) func()
		trouble string
	}{
		"full":      {disktest.Fill, "the disk is full"},
		"read-only": {disktest.ReadOnly, "the disk is read-only"},
	} {
		for _, memory := range []bool{true, false} {
			for _, logged := range []bool{true, false} {
				t.Run(strings.Join([]string{name, map[bool]string{true: "memory", false: "plain"}[memory], map[bool]string{true: "killed", false: "closed"}[logged]}, " "), func(t *testing.T) {
					atStart(t, memory, logged, c.spoil, c.trouble)
				})
			}
		}
	}
}

func atStart(t *testing.T, memory, killed bool, spoil func(testing.TB, string) func(), trouble string) {
	dir := disktest.Small(t, 1<<20)
	path := filepath.Join(dir, "below", "notes.db")
	before := openNotes(t, path, memory)
	if err := before.add(100); err != nil {
		t.Fatal(err)
	}
	if killed { // What a killed agent leaves: rows in the log only.
		kept := map[string][]byte{}
		for _, suffix := range []string{"", walSuffix} {
			var err error
			if kept[suffix], err = os.ReadFile(path + suffix); err != nil {
				t.Fatal(err)
			}
		}
		if err := before.Close(); err != nil {
			t.Fatal(err)
		}
		for suffix, content := range kept {
			if err := os.WriteFile(path+suffix, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	} else if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	undo := spoil(t, dir)
	o := openNotes(t, path, memory)
	o.want("at the start", 100, trouble)
	added := 0
	for range 3 {
		o.now()
		switch err := o.add(10); {
		case memory && err == nil:
			added += 10
		case !memory && errors.Is(err, ErrUnavailable):
		default:
			t.Errorf("a change: %v", err)
		}
	}
	o.want("after changes", 100+added, trouble)
	undo()
	o.now()
	o.Retry(t.Context())
	o.want("with a disk again", 100+added, "")
	if err := o.add(10); err != nil {
		t.Error(err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	again := openNotes(t, path, memory)
	again.want("opened again", 110+added, "")
	if _, newest := again.count(); newest != 110+added {
		t.Errorf("the newest number is %d, want %d", newest, 110+added)
	}
	if text := o.log.String(); strings.Count(text, "\n") != 2 {
		t.Errorf("want one line for the trouble and one for its end, the log says\n%s", text)
	}
}

// TestDiskFills: the disk fills up while the file is open.
func TestDiskFills(t *testing.T) {
	dir := disktest.Small(t, 1<<20)
	o := openNotes(t, filepath.Join(dir, "notes.db"), true)
	if err := o.add(100); err != nil {
		t.Fatal(err)
	}
	free := disktest.Fill(t, dir)
	total := 100
	for range 20 {
		o.now()
		if err := o.add(200); err != nil {
			t.Fatal(err)
		}
		total += 200
	}
	o.want("on the full disk", total, "kept in memory and lost at a stop: the disk is full")
	free()
	o.now()
	o.Retry(t.Context())
	// 4,100 rows of 250 bytes do not fit the disk either.
	o.want("with little space", total, "the disk is full")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	o.now()
	o.Retry(t.Context())
	o.want("with space", total, "")
}
