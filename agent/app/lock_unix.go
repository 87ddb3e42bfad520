//go:build unix

package app

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// hasModes: the permissions of files are told by their mode.
const hasModes = true

// openToLock opens a directory to be locked.
func openToLock(dir string) (*os.File, error) { return os.Open(dir) }

// lockFile locks the file without waiting.
func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errLocked
	}
	return err
}
