package jsonfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sysotel/agent/jsonfile"
	"sysotel/agent/sqlite"
)

type document struct {
	Format int      `json:"format"`
	Names  []string `json:"names"`
}

var now = time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)

func TestReadsWhatWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "below", "names.json")
	before := document{Format: 7}
	if err := jsonfile.Read(path, 1, now, &before); err != nil || before.Format != 7 {
		t.Errorf("without a file: %+v, %v", before, err)
	}
	if err := jsonfile.Write(path, document{1, []string{"a", "b"}}); err != nil {
		t.Fatal(err)
	}
	var got document
	if err := jsonfile.Read(path, 1, now, &got); err != nil || got.Format != 1 || strings.Join(got.Names, " ") != "a b" {
		t.Errorf("read %+v, %v", got, err)
	}
}

func TestBadFiles(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		newer  bool
		stands bool
	}{
		"empty":           {text: ""},
		"cut":             {text: `{"format": 1, "names": ["a"`},
		"other type":      {text: `{"format": 1, "names": 3}`},
		"newer":           {text: `{"format": 2, "names": {"a": 1}}`, newer: true, stands: true},
		"not to be moved": {text: "{", stands: true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "names.json")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			aside := path + ".broken-20261130T030000"
			if name == "not to be moved" { // A file cannot take the place of a directory with something in it.
				if err := os.MkdirAll(filepath.Join(aside, "x"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			var got document
			err := jsonfile.Read(path, 1, now, &got)
			if err == nil || errors.Is(err, sqlite.ErrNewer) != c.newer || errors.Is(err, jsonfile.ErrStands) != (c.stands && !c.newer) || !strings.Contains(err.Error(), path) {
				t.Fatalf("read: %v", err)
			}
			if text, err := os.ReadFile(path); (err == nil) != c.stands || err == nil && string(text) != c.text {
				t.Errorf("the file is %q, %v", text, err)
			}
			if text, err := os.ReadFile(aside); !c.stands && (err != nil || string(text) != c.text) {
				t.Errorf("set aside is %q, %v", text, err)
			}
		})
	}
	t.Run("unreadable", func(t *testing.T) { // A directory in its place.
		if err := jsonfile.Read(t.TempDir(), 1, now, &document{}); !errors.Is(err, jsonfile.ErrStands) {
			t.Errorf("read: %v", err)
		}
	})
}
