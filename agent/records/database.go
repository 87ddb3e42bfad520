package records

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
)

// The names of the files.
const (
	fileName     = "records.db"
	walSuffix    = "-wal"
	indexSuffix  = "-shm"
	brokenSuffix = ".broken-"
)

// migrations are the steps from one version of the schema to the next; the number
// of steps that were done is the file's user_version. A step that was once
// released is never changed.
var migrations = [...]string{
	`CREATE TABLE process_record (
		id INTEGER PRIMARY KEY, -- resolution in seconds << 40 | end of the bucket in Unix seconds
		since INTEGER NOT NULL, -- first and last moment that is in it, Unix milliseconds
		last INTEGER NOT NULL,
		body BLOB NOT NULL
	) STRICT;
	CREATE TABLE event (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		time INTEGER NOT NULL, -- Unix milliseconds, as are since and until
		kind TEXT NOT NULL,
		cause TEXT NOT NULL,
		subject TEXT NOT NULL,
		since INTEGER,
		until INTEGER,
		detail TEXT NOT NULL -- a JSON object of strings
	) STRICT;
	CREATE INDEX event_time ON event (time, id);`,
}

// ErrNewer is the error of a file that a newer version of this program wrote.
var ErrNewer = errors.New("the records were written by a newer version of sysotel; use that version, or move the file away")

// database is the open file: one connection that writes and a few that read.
type database struct {
	writer, reader *sql.DB
}

// source is the address of the file with the settings of a connection. Caches are
// small: the whole agent is to fit into 50 MB, and the kernel caches the file.
func source(path string, readOnly bool) string {
	q := url.Values{"_pragma": {
		"busy_timeout(5000)", "cache_size(-512)", "temp_store(2)", "mmap_size(0)",
		"trusted_schema(0)", "foreign_keys(1)",
	}}
	if readOnly {
		q["_pragma"] = append(q["_pragma"], "query_only(1)")
	} else {
		// What is deleted is given back to the file system by Retain and Shrink.
		q["_pragma"] = append(q["_pragma"], "auto_vacuum(2)", "journal_mode(WAL)", "synchronous(NORMAL)",
			"wal_autocheckpoint(256)", "journal_size_limit(1048576)")
		q.Set("_txlock", "immediate")
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // A drive letter of Windows.
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// openDatabase opens or makes the file and brings its schema up to date.
func openDatabase(ctx context.Context, path string) (*database, error) {
	// The file holds who ran what: it is nobody else's business.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	writer, err := sql.Open("sqlite", source(path, false))
	if err != nil {
		return nil, err
	}
	writer.SetMaxOpenConns(1)
	d := &database{writer: writer}
	if err := d.migrate(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	if d.reader, err = sql.Open("sqlite", source(path, true)); err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.reader.SetMaxOpenConns(3)
	d.reader.SetMaxIdleConns(1)
	if err := d.probe(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *database) migrate(ctx context.Context) error {
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // After Commit there is nothing to roll back.
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("%w (its format is %d, this version knows formats up to %d)", ErrNewer, version, len(migrations))
	}
	if version < 0 {
		return errDamaged
	}
	if version == len(migrations) {
		return nil
	}
	for _, step := range migrations[version:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("bring the format from %d to %d: %w", version, len(migrations), err)
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(migrations))); err != nil {
		return err
	}
	return tx.Commit()
}

// probe reads one row of each table, so that the worst damage shows at once.
func (d *database) probe(ctx context.Context) error {
	var id, since, last int64
	var body []byte
	err := d.reader.QueryRowContext(ctx, "SELECT id, since, last, body FROM process_record ORDER BY id DESC LIMIT 1").Scan(&id, &since, &last, &body)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	err = d.reader.QueryRowContext(ctx, "SELECT id, time FROM event ORDER BY time DESC, id DESC LIMIT 1").Scan(&id, &since)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return nil
}

// check looks at the whole structure of the file.
func (d *database) check(ctx context.Context) error {
	var answer string
	if err := d.reader.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
		return err
	}
	if answer != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, answer)
	}
	return nil
}

func (d *database) close() error {
	var err error
	if d.reader != nil {
		err = d.reader.Close()
	}
	return errors.Join(err, d.writer.Close())
}

var errDamaged = errors.New("the file of the records is damaged")

// Codes of SQLite's errors, without their details.
const (
	codeError      = 1
	codeReadOnly   = 8
	codeInternal   = 2
	codeIO         = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeNoDatabase = 26
	// codeShortRead is an I/O error with its detail: the file ends too early.
	codeShortRead = codeIO | 2<<8
)

// damaged tells whether an error means that the file is broken.
func damaged(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch code := e.Code(); {
		case code&0xff == codeCorrupt, code&0xff == codeNoDatabase, code&0xff == codeInternal, code == codeShortRead:
			return true
		}
		// The texts of the schema are in the file, and so may be damaged as well.
		return strings.Contains(e.Error(), "malformed") || strings.Contains(e.Error(), "no such table") || strings.Contains(e.Error(), "no such column")
	}
	return errors.Is(err, errDamaged)
}

// damagedAtOpen tells the same of an error of Open. The file could be opened for
// writing and the statements are right: what SQLite refuses then, such as a format
// that it does not know, is damage in the header.
func damagedAtOpen(err error) bool {
	var e *sqlite.Error
	if errors.As(err, &e) && (e.Code() == codeError || e.Code() == codeReadOnly) {
		return true
	}
	return damaged(err)
}

// full tells whether an error means that nothing more fits on the disk.
func full(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == codeFull
}
