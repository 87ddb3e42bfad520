package notify

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
)

// schema is the whole file.
const schema = `
-- What was taken, so that it is not taken again.
CREATE TABLE taken (
	id TEXT PRIMARY KEY,
	time INTEGER NOT NULL -- Unix milliseconds, here and below
) STRICT, WITHOUT ROWID;
-- What a channel has yet to tell.
CREATE TABLE waiting (
	number INTEGER PRIMARY KEY AUTOINCREMENT,
	channel TEXT NOT NULL,
	time INTEGER NOT NULL,
	message TEXT NOT NULL DEFAULT '', -- the message that it goes with, once that was tried
	notice BLOB NOT NULL -- JSON
) STRICT;
CREATE INDEX waiting_channel ON waiting (channel, number);
-- The alerts that last, for an Alertmanager, which wants to hear of them again and again.
CREATE TABLE lasting (
	fingerprint TEXT PRIMARY KEY,
	notice BLOB NOT NULL
) STRICT, WITHOUT ROWID;
-- How the channels fare.
CREATE TABLE channel (
	name TEXT PRIMARY KEY,
	sent INTEGER NOT NULL,
	dropped INTEGER NOT NULL,
	success INTEGER NOT NULL,
	failure INTEGER NOT NULL,
	error TEXT NOT NULL
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1`

// version is the format of the file.
const version = 1

const (
	// takenFor is how long the ids of notices are remembered. Nobody hands over a
	// notice again after a month.
	takenFor = 30 * 24 * time.Hour
	// maxWaiting bounds what waits for one channel; the oldest go first.
	maxWaiting = 10_000
)

var (
	// errNewer is the error of a file that a newer version of this program wrote.
	errNewer = errors.New("it was written by a newer version of sysotel; use that version, or move the file away")
	// errDamaged is the error of a file that is not ours.
	errDamaged = errors.New("the file is damaged")
)

// file is the open file. One connection does for all.
type file struct{ *sql.DB }

// waiting is a notice that waits for a channel.
type waiting struct {
	number  int64
	time    time.Time
	message string
	notice  Notice
}

