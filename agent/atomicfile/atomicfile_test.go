package atomicfile

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, mode := range []os.FileMode{0o600, 0o644} {
		if err := Write(path, []byte(mode.String()), mode); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil || string(content) != mode.String() {
			t.Errorf("the file holds %q (%v)", content, err)
		}
		if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != mode {
			t.Errorf("the file has mode %v (%v), want %v", info.Mode(), err, mode)
		}
	}
	if all, err := os.ReadDir(filepath.Dir(path)); err != nil || len(all) != 1 {
		t.Errorf("the directory holds %v (%v)", all, err)
	}
}

// TestFailedWrite: a directory stands in the way, which refuses root too.
func TestFailedWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.MkdirAll(filepath.Join(path, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("new"), 0o600); err == nil {
		t.Error("the write succeeded")
	}
	if all, err := os.ReadDir(filepath.Dir(path)); err != nil || len(all) != 1 {
		t.Errorf("the directory holds %v (%v)", all, err)
	}
}

func TestRemoveUnfinished(t *testing.T) {
	dir := t.TempDir()
	left, other := filepath.Join(dir, ".file-123"), filepath.Join(dir, ".other-123")
	for _, path := range []string{left, other} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveUnfinished(filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", left, err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("%s is gone: %v", other, err)
	}
}

func TestProbe(t *testing.T) {
	dir := t.TempDir()
	if err := Probe(dir); err != nil {
		t.Error(err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 0 {
		t.Errorf("left are %v (%v)", all, err)
	}
	if err := Probe(filepath.Join(dir, "gone")); !os.IsNotExist(err) {
		t.Errorf("a directory that is not there: %v", err)
	}
}
