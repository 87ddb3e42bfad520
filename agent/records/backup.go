package records

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// FileName is the name of the file in its directory, and of a backup to be opened.
const FileName = fileName

// Backup writes a consistent copy, which can be opened, to a file that must not
// exist. Writing continues meanwhile.
func (r *Records) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("back up the records: %s exists already", path)
	}
	if err := r.Flush(ctx); err != nil {
		return fmt.Errorf("back up the records: %w", err)
	}
	err := r.withFile(ctx, func(*database) error {
		// On its own connection, so that writing continues; a read-only one cannot
		// do it.
		c, err := format.Connect(r.path)
		if err != nil {
			return err
		}
		_, err = c.ExecContext(ctx, "VACUUM INTO ?", path)
		return errors.Join(err, c.Close())
	})
	if err != nil {
		// Do not leave an incomplete copy.
		if gone := os.Remove(path); gone != nil && !errors.Is(gone, os.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return fmt.Errorf("back up the records: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("back up the records: %w", err)
	}
	return nil
}
