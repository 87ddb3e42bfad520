package alerting

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"path/filepath"
	"time"

	"sysotel/agent/notify"
	"sysotel/agent/sqlite"
)

// format is the schema of the file. What is never queried in part is JSON.
var format = sqlite.Format{CacheKiB: 256, Steps: []string{
	`CREATE TABLE alert (
		fingerprint TEXT PRIMARY KEY,
		body TEXT NOT NULL -- an alertState
	) STRICT;
	CREATE TABLE episode (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		rule TEXT NOT NULL,
		fired INTEGER NOT NULL, -- Unix milliseconds
		ended INTEGER, -- NULL while it is active
		body TEXT NOT NULL -- an Episode
	) STRICT;
	CREATE INDEX episode_fired ON episode (fired);
	CREATE TABLE notice (
		number INTEGER PRIMARY KEY AUTOINCREMENT,
		id TEXT NOT NULL UNIQUE,
		body TEXT NOT NULL -- a notice that is not delivered yet
	) STRICT;
	CREATE TABLE silence (
		id TEXT PRIMARY KEY,
		body TEXT NOT NULL
	) STRICT;
	CREATE TABLE evaluation (
		one INTEGER PRIMARY KEY CHECK (one = 1),
		time INTEGER NOT NULL -- of the last one, Unix milliseconds
	) STRICT;`,
}}

// database is the open file. While its disk cannot be written it is in memory. All
// goroutines share one connection.
type database struct{ *sqlite.File }

// openDatabase opens or creates the file.
func openDatabase(ctx context.Context, o Options) (*database, error) {
	f, err := sqlite.OpenFile(ctx, sqlite.Options{
		Path: filepath.Join(o.Dir, stateFile), What: "the alert state", Format: format, Memory: true, Log: o.Log,
		Times: map[string]string{"episode": "fired"}, Damaged: o.Damaged,
	})
	return &database{f}, err
}

// save stores the changes of an evaluation and its notifications in one transaction.
func (d *database) save(ctx context.Context, at time.Time, changed, gone []*alertState, notices []notify.Notice) error {
	// Completed even while the agent stops.
	ctx = context.WithoutCancel(ctx)
	return d.Change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO evaluation (one, time) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET time = excluded.time", at.UnixMilli()); err != nil {
			return err
		}
		for _, t := range changed {
			if t.isNew {
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

// delivered removes delivered notices.
func (d *database) delivered(ctx context.Context, notices []notify.Notice) error {
	ctx = context.WithoutCancel(ctx)
	return d.Change(ctx, func(tx *sql.Tx) error {
		for _, n := range notices {
			if _, err := tx.ExecContext(ctx, "DELETE FROM notice WHERE id = ?", n.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// alerts reads the alert states and the time of the last evaluation.
func (d *database) alerts(ctx context.Context) (map[string]*alertState, time.Time, error) {
	all := map[string]*alertState{}
	err := d.each(ctx, func() { clear(all) }, func(body []byte) error {
		t := &alertState{}
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
	err = d.Read(ctx, func(db *sql.DB) error { return db.QueryRowContext(ctx, "SELECT time FROM evaluation").Scan(&ms) })
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return all, time.Time{}, nil
	case err != nil:
		return nil, time.Time{}, err
	}
	return all, time.UnixMilli(ms).UTC(), nil
}

// notices reads the undelivered notices in order.
func (d *database) notices(ctx context.Context) (all []notify.Notice, err error) {
	err = d.each(ctx, func() { all = nil }, func(body []byte) error {
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
	err = d.each(ctx, func() { all = nil }, func(body []byte) error {
		var s Silence
		if err := json.Unmarshal(body, &s); err != nil {
			return err
		}
		all = append(all, s)
		return nil
	}, "SELECT body FROM silence")
	return all, err
}

// setSilence stores one silence.
func (d *database) setSilence(ctx context.Context, s Silence) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return d.Change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO silence (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body", s.ID, string(body))
		return err
	})
}

// forgetSilences deletes silences.
func (d *database) forgetSilences(ctx context.Context, gone []Silence) error {
	return d.Change(ctx, func(tx *sql.Tx) error {
		for _, s := range gone {
			if _, err := tx.ExecContext(ctx, "DELETE FROM silence WHERE id = ?", s.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// each calls visit with the only column of every row. It may begin anew.
func (d *database) each(ctx context.Context, begin func(), visit func(body []byte) error, query string, arguments ...any) error {
	return d.Each(ctx, begin, func(rows *sql.Rows) error {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return err
		}
		return visit(body)
	}, query, arguments...)
}
