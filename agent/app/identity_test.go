package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestIdentity: a machine without a machine-id keeps the identity that the agent gave it,
// also if the data directory is deleted meanwhile, and gets a new one only if it is lost.
func TestIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d")
	file := filepath.Join(path, idFile)
	var log strings.Builder
	hold := func() *dataDir {
		t.Helper()
		log.Reset()
		d, err := holdDirectory(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	start := func(hardware string) string {
		t.Helper()
		d := hold()
		defer func() { _ = d.close() }()
		return d.identity(hardware)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := start("")
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(first) || log.Len() > 0 {
		t.Errorf("it is %q; %s", first, &log)
	}
	if got := start("other-hardware"); got != first {
		t.Errorf("it is %s after a restart, and was %s", got, first)
	}
	if info, err := os.Stat(file); err != nil || hasModes && info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v %v", info, err)
	}

	// The directory is deleted while the agent runs.
	d := hold()
	got := d.identity("")
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	d.look()
	_ = d.close()
	if after := start(""); got != first || after != first {
		t.Errorf("it is %s, and %s after the deletion; it was %s", got, after, first)
	}

	// What is no identity is said to be none, and replaced.
	for _, text := range []string{"", "a b\n", strings.Repeat("x", 2000), "<script>"} {
		write(text)
		got := start("")
		if got == first || !validID.MatchString(got) || !strings.Contains(log.String(), "is made anew") {
			t.Errorf("%.10q became %q; %s", text, got, &log)
		}
		if again := start(""); again != got {
			t.Errorf("%.10q became %s, and then %s", text, got, again)
		}
	}
	write("from-elsewhere\r\n")
	if got := start(""); got != "from-elsewhere" {
		t.Errorf("it is %q", got)
	}

	// The firmware's, where it can be read and is one.
	for hardware, want := range map[string]string{"4c4c4544-0042": "4c4c4544-0042", "to be filled by o.e.m.": ""} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if got := start(hardware); want != "" && got != want || want == "" && got == hardware {
			t.Errorf("with the firmware's %q it is %q", hardware, got)
		}
	}
}
