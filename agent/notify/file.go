package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"sysotel/agent/clock"
	"sysotel/agent/sqlite"
)

// format is the schema of the file. Alerts are few: each survives a loss of power.
var format = sqlite.Format{CacheKiB: 256, Safe: true, Steps: []string{
	`-- The ids of accepted notices, so that none is accepted twice.
	CREATE TABLE taken (
		id TEXT PRIMARY KEY,
		time INTEGER NOT NULL -- Unix milliseconds, here and below
	) STRICT, WITHOUT ROWID;
	-- The notices that wait for a channel.
	CREATE TABLE waiting (
		number INTEGER PRIMARY KEY AUTOINCREMENT,
		channel TEXT NOT NULL,
		time INTEGER NOT NULL,
		message TEXT NOT NULL DEFAULT '', -- the message that it is part of, once that was attempted
		notice BLOB NOT NULL -- JSON
	) STRICT;
	CREATE INDEX waiting_channel ON waiting (channel, number);
	-- Active alerts, which Alertmanagers need to receive again and again.
	CREATE TABLE lasting (
		fingerprint TEXT PRIMARY KEY,
		notice BLOB NOT NULL
	) STRICT, WITHOUT ROWID;
	-- The status of the channels.
	CREATE TABLE channel (
		name TEXT PRIMARY KEY,
		sent INTEGER NOT NULL,
		dropped INTEGER NOT NULL,
		success INTEGER NOT NULL,
		failure INTEGER NOT NULL,
		error TEXT NOT NULL
	) STRICT, WITHOUT ROWID;`,
	`CREATE TABLE followed (
		id INTEGER PRIMARY KEY CHECK (id = 0),
		step INTEGER NOT NULL -- the newest step of the clock for which times were moved
	) STRICT;`,
}}

const (
	// takenFor is how long the ids of notices are kept. No notice is delivered again
	// after a month.
	takenFor = 30 * 24 * time.Hour
	// maxWaiting bounds the notices that wait for one channel; the oldest are dropped.
	maxWaiting = 10_000
)

// file is the open file. While its disk cannot be written it is in memory. All
// goroutines share one connection.
type file struct {
	*sqlite.File
	clock *clock.Judge
	log   *slog.Logger

	stepMu sync.Mutex
	step   uint64 // the newest step of the clock that the file has followed
}

// waiting is a notice that waits for a channel.
type waiting struct {
	number  int64
	time    time.Time
	message string
	notice  Notice
}

// openFile opens or creates the file.
func openFile(ctx context.Context, o Options) (*file, error) {
	f, err := sqlite.OpenFile(ctx, sqlite.Options{
		Path: filepath.Join(o.DataDir, "alerting", "messages.db"), What: "the notification queue", Format: format, Memory: true, Log: o.Log,
		Times: map[string]string{"taken": "time", "waiting": "time"}, Damaged: o.Damaged,
	})
	if err != nil {
		return &file{File: f}, err
	}
	opened := &file{File: f, clock: o.Clock, log: o.Log}
	return opened, opened.openClock(ctx)
}

// take stores a notice for its channels, unless its id was taken before.
func (f *file) take(ctx context.Context, n Notice, channels []string, now time.Time) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return f.Change(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO taken (id, time) VALUES (?, ?)", n.ID, now.UnixMilli())
		if err != nil {
			return err
		}
		if isNew, err := result.RowsAffected(); err != nil || isNew == 0 {
			return err
		}
		if n.resolved() {
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

// waitingFor lists the notices that wait for a channel, oldest first.
func (f *file) waitingFor(ctx context.Context, channel string) (all []waiting, err error) {
	begin := func() { all = nil }
	err = f.Each(ctx, begin, func(rows *sql.Rows) error {
		var w waiting
		var at int64
		var body []byte
		if err := rows.Scan(&w.number, &at, &w.message, &body); err != nil {
			return err
		}
		w.time = time.UnixMilli(at)
		all = append(all, w)
		return json.Unmarshal(body, &all[len(all)-1].notice)
	}, "SELECT number, time, message, notice FROM waiting WHERE channel = ? ORDER BY number", channel)
	return all, err
}

// count returns the number of waiting notices for each channel.
func (f *file) count(ctx context.Context) (all map[string]int, err error) {
	begin := func() { all = map[string]int{} }
	err = f.Each(ctx, begin, func(rows *sql.Rows) error {
		var channel string
		var n int
		err := rows.Scan(&channel, &n)
		all[channel] = n
		return err
	}, "SELECT channel, count(*) FROM waiting GROUP BY channel")
	return all, err
}

// active lists the notices of the alerts that are not resolved.
func (f *file) active(ctx context.Context) (all []Notice, err error) {
	begin := func() { all = nil }
	err = f.Each(ctx, begin, func(rows *sql.Rows) error {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return err
		}
		all = append(all, Notice{})
		return json.Unmarshal(body, &all[len(all)-1])
	}, "SELECT notice FROM lasting ORDER BY fingerprint")
	return all, err
}

// begin records the notices of a message before the first attempt, so that after a
// crash the same message is sent again and not another.
func (f *file) begin(ctx context.Context, message string, rows []waiting) error {
	return f.Change(ctx, func(tx *sql.Tx) error {
		for _, w := range rows {
			if _, err := tx.ExecContext(ctx, "UPDATE waiting SET message = ? WHERE number = ?", message, w.number); err != nil {
				return err
			}
		}
		return nil
	})
}

// end removes notices that were sent or dropped, and stores the status.
func (f *file) end(ctx context.Context, s Channel, numbers []int64) error {
	return f.Change(ctx, func(tx *sql.Tx) error {
		for _, number := range numbers {
			if _, err := tx.ExecContext(ctx, "DELETE FROM waiting WHERE number = ?", number); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO channel (name, sent, dropped, success, failure, error) VALUES (?, ?, ?, ?, ?, ?)",
			s.Name, s.Sent, s.Dropped, milli(s.LastSuccess), milli(s.LastErrorAt), s.LastError)
		return err
	})
}

// status reads the status of a channel.
func (f *file) status(ctx context.Context, name string) (s Channel, err error) {
	var success, failure int64
	err = f.Read(ctx, func(db *sql.DB) error {
		return db.QueryRowContext(ctx, "SELECT sent, dropped, success, failure, error FROM channel WHERE name = ?", name).
			Scan(&s.Sent, &s.Dropped, &success, &failure, &s.LastError)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	s.Name, s.LastSuccess, s.LastErrorAt = name, fromMilli(success), fromMilli(failure)
	return s, err
}

// forget removes old ids and everything of channels that no longer exist. It
// returns the number of notices that it dropped.
func (f *file) forget(ctx context.Context, channels []string, now time.Time) (gone int64, err error) {
	known, err := json.Marshal(channels)
	if err != nil {
		return 0, err
	}
	err = f.Change(ctx, func(tx *sql.Tx) error {
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

// milli returns t in Unix milliseconds, 0 for the zero time.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// fromMilli is the inverse of milli.
func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
