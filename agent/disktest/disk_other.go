//go:build !linux

package disktest

import "testing"

// Mount skips the test: small disks are mounted on Linux only.
func Mount(t testing.TB, _ string, _ int64) {
	t.Helper()
	t.Skip("not tested: a small disk is mounted on Linux only")
}

// ReadOnly skips the test, as Mount does.
func ReadOnly(t testing.TB, dir string) (undo func()) {
	t.Helper()
	Mount(t, dir, 0)
	return nil
}
