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

// recover sets a damaged file aside, opens a new one and copies what is still
// readable.
func (r *Records) recover(ctx context.Context, cause error) (*database, error) {
	aside := r.path + brokenSuffix + r.now().UTC().Format("20060102T150405.000")
	if err := os.Rename(r.path, aside); err != nil {
		return nil, fmt.Errorf("set the damaged records file aside: %w", err)
	}
	// The WAL belongs to the file; its index is rebuilt.
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

// salvage copies the readable rows of a damaged file. If reading from the front
// stops at the damage, it continues from the back.
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
		t := newSalvager(from, to, table.read, table.write, table.columns)
		err := t.copyRows(ctx, " WHERE id > ? ORDER BY id")
		if err != nil {
			lost = errors.Join(lost, err, t.copyRows(ctx, " WHERE id > ? ORDER BY id DESC"))
		}
		saved += t.saved
	}
	return saved, lost
}

// salvageBatch rows are copied in one transaction.
const salvageBatch = 500

// salvager copies the rows of one table from a damaged file.
type salvager struct {
	from            *sql.DB
	to              *database
	read, write     string
	values, targets []any
	saved           int
	// last is the id of the last row that was copied.
	last int64
}

func newSalvager(from *sql.DB, to *database, read, write string, columns int) *salvager {
	s := &salvager{from: from, to: to, read: read, write: write, last: math.MinInt64, values: make([]any, columns), targets: make([]any, columns)}
	for i := range s.values {
		s.targets[i] = &s.values[i]
	}
	return s
}

// copyRows copies the rows after last, in an order, until one cannot be read.
func (s *salvager) copyRows(ctx context.Context, order string) error {
	rows, err := s.from.QueryContext(ctx, s.read+order, s.last)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Its error is that of Err, which is checked.
	for {
		n, err := s.copyBatch(ctx, rows)
		if err != nil {
			return err
		}
		if n < salvageBatch {
			return rows.Err()
		}
	}
}

func (s *salvager) copyBatch(ctx context.Context, rows *sql.Rows) (n int, err error) {
	tx, err := s.to.writer.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // After Commit there is nothing to roll back.
	last := s.last
	for n < salvageBatch && rows.Next() {
		if err := rows.Scan(s.targets...); err != nil {
			break // Rows.Err has the reason; a single row cannot fail otherwise.
		}
		if _, err := tx.ExecContext(ctx, s.write, s.values...); err != nil {
			continue // A damaged row that does not fit the schema of the new file.
		}
		last, _ = s.values[0].(int64)
		n++
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	s.last = last
	s.saved += n
	return n, nil
}

// replace replaces the open file after damage was found.
func (r *Records) replace(ctx context.Context, found *database, cause error) error {
	r.fileMu.Lock()
	defer r.fileMu.Unlock()
	if r.file != found || r.closed {
		return nil // Another goroutine was faster.
	}
	if now := r.now(); r.replaced.IsZero() || now.Sub(r.replaced).Abs() >= replaceEvery {
		r.replaced = now
	} else {
		return fmt.Errorf("damaged again within %s: %w", replaceEvery, cause)
	}
	closed := r.file.close()
	d, err := r.recover(ctx, errors.Join(cause, closed))
	if err != nil {
		// The old file, if still there, serves what is readable.
		again, openErr := openDatabase(ctx, r.path)
		if openErr == nil {
			r.file = again
		}
		return errors.Join(err, openErr)
	}
	r.file = d
	return nil
}

// replaceEvery bounds how often a file is replaced: a failing disk must not fill
// with damaged files.
const replaceEvery = time.Hour
