package alerting

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"

	"sysotel/agent/notify"
)

// schema is the whole file. What is only read back whole is JSON.
const schema = `CREATE TABLE alert (
	fingerprint TEXT PRIMARY KEY,
	body TEXT NOT NULL -- a tracked
) STRICT;
CREATE TABLE episode (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	rule TEXT NOT NULL,
	fired INTEGER NOT NULL, -- Unix milliseconds
	ended INTEGER, -- NULL while it is not over
	body TEXT NOT NULL -- an Episode
) STRICT;
CREATE INDEX episode_fired ON episode (fired);
CREATE TABLE notice (
	number INTEGER PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL UNIQUE,
	body TEXT NOT NULL -- a notice that was not handed over yet
) STRICT;
CREATE TABLE silence (
	id TEXT PRIMARY KEY,
	body TEXT NOT NULL
) STRICT;
CREATE TABLE evaluation (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	time INTEGER NOT NULL -- of the newest one, Unix milliseconds
) STRICT;
PRAGMA user_version = 1`

// version is the format of the file.
const version = 1

var (
	errNewer   = errors.New("it was written by a newer version of sysotel; use that version, or move the file away")
	errDamaged = errors.New("the file is damaged")
)

// database is the open file. One connection does for all.
type database struct{ *sql.DB }

// openDatabase opens or makes the file. One that is damaged is set aside, so that
// it can be looked at, and a new one begun: rules that are evaluated without
// memory are better than none.
func openDatabase(ctx context.Context, path string, log *slog.Logger) (*database, error) {
	d, err := tryOpen(ctx, path)
	if err == nil || !damaged(err) {
		return d, err
	}
	aside := path + ".broken-" + time.Now().UTC().Format("20060102T150405")
	log.Error("the state of the alerts is damaged; it is set aside and a new one begun", "path", path, "aside", aside, "err", err)
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

func tryOpen(ctx context.Context, path string) (_ *database, err error) {
	// Alerts name processes and devices: they are nobody else's business.
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
		return nil, fmt.Errorf("%s: %w (its format is %d, this version knows formats up to %d)", path, errNewer, found, version)
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
	return &database{db}, nil
}

// source is the address of the file with the settings of a connection. What a
// killed process wrote is in the kernel's cache and safe.
func source(path string) string {
	q := url.Values{"_pragma": {
		"busy_timeout(5000)", "cache_size(-256)", "temp_store(2)", "mmap_size(0)", "trusted_schema(0)",
		"auto_vacuum(1)", "journal_mode(WAL)", "synchronous(NORMAL)", "wal_autocheckpoint(256)", "journal_size_limit(1048576)",
	}}
	q.Set("_txlock", "immediate")
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // A drive letter of Windows.
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// damaged tells whether an error of tryOpen means that the file is broken.
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

// change does a few statements or none of them.
func (d *database) change(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// save writes what an evaluation changed, and what is to be told of it, in one go.
func (d *database) save(ctx context.Context, at time.Time, changed, gone []*tracked, notices []notify.Notice) error {
	// A change is worth its moment even while the agent stops.
	ctx = context.WithoutCancel(ctx)
	return d.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO evaluation (one, time) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET time = excluded.time", at.UnixMilli()); err != nil {
			return err
		}
		for _, t := range changed {
			if t.begun {
				id, err := addEpisode(ctx, tx, t.episode())
				if err != nil {
					return err
				}
				t.Episode = id
			}
			body, err := json.Marshal(t)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO alert (fingerprint, body) VALUES (?, ?) ON CONFLICT (fingerprint) DO UPDATE SET body = excluded.body", t.Fingerprint, string(body)); err != nil {
				return err
			}
			if t.Episode == 0 {
				continue
			}
			if err := writeEpisode(ctx, tx, t.episode()); err != nil {
				return err
			}
		}
		for _, t := range gone {
			if _, err := tx.ExecContext(ctx, "DELETE FROM alert WHERE fingerprint = ?", t.Fingerprint); err != nil {
				return err
			}
		}
		for _, n := range notices {
			body, err := json.Marshal(n)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO notice (id, body) VALUES (?, ?)", n.ID, string(body)); err != nil {
				return err
			}
		}
		return nil
	})
}

// handedOver removes notices that others have on disk now.
func (d *database) handedOver(ctx context.Context, notices []notify.Notice) error {
	ctx = context.WithoutCancel(ctx)
	return d.change(ctx, func(tx *sql.Tx) error {
		for _, n := range notices {
			if _, err := tx.ExecContext(ctx, "DELETE FROM notice WHERE id = ?", n.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// alerts reads the alerts of an earlier run and the time of its last evaluation.
func (d *database) alerts(ctx context.Context) (map[string]*tracked, time.Time, error) {
	all := map[string]*tracked{}
	err := d.each(ctx, func(body []byte) error {
		t := &tracked{}
		if err := json.Unmarshal(body, t); err != nil {
			return err
		}
		all[t.Fingerprint] = t
		return nil
	}, "SELECT body FROM alert")
	if err != nil {
		return nil, time.Time{}, err
	}
	var ms int64
	switch err := d.QueryRowContext(ctx, "SELECT time FROM evaluation").Scan(&ms); {
	case errors.Is(err, sql.ErrNoRows):
		return all, time.Time{}, nil
	case err != nil:
		return nil, time.Time{}, err
	}
	return all, time.UnixMilli(ms).UTC(), nil
}

// notices reads those that were not handed over, in their order.
func (d *database) notices(ctx context.Context) (all []notify.Notice, err error) {
	err = d.each(ctx, func(body []byte) error {
		var n notify.Notice
		if err := json.Unmarshal(body, &n); err != nil {
			return err
		}
		all = append(all, n)
		return nil
	}, "SELECT body FROM notice ORDER BY number")
	return all, err
}

// silences reads the silences.
func (d *database) silences(ctx context.Context) (all []Silence, err error) {
	err = d.each(ctx, func(body []byte) error {
		var s Silence
		if err := json.Unmarshal(body, &s); err != nil {
			return err
		}
		all = append(all, s)
		return nil
	}, "SELECT body FROM silence")
	return all, err
}

// setSilence writes one silence.
func (d *database) setSilence(ctx context.Context, s Silence) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = d.ExecContext(ctx, "INSERT INTO silence (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body", s.ID, string(body))
	return err
}

// forgetSilences removes silences.
func (d *database) forgetSilences(ctx context.Context, gone []Silence) error {
	return d.change(ctx, func(tx *sql.Tx) error {
		for _, s := range gone {
			if _, err := tx.ExecContext(ctx, "DELETE FROM silence WHERE id = ?", s.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// each calls visit for the only column of every row.
func (d *database) each(ctx context.Context, visit func(body []byte) error, query string, arguments ...any) error {
	rows, err := d.QueryContext(ctx, query, arguments...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Its error is that of Err, which is looked at.
	for rows.Next() {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return err
		}
		if err := visit(body); err != nil {
			return err
		}
	}
	return rows.Err()
}
