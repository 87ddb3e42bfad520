package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// errLocked means that another process holds the lock.
var errLocked = errors.New("locked")

// lockDirectory creates the data directory and locks it, because two agents would
// damage it. The lock ends with the process.
func lockDirectory(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data_dir: %w; choose a writable directory with --data-dir", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w; choose a writable directory with --data-dir", err)
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		if errors.Is(err, errLocked) {
			return nil, fmt.Errorf("data_dir: another sysotel runs on %s; stop it or choose another directory with --data-dir", dir)
		}
		return nil, fmt.Errorf("data_dir: lock %s: %w", path, err)
	}
	return f.Close, nil
}
