package auth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBackup: the copy has users and API tokens, and nothing that opens the original.
func TestBackup(t *testing.T) {
	h := newFixture(t)
	secret, _, err := h.NewToken("grafana", Viewer, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "copy")
	if err := h.Backup(dir); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != accountsFile {
		t.Fatalf("%v, %v", files, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, accountsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{h.admin.Refresh, secret, string(h.keys.Load().newest().Secret)} {
		if never == "" || strings.Contains(string(text), never) {
			t.Errorf("%q is in the copy", never)
		}
	}
	restored := &fixture{Auth: open(t, dir, h.handClock), handClock: h.handClock, dir: dir}
	restored.login(t, "root", password)
	restored.accepted(t, secret)
	restored.refused(t, h.admin.Access, ErrDenied)
	if _, err := restored.Refresh(t.Context(), h.admin.Refresh); err == nil {
		t.Error("a session of the original goes on")
	}
	// Nor does the copy help against the original.
	h.refused(t, restored.login(t, "root", password).Access, ErrDenied)
	if err := h.Backup(dir); err == nil {
		t.Error("a directory that exists was used")
	}
}
