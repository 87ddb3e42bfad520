package records

import (
	"context"
	"errors"
	"fmt"
	"os"

	"sysotel/agent/sqlite"
)

// FileName is the name of the file in its directory, and of a backup to be opened.
const FileName = fileName

// Backup writes a consistent copy, which can be opened, to a file that must not
// exist. Writing continues meanwhile.
func (r *Records) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("back up the records: %s exists already", path)
	}
	if err := r.Flush(ctx); err != nil && !errors.Is(err, sqlite.ErrUnavailable) {
		return fmt.Errorf("back up the records: %w", err)
	}
	if err := r.file.Copy(ctx, path); err != nil {
		return fmt.Errorf("back up the records: %w", err)
	}
	return nil
}
