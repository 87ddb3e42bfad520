package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var notes = Format{CacheKiB: 256, Steps: []string{`
	CREATE TABLE note (number INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
	CREATE TABLE named (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
	CREATE TABLE compact (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;`}}

var dawn = time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)

// opened is a file of notes under test.
type opened struct {
	*testing.T
	*File
	log bytes.Buffer
}

func openNotes(t *testing.T, path string, memory bool) *opened {
	t.Helper()
	o := &opened{T: t}
	var err error
	o.File, err = OpenFile(t.Context(), Options{
		Path: path, What: "the notes", Format: notes, Memory: memory, Times: map[string]string{"note": "time"},
		Log: slog.New(slog.NewTextHandler(&o.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() }) // Where the test fails early, its disk may be full.
	return o
}

// add writes notes, one a minute.
func (o *opened) add(n int) error {
	return o.Change(o.Context(), func(tx *sql.Tx) error {
		for range n {
			var last int
			if err := tx.QueryRow("SELECT coalesce(max(number), 0) FROM note").Scan(&last); err != nil {
				return err
			}
			at := dawn.Add(time.Duration(last+1) * time.Minute).UnixMilli()
			if _, err := tx.Exec("INSERT INTO note (time, body) VALUES (?, ?)", at, strings.Repeat("x", 200)); err != nil {
				return err
			}
			for _, table := range []string{"named", "compact"} {
				if _, err := tx.Exec("INSERT OR REPLACE INTO "+table+" (name, body) VALUES (?, ?)", fmt.Sprint("n", last%10), fmt.Sprint(last)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// count returns the number of notes and their newest number.
func (o *opened) count() (n, newest int) {
	o.Helper()
	err := o.Read(o.Context(), func(db *sql.DB) error {
		return db.QueryRow("SELECT count(*), coalesce(max(number), 0) FROM note").Scan(&n, &newest)
	})
	if err != nil {
		o.Errorf("read: %v", err)
	}
	return n, newest
}

func (o *opened) want(when string, n int, trouble string) {
	o.Helper()
	if got, _ := o.count(); got != n {
		o.Errorf("%s: %d notes, want %d", when, got, n)
	}
	got := ""
	if err := o.Trouble(); err != nil {
		got = err.Error()
	}
	if got != trouble && !(trouble != "" && strings.Contains(got, trouble)) {
		o.Errorf("%s: the trouble is %q, want %q", when, got, trouble)
	}
}

// now makes the next Change or Retry try to return to the disk.
func (o *opened) now() {
	o.turn.Lock()
	defer o.turn.Unlock()
	o.retried = time.Time{}
}

// TestRemoved: a file whose directory is deleted while it is in use is noticed at the
// next change. What a File with Memory holds is on disk again at once; another begins
// anew.
func TestRemoved(t *testing.T) {
	for memory, want := range map[bool]int{true: 30, false: 10} {
		dir := filepath.Join(t.TempDir(), "below")
		path := filepath.Join(dir, "notes.db")
		o := openNotes(t, path, memory)
		if err := o.add(20); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := o.add(10); err != nil {
			t.Errorf("memory %t: after the directory was deleted: %v", memory, err)
		}
		o.want("after that", want, "")
		if err := o.Close(); err != nil {
			t.Error(err)
		}
		openNotes(t, path, memory).want("opened again", want, "")
		if text := o.log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "removed while it was in use") {
			t.Errorf("memory %t: the log says\n%s", memory, text)
		}
	}
}

// TestUnreadable: rows of a file that could not be read at the start, and of one that
// was put in its place, are kept beside the new ones.
func TestUnreadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.db")
	o := openNotes(t, path, true)
	if err := o.add(20); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	// A directory that cannot be entered refuses root too if it is a file.
	away := filepath.Join(filepath.Dir(path), "away")
	broken := filepath.Join(filepath.Dir(path), "broken")
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o = openNotes(t, filepath.Join(broken, "notes.db"), true)
	if err := o.add(5); err != nil {
		t.Fatal(err)
	}
	o.want("without a directory", 5, "not a directory")
	if err := errors.Join(os.Rename(broken, away), os.Mkdir(broken, 0o700), os.Rename(path, filepath.Join(broken, "notes.db"))); err != nil {
		t.Fatal(err)
	}
	o.now()
	o.Retry(t.Context())
	o.want("with the directory and its file", 25, "")
}

// TestSalvage: of a file with damaged pages every row outside of them is kept, and the
// damage says which time is lost.
func TestSalvage(t *testing.T) {
	const rows = 2000
	for seed := range uint64(4) {
		path := filepath.Join(t.TempDir(), "notes.db")
		o := openNotes(t, path, true)
		if err := o.add(rows); err != nil {
			t.Fatal(err)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(seed, 0))
		const page = 4096
		leaves := 0
		for leaves < 3 { // Leaves of the notes, wherever they are.
			at := (20 + random.IntN(len(whole)/page-20)) * page
			if whole[at] == 0x0d { // https://sqlite.org/fileformat.html, section 1.6.
				clear(whole[at : at+page])
				leaves++
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		o = openNotes(t, path, true)
		d := o.Damage()
		if d == nil {
			t.Fatalf("seed %d: no damage was found", seed)
		}
		got, newest := o.count()
		// A leaf has at most 20 of these rows.
		if got < rows-3*20 || got >= rows || newest != rows {
			t.Errorf("seed %d: %d of %d rows are kept, the newest is %d", seed, got, rows, newest)
		}
		if len(d.Lost) == 0 || len(d.Lost) > 3 {
			t.Errorf("seed %d: lost are %v", seed, d.Lost)
		}
		missing := 0
		for _, s := range d.Lost {
			if s.From.Before(dawn) || s.To.After(dawn.Add(rows*time.Minute)) {
				t.Errorf("seed %d: lost is %v", seed, s)
			}
			missing += int(s.To.Sub(s.From)/time.Minute) - 1
		}
		if missing != rows-got {
			t.Errorf("seed %d: %d rows are lost, %v are %d minutes", seed, rows-got, d.Lost, missing)
		}
		o.want("repaired", got, "")
		if err := o.add(1); err != nil {
			t.Errorf("seed %d: a change: %v", seed, err)
		}
		if _, number := o.count(); number != rows+1 {
			t.Errorf("seed %d: the next number is %d", seed, number)
		}
	}
}

// TestAside: what is set aside is bounded.
func TestAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes [1].db")
	for range 6 {
		if err := os.WriteFile(path, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
			t.Fatal(err)
		}
		o := openNotes(t, path, true)
		if d := o.Damage(); d == nil || !d.Gone {
			t.Errorf("the damage is %v", d)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1+maxAside {
		t.Errorf("the directory holds %v (%v)", entries, err)
	}
}

// TestDirectoryInPlace: directories stand where the file and its log should.
func TestDirectoryInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.db")
	for _, suffix := range []string{"", walSuffix, indexSuffix, salvageSuffix} {
		if err := os.Mkdir(path+suffix, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	o := openNotes(t, path, false)
	if err := o.add(3); err != nil {
		t.Error(err)
	}
	o.want("instead of directories", 3, "")
}

// TestEmptied: a file that has lost what it held is damaged, not new; one that was never
// there is no damage, nor is the log of one that was removed.
func TestEmptied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.db")
	o := openNotes(t, path, false)
	if d := o.Damage(); d != nil {
		t.Errorf("a new file is damaged: %s", d)
	}
	if err := o.add(3); err != nil {
		t.Error(err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	o = openNotes(t, path, false)
	o.want("after it was emptied", 0, "")
	if d := o.Damage(); d == nil || !d.Gone || !errors.Is(d.Cause, ErrDamaged) || !strings.Contains(o.log.String(), "it is empty") {
		t.Errorf("the damage is %+v, the log\n%s", d, o.log.String())
	}
	if err := o.add(2); err != nil {
		t.Error(err)
	}
	log, err := os.ReadFile(path + walSuffix)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(os.Remove(path), os.WriteFile(path+walSuffix, log, 0o600)); err != nil {
		t.Fatal(err)
	}
	o = openNotes(t, path, false)
	o.want("after it was removed", 0, "")
	if d := o.Damage(); d != nil {
		t.Errorf("a removed file is damaged: %s", d)
	}
	if err := o.add(1); err != nil {
		t.Error(err)
	}
}

// TestEmptiedAgain: a file that is emptied while it is in use is repaired each time, not once
// in an hour.
func TestEmptiedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.db")
	o := openNotes(t, path, false)
	for n := range 4 {
		if err := o.add(3); err != nil {
			t.Errorf("before it was emptied %d times: %v", n+1, err)
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		o.Retry(t.Context())
		o.want("after it was emptied", 3*(n+1), "") // From its log.
		if got := strings.Count(o.log.String(), "it was emptied while it was in use"); got != n+1 {
			t.Errorf("emptied %d times, the log says so %d times", n+1, got)
		}
	}
	if err := o.add(2); err != nil {
		t.Error(err)
	}
	o.want("in the end", 14, "")
}

// TestNewerFile: a file of a newer version is refused, also where it can only be read.
func TestNewerFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.db")
	newer := notes
	newer.Steps = append(newer.Steps[:1:1], "CREATE TABLE more (n INTEGER) STRICT")
	f, err := OpenFile(t.Context(), Options{Path: path, What: "the notes", Format: newer})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(t.Context(), Options{Path: path, What: "the notes", Format: notes}); !errors.Is(err, ErrNewer) {
		t.Errorf("opened with %v", err)
	}
}

// TestOpenedAgain: Opened runs at the start and whenever the file can be written again.
func TestOpenedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "below")
	calls := 0
	f, err := OpenFile(t.Context(), Options{Path: filepath.Join(dir, "notes.db"), What: "the notes", Format: notes, Opened: func(ctx context.Context, db *sql.DB) error {
		calls++
		return db.PingContext(ctx)
	}})
	if err != nil || calls != 1 {
		t.Fatalf("opened %d times, %v", calls, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	f.Retry(t.Context())
	if f.Trouble() != nil || calls != 2 {
		t.Errorf("opened %d times, %v", calls, f.Trouble())
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Read(t.Context(), func(*sql.DB) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
