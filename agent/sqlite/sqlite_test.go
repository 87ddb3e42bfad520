package sqlite

import (
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var steps = []string{
	"CREATE TABLE a (n INTEGER) STRICT; INSERT INTO a VALUES (1)",
	"ALTER TABLE a ADD COLUMN m INTEGER NOT NULL DEFAULT 2",
}

// ask opens a file, returns what one question answers, and closes it.
func ask(t *testing.T, path string, f Format, log *slog.Logger, question string) (answer string, err error) {
	t.Helper()
	file, err := OpenFile(t.Context(), Options{Path: path, What: "the file of the test", Format: f, Log: log})
	if err != nil {
		return "", err
	}
	err = file.Read(t.Context(), func(db *sql.DB) error { return db.QueryRowContext(t.Context(), question).Scan(&answer) })
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	return answer, err
}

// TestFormats: a file is brought up to date step by step, keeps what is in it, and one
// that is further is refused and left as it is.
func TestFormats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "below", "file ü%#?.db")
	log := slog.New(slog.DiscardHandler)
	for _, c := range []struct {
		steps            int
		question, answer string
	}{
		{1, "SELECT count(*) FROM a", "1"},
		{2, "SELECT m FROM a", "2"},
		{2, "PRAGMA user_version", "2"},
	} {
		got, err := ask(t, path, Format{Steps: steps[:c.steps]}, log, c.question)
		if err != nil || got != c.answer {
			t.Errorf("with %d steps %q answers %q, %v; want %q", c.steps, c.question, got, err, c.answer)
		}
	}
	if _, err := ask(t, path, Format{Steps: steps[:1]}, log, "SELECT 1"); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "its format is 2") {
		t.Errorf("a newer file is opened with %v", err)
	}
	if got, err := ask(t, path, Format{Steps: steps}, log, "SELECT m FROM a"); err != nil || got != "2" {
		t.Errorf("it was not left as it is: %q, %v", got, err)
	}
	bad := Format{Steps: append(steps[:2:2], "CREATE TABLE b (n INTEGER)", "no statement")}
	db, err := bad.Connect(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := bad.Migrate(t.Context(), db); err == nil || !strings.Contains(err.Error(), "from 3 to 4") {
		t.Errorf("a step that fails: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if got, err := ask(t, path, Format{Steps: steps}, log, "SELECT count(*) FROM sqlite_schema"); err != nil || got != "1" {
		t.Errorf("of steps that fail none is done: %q tables, %v", got, err)
	}
}

// TestSettings: the settings are those that were asked for, and others cannot read
// the file.
func TestSettings(t *testing.T) {
	for name, c := range map[string]struct {
		format              Format
		vacuum, synchronous string
	}{
		"quick": {Format{CacheKiB: 256}, "1", "1"},
		"safe":  {Format{CacheKiB: 256, Safe: true, ByHand: true}, "2", "2"},
	} {
		path := filepath.Join(t.TempDir(), name)
		c.format.Steps = steps
		for question, want := range map[string]string{
			"PRAGMA auto_vacuum": c.vacuum, "PRAGMA synchronous": c.synchronous, "PRAGMA journal_mode": "wal", "PRAGMA cache_size": "-256", "PRAGMA trusted_schema": "0",
		} {
			if got, err := ask(t, path, c.format, slog.New(slog.DiscardHandler), question); err != nil || got != want {
				t.Errorf("%s: %s is %q, %v; want %q", name, question, got, err, want)
			}
		}
		if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: its mode is %v, %v", name, info.Mode(), err)
		}
		readers, err := c.format.Readers(path, 2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readers.ExecContext(t.Context(), "DELETE FROM a"); err == nil || !strings.Contains(err.Error(), "readonly") {
			t.Errorf("%s: a reader writes with %v", name, err)
		}
		if err := readers.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestDamage: a file that is not one of SQLite's, or is half there, is set aside and
// a new one begun.
func TestDamage(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"another kind": func([]byte) []byte { return []byte(strings.Repeat("this is no database\n", 500)) },
		"half":         func(whole []byte) []byte { return whole[:len(whole)/2] },
		"unknown header": func(whole []byte) []byte {
			whole[18], whole[19] = 9, 9 // https://sqlite.org/fileformat.html, section 1.3.2.
			return whole
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file.db")
			var text strings.Builder
			log := slog.New(slog.NewTextHandler(&text, nil))
			if _, err := ask(t, path, Format{Steps: steps}, log, "SELECT 1"); err != nil {
				t.Fatal(err)
			}
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			broken := damage(whole)
			if err := os.WriteFile(path, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := ask(t, path, Format{Steps: steps}, log, "SELECT m FROM a"); err != nil || got != "2" {
				t.Errorf("the new file answers %q, %v", got, err)
			}
			aside, err := filepath.Glob(path + BrokenSuffix + "*")
			if err != nil || len(aside) != 1 {
				t.Fatalf("set aside are %v, %v", aside, err)
			}
			if kept, err := os.ReadFile(aside[0]); err != nil || string(kept) != string(broken) {
				t.Errorf("%d bytes were set aside of %d, %v", len(kept), len(broken), err)
			}
			if !strings.Contains(text.String(), `what="the file of the test"`) || !strings.Contains(text.String(), aside[0]) {
				t.Errorf("the log says %s", text.String())
			}
		})
	}
}
