// Package sqlite opens the agent's SQLite files. All of them are kept alike: nobody
// else may read them, what a killed process wrote is not lost, one that a newer
// version wrote is refused, and one that is damaged is told from one that cannot be
// reached. What stands in a file is the business of the package that opens it.
package sqlite

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
)

// Format is what a file is made of.
type Format struct {
	// Steps lead from one version of the schema to the next; the number of those
	// that were done is the file's user_version. One that was released is never
	// changed.
	Steps []string
	// Safe has each change made safe from a loss of power too, and not only what is
	// before the last checkpoint. What a killed process wrote is safe anyway: it is
	// in the kernel's cache.
	Safe bool
	// ByHand leaves it to incremental_vacuum to give back the room of what was
	// deleted; else each change does.
	ByHand bool
	// CacheKiB is the size of each connection's cache. Caches are small: the whole
	// agent is to fit into 50 MB, and the kernel caches the file.
	CacheKiB int
}

// ErrNewer is the error of a file that a newer version of this program wrote.
var ErrNewer = errors.New("it was written by a newer version of sysotel; use that version, or move the file away")

// BrokenSuffix follows the name of a file that was set aside, before the time.
const BrokenSuffix = ".broken-"

// Open opens or makes a file that may be begun anew: one that is damaged is renamed,
// so that it can be looked at, and what, in the log, tells what it was. The file has
// one connection.
func Open(ctx context.Context, path, what string, f Format, log *slog.Logger) (*sql.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	db, err := f.open(ctx, path)
	if err == nil || !DamagedAtOpen(err) {
		return db, err
	}
	aside := path + BrokenSuffix + time.Now().UTC().Format("20060102T150405")
	log.Error("a file is damaged; it is set aside and a new one begun", "what", what, "path", path, "aside", aside, "err", err)
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	if err := os.Rename(path, aside); err != nil {
		return nil, err
	}
	return f.open(ctx, path)
}

func (f Format) open(ctx context.Context, path string) (*sql.DB, error) {
	db, err := f.Connect(path)
	if err != nil {
		return nil, err
	}
	if err = f.Migrate(ctx, db); err == nil {
		err = Check(ctx, db)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Connect opens the file for one connection that writes, and makes it where there is
// none.
func (f Format) Connect(path string) (*sql.DB, error) {
	// The file tells who ran what: it is nobody else's business.
	made, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := made.Close(); err != nil {
		return nil, err
	}
	vacuum, synchronous := "auto_vacuum(1)", "synchronous(NORMAL)"
	if f.ByHand {
		vacuum = "auto_vacuum(2)"
	}
	if f.Safe {
		synchronous = "synchronous(FULL)"
	}
	// How room is given back is settled before the first write, which the log is.
	return f.connect(path, 1, vacuum, "journal_mode(WAL)", synchronous, "wal_autocheckpoint(256)", "journal_size_limit(1048576)")
}

// Readers opens a file that is there for so many connections that only read.
func (f Format) Readers(path string, connections int) (*sql.DB, error) {
	return f.connect(path, connections, "query_only(1)")
}

func (f Format) connect(path string, connections int, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": append([]string{
		"busy_timeout(5000)", fmt.Sprintf("cache_size(-%d)", f.CacheKiB), "temp_store(2)", "mmap_size(0)", "trusted_schema(0)",
	}, pragmas...)}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // A drive letter of Windows.
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	return db, nil
}

// Migrate brings the file's schema up to date, or leaves it as it is.
func (f Format) Migrate(ctx context.Context, db *sql.DB) error {
	return Change(ctx, db, func(tx *sql.Tx) error {
		var found int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&found); err != nil {
			return err
		}
		switch known := len(f.Steps); {
		case found > known:
			return fmt.Errorf("%w (its format is %d, this version knows formats up to %d)", ErrNewer, found, known)
		case found < 0:
			return ErrDamaged
		}
		for i, step := range f.Steps[found:] {
			if _, err := tx.ExecContext(ctx, step); err != nil {
				return fmt.Errorf("bring the format from %d to %d: %w", found+i, found+i+1, err)
			}
		}
		if found == len(f.Steps) {
			return nil
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(f.Steps)))
		return err
	})
}

// Check looks at the whole structure of the file.
func Check(ctx context.Context, db *sql.DB) error {
	var answer string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
		return err
	}
	if answer != "ok" {
		return fmt.Errorf("%w: %s", ErrDamaged, answer)
	}
	return nil
}

// Change does a few statements or none of them.
func Change(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
