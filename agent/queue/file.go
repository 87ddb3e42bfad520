package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// schema is the whole file. Numbers are never given twice, even after the
// youngest request has gone: AUTOINCREMENT remembers it.
const schema = `CREATE TABLE request (
	number INTEGER PRIMARY KEY AUTOINCREMENT,
	time INTEGER NOT NULL, -- Unix milliseconds
	body BLOB NOT NULL -- compressed with S2
) STRICT;
PRAGMA user_version = 1`

// version is the format of the file.
const version = 1

// errNewer is the error of a file that a newer version of this program wrote.
var errNewer = errors.New("it was written by a newer version of sysotel; use that version, or move the file away")

// errDamaged is the error of a file that is no queue of ours.
var errDamaged = errors.New("the file is damaged")

// file is the open file. One connection does for all: whoever asks holds the
// queue's lock.
type file struct{ *sql.DB }

// openFile opens or makes the file. One that is damaged is renamed, so that it
// can be looked at, and a new one made: old requests are worth less than new ones.
func openFile(ctx context.Context, path string, log *slog.Logger) (*file, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := tryOpen(ctx, path)
	if err == nil || !damaged(err) {
		return f, err
	}
	aside := path + ".broken-" + time.Now().UTC().Format("20060102T150405")
	log.Error("the queue's file is damaged; it is set aside and a new one begun", "path", path, "aside", aside, "err", err)
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	if err := os.Rename(path, aside); err != nil {
		return nil, err
	}
	return tryOpen(ctx, path)
}

func tryOpen(ctx context.Context, path string) (_ *file, err error) {
	// Requests tell who ran what: they are nobody else's business.
	made, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := made.Close(); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", source(path))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	var found int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&found); err != nil {
		return nil, err
	}
	switch {
	case found > version:
		return nil, fmt.Errorf("%w (its format is %d, this version knows formats up to %d)", errNewer, found, version)
	case found == 0:
		if _, err := db.ExecContext(ctx, schema); err != nil {
			return nil, err
		}
	}
	var answer string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
		return nil, err
	}
	if answer != "ok" {
		return nil, fmt.Errorf("%w: %s", errDamaged, answer)
	}
	return &file{db}, nil
}

// source is the address of the file with the settings of a connection. What a
// killed process wrote is in the kernel's cache and safe; the write-ahead log
// makes it safe from a loss of power up to its last checkpoint, which is enough
// for what is a second copy.
func source(path string) string {
	q := url.Values{"_pragma": {
		"busy_timeout(5000)", "cache_size(-256)", "temp_store(2)", "mmap_size(0)", "trusted_schema(0)",
		// A queue that was long and is short again gives the disk back.
		"auto_vacuum(1)", "journal_mode(WAL)", "synchronous(NORMAL)", "wal_autocheckpoint(256)", "journal_size_limit(1048576)",
	}}
	q.Set("_txlock", "immediate")
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // A drive letter of Windows.
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// damaged tells whether an error of tryOpen means that the file is broken. It
// could be opened for writing: what SQLite refuses then is damage in its header.
func damaged(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case 1, 2, 8, 11, 26: // error, internal, read-only, corrupt, not a database
			return true
		}
		return e.Code() == 10|2<<8 // The file ends too early.
	}
	return errors.Is(err, errDamaged)
}

func (f *file) close() error { return f.Close() }

// totals returns how many requests there are, their bytes, and the last number
// that was given.
func (f *file) totals(ctx context.Context) (n, bytes, last int64, err error) {
	err = f.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(length(body)), 0), coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'request'), 0) FROM request").Scan(&n, &bytes, &last)
	return n, bytes, last, err
}

// change does a few statements or none of them.
func (f *file) change(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := f.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// insert writes requests.
func (f *file) insert(ctx context.Context, requests []waiting) error {
	if len(requests) == 1 { // One statement is a transaction of its own.
		_, err := f.ExecContext(ctx, insertOne, requests[0].Number, requests[0].Time.UnixMilli(), requests[0].packed)
		return err
	}
	return f.change(ctx, func(tx *sql.Tx) error {
		for _, r := range requests {
			if _, err := tx.ExecContext(ctx, insertOne, r.Number, r.Time.UnixMilli(), r.packed); err != nil {
				return err
			}
		}
		return nil
	})
}

const insertOne = "INSERT INTO request (number, time, body) VALUES (?, ?, ?)"

// remove removes requests and returns how many of them there were.
func (f *file) remove(ctx context.Context, numbers ...int64) (int64, error) {
	result, err := f.ExecContext(ctx, "DELETE FROM request WHERE number IN ("+list(numbers)+")")
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// list writes numbers for a statement.
func list(numbers []int64) string {
	var b strings.Builder
	for i, n := range numbers {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d", n)
	}
	return b.String()
}

// oldest returns the oldest request below a number that is not among others, or
// ErrEmpty.
func (f *file) oldest(ctx context.Context, below int64, others []int64) (r Request, packed []byte, err error) {
	var at int64
	err = f.QueryRowContext(ctx, "SELECT number, time, body FROM request WHERE number < ? AND number NOT IN ("+list(others)+") ORDER BY number LIMIT 1", below).
		Scan(&r.Number, &at, &packed)
	if errors.Is(err, sql.ErrNoRows) {
		return r, nil, ErrEmpty
	}
	r.Time = time.UnixMilli(at)
	return r, packed, err
}

// trim removes what is older than a time, and the oldest requests until so many
// bytes are gone, all below a number. It returns how many, their bytes and the
// last number.
func (f *file) trim(ctx context.Context, before time.Time, over, below int64) (n, bytes, last int64, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT number, time, length(body) FROM request WHERE number < ? ORDER BY number", below)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // Closed below, and there it is checked.
		for rows.Next() {
			var number, at, size int64
			if err := rows.Scan(&number, &at, &size); err != nil {
				return err
			}
			if at >= before.UnixMilli() && over-bytes <= 0 {
				break
			}
			last, n, bytes = number, n+1, bytes+size
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || n == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM request WHERE number <= ?", last)
		return err
	})
	if err != nil {
		return 0, 0, 0, err
	}
	return n, bytes, last, nil
}
