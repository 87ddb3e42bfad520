//go:build unix

package store

import "golang.org/x/sys/unix"

// freeBytes is how much may still be written to the file system of dir.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // The types differ between systems.
}
