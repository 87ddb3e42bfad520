package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"
)

// Bounds of a database in memory.
const (
	memoryTable = 8 << 20 // Of what is read into it from each table.
	memoryPages = 8 << 10 // Of 4 KiB.
)

// fixed opens the file on a disk that cannot be written, with what its log holds: in a
// way that needs neither locks nor a file beside it. Nobody else writes the file: its
// directory is locked.
func (f Format) fixed(ctx context.Context, path string) (*sql.DB, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	how := url.Values{"mode": {"ro"}, "vfs": {noLocks}}
	if _, err := os.Stat(path + walSuffix); errors.Is(err, os.ErrNotExist) {
		how = url.Values{"immutable": {"1"}} // Else SQLite would make a log.
	}
	f.CacheKiB = 0 // The driver sorts settings, and that of the cache reads the file before it knows how.
	db, err := f.connectWith(path, how, 1, "locking_mode(EXCLUSIVE)", "query_only(1)")
	if err != nil {
		return nil, err
	}
	version, err := versionOf(ctx, db)
	if err == nil && version > len(f.Steps) {
		err = f.newer(version)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// memory opens an empty database in memory.
func (f Format) memory(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file::memory:?_txlock=immediate&_pragma=temp_store(2)&_pragma=trusted_schema(0)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	db.SetConnMaxIdleTime(0)
	err = f.Migrate(ctx, db)
	if err == nil {
		_, err = db.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", memoryPages))
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// load copies the newest rows into memory and returns the tables of which it has all.
// Where there was no file, it has all.
func (f *File) load(ctx context.Context, from, memory *sql.DB) (whole map[string]bool) {
	whole = map[string]bool{}
	all, err := tables(ctx, memory)
	if err != nil {
		return whole
	}
	_, missing := os.Stat(f.o.Path)
	if from == nil && errors.Is(missing, os.ErrNotExist) {
		for _, t := range all {
			whole[t.name] = true
		}
	}
	if from != nil && f.sameVersion(ctx, from) {
		for _, t := range all {
			err := Change(ctx, memory, func(tx *sql.Tx) (err error) {
				c := copier{from: from, tx: tx, verb: "INSERT OR IGNORE", most: memoryTable}
				whole[t.name], err = c.table(ctx, t)
				return err
			})
			if err != nil {
				whole[t.name] = false
			}
		}
		if err := Change(ctx, memory, func(tx *sql.Tx) error { return sequences(ctx, from, tx) }); err == nil {
			return whole
		}
	}
	for _, t := range all {
		if whole[t.name] {
			continue
		}
		// Rows that are not known must not be met by new ones of the same number.
		_, _ = memory.ExecContext(ctx, "INSERT INTO sqlite_sequence (name, seq) SELECT ?, ? WHERE EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ? AND sql LIKE '%AUTOINCREMENT%')",
			t.name, time.Now().UnixMilli(), t.name)
	}
	return whole
}

// sameVersion reports whether a file has the newest schema; one of an older version is
// migrated when it can be written, and until then left alone.
func (f *File) sameVersion(ctx context.Context, db *sql.DB) bool {
	version, err := versionOf(ctx, db)
	return err == nil && version == len(f.o.Steps)
}

// bring writes what is in memory to the file, all or nothing: in place of the rows that
// memory had all of, beside those of other tables.
func (f *File) bring(ctx context.Context, writer *sql.DB) error {
	all, err := tables(ctx, writer)
	if err != nil {
		return err
	}
	return Change(ctx, writer, func(tx *sql.Tx) error {
		for _, t := range all {
			if f.whole[t.name] {
				if _, err := tx.ExecContext(ctx, "DELETE FROM "+t.name); err != nil {
					return err
				}
			}
			c := copier{from: f.writer, tx: tx, verb: "INSERT OR REPLACE"}
			if _, err := c.table(ctx, t); err != nil {
				return err
			}
			if c.wrong != nil {
				return c.wrong
			}
		}
		return sequences(ctx, f.writer, tx)
	})
}
