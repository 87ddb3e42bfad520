package store

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// At level info the log has one line about the store, however long the replay; at
// debug it has everything from the library.
func TestLibraryLogIsQuietUnlessDebugging(t *testing.T) {
	lines := func(level slog.Level) string {
		var text bytes.Buffer
		m := newMachine(noon)
		options := m.options(t, t.TempDir())
		options.Log = slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: level}))
		s, err := Open(options)
		if err != nil {
			t.Fatal(err)
		}
		<-s.Opened()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
	if got := lines(slog.LevelInfo); strings.Count(got, "\n") != 1 || !strings.Contains(got, "store open") {
		t.Errorf("at info the log must have one line, that the store is open:\n%s", got)
	}
	if got := lines(slog.LevelDebug); !strings.Contains(got, "WAL replay completed") {
		t.Errorf("at debug the log must have what the library says:\n%s", got)
	}
}

func TestLibraryLogHandsOnWarnings(t *testing.T) {
	var text bytes.Buffer
	log := newLibraryLog(slog.New(slog.NewTextHandler(&text, nil))).With("tier", "1s").WithGroup("library")
	log.Info("replaying")
	log.Warn("a chunk is corrupt")
	if got := text.String(); strings.Contains(got, "replaying") || !strings.Contains(got, "a chunk is corrupt") || !strings.Contains(got, "tier=1s") {
		t.Errorf("only the warning must pass:\n%s", got)
	}
}
