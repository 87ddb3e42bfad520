package records

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// FileName is the name of the file in its directory; a backup that is to be opened
// must have it.
const FileName = fileName

// Backup writes a consistent copy to a file that must not exist; the records go on
// meanwhile. The copy can be opened like the original.
func (r *Records) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("back up the records: %s exists already", path)
	}
	if err := r.Flush(ctx); err != nil {
		return fmt.Errorf("back up the records: %w", err)
	}
	err := r.withFile(ctx, func(*database) error {
		// On a connection of its own, so that writing goes on meanwhile; one that
		// only reads would not do it.
		c, err := format.Connect(r.path)
		if err != nil {
			return err
		}
		_, err = c.ExecContext(ctx, "VACUUM INTO ?", path)
		return errors.Join(err, c.Close())
	})
	if err != nil {
		// Half a copy must not be taken for one.
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
