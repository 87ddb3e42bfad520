package records

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"time"
)

// recover sets a damaged file aside, opens a new one and takes over what can
// still be read.
func (r *Records) recover(ctx context.Context, cause error) (*database, error) {
	aside := r.path + brokenSuffix + r.now().UTC().Format("20060102T150405.000")
	if err := os.Rename(r.path, aside); err != nil {
		return nil, fmt.Errorf("set the damaged records file aside: %w", err)
	}
	// The log of changes belongs to the file; its index is made anew.
	if err := os.Rename(r.path+walSuffix, aside+walSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("set the damaged records file aside: %w", err)
	}
	if err := os.Remove(r.path + indexSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the index of the damaged records file: %w", err)
	}
	d, err := openDatabase(ctx, r.path)
	if err != nil {
		return nil, err
	}
	saved, lost := salvage(ctx, aside, d)
	if err := os.Remove(aside + indexSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		lost = errors.Join(lost, err)
	}
	r.broken.Store(&aside)
	r.log.Error("records file damaged, set aside and replaced", "err", cause, "aside", aside, "saved_rows", saved, "lost", lost)
	return d, nil
}

// salvage copies the rows that can be read from a damaged file. Where reading from
// the front stops at the damage, it reads from the back down to it.
func salvage(ctx context.Context, path string, to *database) (saved int, lost error) {
	from, err := format.Connect(path)
	if err != nil {
		return 0, err
	}
	defer func() { lost = errors.Join(lost, from.Close()) }()
	for _, table := range [...]struct {
		read, write string
		columns     int
	}{
		{"SELECT id, since, last, body FROM process_record", "INSERT OR IGNORE INTO process_record (id, since, last, body) VALUES (?, ?, ?, ?)", 4},
		{"SELECT id, time, kind, cause, subject, since, until, detail FROM event", "INSERT OR IGNORE INTO event (id, time, kind, cause, subject, since, until, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", 8},
	} {
		n, last, err := salvageRows(ctx, from, to, table.read+" WHERE id > ? ORDER BY id", table.write, int64(math.MinInt64), table.columns)
		saved += n
		if err == nil {
			continue
		}
		lost = errors.Join(lost, err)
		n, _, err = salvageRows(ctx, from, to, table.read+" WHERE id > ? ORDER BY id DESC", table.write, last, table.columns)
		saved += n
		lost = errors.Join(lost, err)
	}
	return saved, lost
}

// salvageBatch rows are copied in one transaction.
const salvageBatch = 500

func salvageRows(ctx context.Context, from *sql.DB, to *database, read, write string, after int64, columns int) (saved int, last int64, err error) {
	last = after
	rows, err := from.QueryContext(ctx, read, after)
	if err != nil {
		return 0, last, err
	}
	defer rows.Close() //nolint:errcheck // Its error is that of Err, which is looked at.
	values, targets := make([]any, columns), make([]any, columns)
	for i := range values {
		targets[i] = &values[i]
	}
	for more := true; more; {
		n, id, err := copyBatch(ctx, rows, to, write, values, targets)
		saved += n
		if n > 0 {
			last = id
		}
		if err != nil {
			return saved, last, err
		}
		more = n == salvageBatch
	}
	return saved, last, rows.Err()
}

func copyBatch(ctx context.Context, rows *sql.Rows, to *database, write string, values, targets []any) (n int, last int64, err error) {
	tx, err := to.writer.BeginTx(ctx, nil)
	if err != nil {
		return 0, 0, err
	}
	defer tx.Rollback() //nolint:errcheck // After Commit there is nothing to roll back.
	for n < salvageBatch && rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			break // Rows.Err tells why; a single row cannot fail otherwise.
		}
		if _, err := tx.ExecContext(ctx, write, values...); err != nil {
			continue // A damaged row that the new file's schema does not take.
		}
		last, _ = values[0].(int64)
		n++
	}
	if err := tx.Commit(); err != nil {
		return 0, 0, err
	}
	return n, last, nil
}

// replace exchanges the open file after damage was found in it.
func (r *Records) replace(ctx context.Context, found *database, cause error) error {
	r.fileMu.Lock()
	defer r.fileMu.Unlock()
	if r.file != found || r.closed {
		return nil // Somebody else was faster.
	}
	if now := r.now(); r.replaced.IsZero() || now.Sub(r.replaced).Abs() >= replaceEvery {
		r.replaced = now
	} else {
		return fmt.Errorf("damaged again within %s: %w", replaceEvery, cause)
	}
	closed := r.file.close()
	d, err := r.recover(ctx, errors.Join(cause, closed))
	if err != nil {
		// The old file, if it is still there, answers what it can.
		again, openErr := openDatabase(ctx, r.path)
		if openErr == nil {
			r.file = again
		}
		return errors.Join(err, openErr)
	}
	r.file = d
	return nil
}

// replaceEvery bounds how often a file is replaced: a disk that damages all that
// is written to it must not be filled with broken files.
const replaceEvery = time.Hour
