package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"sysotel/agent/records"
	"sysotel/agent/store"
	"sysotel/api"
)

// backup copies the history and the alerts into a directory, which must be empty or
// missing; an agent can start on the copy. With secrets it copies the users, the
// API tokens and the channels of the API too. If it fails it removes what it wrote.
func (h *history) backup(ctx context.Context, dir string, secrets bool) (err error) {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("%w: %s is not an absolute path", api.ErrBackupRefused, dir)
	}
	inside, err := within(h.dir, dir)
	if err != nil {
		return fmt.Errorf("%w: %w", api.ErrBackupRefused, err)
	}
	if inside {
		return fmt.Errorf("%w: %s is in the agent's data directory", api.ErrBackupRefused, dir)
	}
	if info, err := os.Stat(dir); err == nil && !trustworthy(info) {
		return fmt.Errorf("%w: others than its owner can change %s, or its owner is neither root nor the agent's user", api.ErrBackupRefused, dir)
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("%w: %w", api.ErrBackupRefused, err)
		}
	case err != nil:
		return fmt.Errorf("%w: %w", api.ErrBackupRefused, err)
	case len(entries) > 0:
		return fmt.Errorf("%w: %s is not empty", api.ErrBackupRefused, dir)
	}
	// Writing blocks takes several times the usual memory.
	defer debug.FreeOSMemory()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, storeDir)), os.RemoveAll(filepath.Join(dir, recordsDir)), os.RemoveAll(filepath.Join(dir, authDir)), os.RemoveAll(filepath.Join(dir, alertingDir)))
		}
	}()
	if err := h.store.Backup(ctx, filepath.Join(dir, storeDir)); errors.Is(err, store.ErrOpening) {
		return fmt.Errorf("%w: %w", api.ErrBackupNotYet, err)
	} else if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, recordsDir), 0o700); err != nil {
		return err
	}
	if err := h.records.Backup(ctx, filepath.Join(dir, recordsDir, records.FileName)); err != nil {
		return err
	}
	if h.alerts != nil {
		if err := os.Mkdir(filepath.Join(dir, alertingDir), 0o700); err != nil {
			return err
		}
		if err := h.alerts.Backup(ctx, filepath.Join(dir, alertingDir)); err != nil {
			return err
		}
	}
	if !secrets {
		return nil
	}
	if h.channels != nil {
		if err := h.channels.BackupChannels(filepath.Join(dir, alertingDir)); err != nil {
			return err
		}
	}
	return h.accounts.Backup(filepath.Join(dir, authDir))
}

// within reports whether a path is a directory or below it, by any name. The path
// need not exist.
func within(dir, path string) (bool, error) {
	top, err := os.Stat(dir)
	if err != nil {
		return false, err
	}
	path = filepath.Clean(path)
	for {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			path = real
			break
		}
		if !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
		path = filepath.Dir(path)
	}
	for {
		if info, err := os.Stat(path); err != nil {
			return false, err
		} else if os.SameFile(info, top) {
			return true, nil
		}
		up := filepath.Dir(path)
		if up == path {
			return false, nil
		}
		path = up
	}
}
