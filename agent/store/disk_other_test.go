//go:build !linux

package store

import "testing"

// smallDisk is made on Linux only.
func smallDisk(t *testing.T, _ int64) string {
	t.Helper()
	t.Skip("not tested: a small disk is mounted on Linux only")
	return ""
}
