package app

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// hasModes: the permissions of files are told by their mode.
const hasModes = false

// openToLock opens a directory to be locked, which Windows cannot do.
func openToLock(string) (*os.File, error) { return nil, errors.ErrUnsupported }

// lockFile locks the file without waiting.
func lockFile(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}
