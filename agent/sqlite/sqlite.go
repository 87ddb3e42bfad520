// Package sqlite opens the agent's SQLite files. For all of them: only the owner may
// read them, what a killed process wrote is not lost, a file of a newer version is
// refused, and damage is distinguished from other errors. The content of a file
// belongs to the package that opens it.
//
// A [File] can be opened, read and closed whatever the state of its disk. While the disk
// is full, read-only, out of reach or gone, a File with Memory (for small files: silences,
// alert states, messages) takes changes in memory, together with what it can read of the
// file; one without answers changes with [ErrUnavailable] and reads from what is there.
// Each Change, and each Retry, looks whether the disk can be written again, at most every
// 2 to 10 s; then what is in memory is brought to the disk in one transaction. Trouble
// says in one sentence what does not reach the disk. So users need no case of their own
// for a bad disk: they use Change and Read, call Retry now and then, and show Trouble.
//
// A damaged file is set aside, and replaced by a new one with every row that can be read;
// [Damage] says what was lost and from when to when. What is set aside is bounded.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Format describes a kind of file.
type Format struct {
	// Steps migrate the schema from one version to the next; the file's user_version
	// is the number of those done. A released step never changes.
	Steps []string
	// Safe makes each change survive a loss of power, not only those before the last
	// checkpoint. A killed process loses nothing in any case: its writes are in the
	// kernel's cache.
	Safe bool
	// ByHand leaves it to incremental_vacuum to free the space of deleted rows;
	// otherwise each change does.
	ByHand bool
	// CacheKiB is the size of each connection's cache, small because the kernel
	// caches the file and the whole agent should fit into 50 MB; 0: SQLite's default.
	CacheKiB int
}

// plausible is how many versions a file can be ahead of this program; more is damage.
const plausible = 1000

// ErrNewer is the error of a file that a newer version of this program wrote.
var ErrNewer = errors.New("it was written by a newer version of sysotel; use that version, or move the file away")

// BrokenSuffix is appended to the name of a file set aside, followed by the time.
const BrokenSuffix = ".broken-"

func (f Format) open(ctx context.Context, path string) (*sql.DB, error) {
	db, err := f.Connect(path)
	if err != nil {
		return nil, err
	}
	if err = f.Migrate(ctx, db); err == nil {
		if info, e := os.Stat(path); e == nil && info.Size() < checkBelow {
			err = Check(ctx, db)
		}
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// checkBelow is the size of files whose structure is verified when they are opened;
// larger ones take seconds, and are left to a call of Check.
const checkBelow = 32 << 20

// Connect opens the file, or creates it, for one connection that writes.
func (f Format) Connect(path string) (*sql.DB, error) {
	// The file may list what users ran: only the owner may read it.
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
	// auto_vacuum must be set before the first write, which journal_mode is.
	return f.connect(path, 1, vacuum, "journal_mode(WAL)", synchronous, "wal_autocheckpoint(256)", "journal_size_limit(1048576)")
}

// Readers opens an existing file for a number of read-only connections.
func (f Format) Readers(path string, connections int) (*sql.DB, error) {
	return f.connect(path, connections, "query_only(1)")
}

func (f Format) connect(path string, connections int, pragmas ...string) (*sql.DB, error) {
	return f.connectWith(path, url.Values{}, connections, pragmas...)
}

func (f Format) connectWith(path string, q url.Values, connections int, pragmas ...string) (*sql.DB, error) {
	q.Set("_txlock", "immediate")
	q["_pragma"] = append(pragmas, "busy_timeout(5000)", "temp_store(2)", "mmap_size(0)", "trusted_schema(0)")
	if f.CacheKiB > 0 {
		q.Add("_pragma", fmt.Sprintf("cache_size(-%d)", f.CacheKiB))
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a Windows drive letter
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	return db, nil
}

// Migrate updates the file's schema, or on an error leaves it unchanged.
func (f Format) Migrate(ctx context.Context, db *sql.DB) error {
	return Change(ctx, db, func(tx *sql.Tx) error {
		var found int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&found); err != nil {
			return err
		}
		switch known := len(f.Steps); {
		case found < 0, found > known+plausible:
			return ErrDamaged
		case found > known:
			return f.newer(found)
		}
		for i, step := range f.Steps[found:] {
			if _, err := tx.ExecContext(ctx, step); err != nil {
				return fmt.Errorf("migrate the format from %d to %d: %w", found+i, found+i+1, err)
			}
		}
		if found == len(f.Steps) {
			return nil
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(f.Steps)))
		return err
	})
}

func (f Format) newer(version int) error {
	return fmt.Errorf("%w (its format is %d, this version supports up to %d)", ErrNewer, version, len(f.Steps))
}

// versionOf returns the version of a file's schema.
func versionOf(ctx context.Context, db *sql.DB) (version int, err error) {
	err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}

// Check verifies the structure of the file.
func Check(ctx context.Context, db *sql.DB) error {
	var result string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return err
	}
	if result != "ok" {
		return fmt.Errorf("%w: %s", ErrDamaged, result)
	}
	return nil
}

// Change runs do in a transaction.
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
