// Package disktest makes small disks for tests of what becomes of a component when its
// disk is full or read-only. A test that cannot have one fails in CI, where a skip would
// go unnoticed, and is skipped elsewhere.
package disktest

import (
	"os"
	"path/filepath"
	"testing"
)

// Small mounts a disk of a size in bytes until the test ends, and returns its path.
func Small(t testing.TB, size int64) string {
	t.Helper()
	dir := t.TempDir()
	Mount(t, dir, size)
	return dir
}

// Fill leaves no space on the disk of a directory.
func Fill(t testing.TB, dir string) (undo func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