// openFile opens or makes the file. One that is damaged is renamed, so that it
// can be looked at, and a new one made: alerts to come are worth more than old ones.
func openFile(ctx context.Context, path string, log *slog.Logger) (*file, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := tryOpen(ctx, path)
	if err == nil || !damaged(err) {
		return f, err
	}
	aside := path + ".broken-" + time.Now().UTC().Format("20060102T150405")
	log.Error("the file of waiting messages is damaged; it is set aside and a new one begun", "path", path, "aside", aside, "err", err)
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
	// Notices name processes: they are nobody else's business.
	made, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // It is in the data directory.
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

// source is the address of the file with the settings of a connection. Alerts are
// few: each is made safe from a loss of power too.
func source(path string) string {
	q := url.Values{"_pragma": {
		"busy_timeout(5000)", "cache_size(-256)", "temp_store(2)", "mmap_size(0)", "trusted_schema(0)",
		"auto_vacuum(1)", "journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(256)", "journal_size_limit(1048576)",
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

// take writes a notice for the channels that are to tell it, unless it was taken
// before.
func (f *file) take(ctx context.Context, n Notice, channels []string, now time.Time) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return f.change(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO taken (id, time) VALUES (?, ?)", n.ID, now.UnixMilli())
		if err != nil {
			return err
		}
		if isNew, err := result.RowsAffected(); err != nil || isNew == 0 {
			return err
		}
		if n.over() {
			_, err = tx.ExecContext(ctx, "DELETE FROM lasting WHERE fingerprint = ?", n.Fingerprint)
		} else {
			_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO lasting (fingerprint, notice) VALUES (?, ?)", n.Fingerprint, body)
		}
		if err != nil {
			return err
		}
		for _, channel := range channels {
			if _, err := tx.ExecContext(ctx, "INSERT INTO waiting (channel, time, notice) VALUES (?, ?, ?)", channel, now.UnixMilli(), body); err != nil {
				return err
			}
		}
		return nil
	})
}

// waitingFor lists what waits for a channel, the oldest first.
func (f *file) waitingFor(ctx context.Context, channel string) (all []waiting, err error) {
	rows, err := f.QueryContext(ctx, "SELECT number, time, message, notice FROM waiting WHERE channel = ? ORDER BY number", channel)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells.
	for rows.Next() {
		var w waiting
		var at int64
		var body []byte
		if err := rows.Scan(&w.number, &at, &w.message, &body); err != nil {
			return nil, err
		}
		w.time = time.UnixMilli(at)
		if err := json.Unmarshal(body, &w.notice); err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	return all, rows.Err()
}

// count tells how many notices wait for each channel.
func (f *file) count(ctx context.Context) (map[string]int, error) {
	rows, err := f.QueryContext(ctx, "SELECT channel, count(*) FROM waiting GROUP BY channel")
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells.
	all := map[string]int{}
	for rows.Next() {
		var channel string
		var n int
		if err := rows.Scan(&channel, &n); err != nil {
			return nil, err
		}
		all[channel] = n
	}
	return all, rows.Err()
}

// lasting lists the alerts that are not over.
func (f *file) lasting(ctx context.Context) (all []Notice, err error) {
	rows, err := f.QueryContext(ctx, "SELECT notice FROM lasting ORDER BY fingerprint")
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells.
	for rows.Next() {
		var body []byte
		var n Notice
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(body, &n); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, rows.Err()
}

// begin notes which notices go into a message, before it is tried: after a crash
// the same message is tried again, not another.
func (f *file) begin(ctx context.Context, message string, rows []waiting) error {
	return f.change(ctx, func(tx *sql.Tx) error {
		for _, w := range rows {
			if _, err := tx.ExecContext(ctx, "UPDATE waiting SET message = ? WHERE number = ?", message, w.number); err != nil {
				return err
			}
		}
		return nil
	})
}

// end removes what was told or given up, and notes how the channel fares.
func (f *file) end(ctx context.Context, s ChannelStatus, numbers []int64) error {
	return f.change(ctx, func(tx *sql.Tx) error {
		for _, number := range numbers {
			if _, err := tx.ExecContext(ctx, "DELETE FROM waiting WHERE number = ?", number); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO channel (name, sent, dropped, success, failure, error) VALUES (?, ?, ?, ?, ?, ?)",
			s.Name, s.Sent, s.Dropped, milli(s.LastSuccess), milli(s.LastFailure), s.LastError)
		return err
	})
}

// status reads how a channel fared.
func (f *file) status(ctx context.Context, name string) (s ChannelStatus, err error) {
	var success, failure int64
	err = f.QueryRowContext(ctx, "SELECT sent, dropped, success, failure, error FROM channel WHERE name = ?", name).
		Scan(&s.Sent, &s.Dropped, &success, &failure, &s.LastError)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	s.Name, s.LastSuccess, s.LastFailure = name, fromMilli(success), fromMilli(failure)
	return s, err
}

// forget removes the ids that are too old to come again, and what belongs to
// channels that are gone. It returns how many notices those were.
func (f *file) forget(ctx context.Context, channels []string, now time.Time) (gone int64, err error) {
	known, err := json.Marshal(channels)
	if err != nil {
		return 0, err
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM taken WHERE time < ?", now.Add(-takenFor).UnixMilli()); err != nil {
			return err
		}
		const strange = " NOT IN (SELECT value FROM json_each(?))"
		if _, err := tx.ExecContext(ctx, "DELETE FROM channel WHERE name"+strange, string(known)); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, "DELETE FROM waiting WHERE channel"+strange, string(known))
		if err != nil {
			return err
		}
		gone, err = result.RowsAffected()
		return err
	})
	return gone, err
}

// milli writes a time, 0 for none.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// fromMilli reads what milli wrote.
func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
