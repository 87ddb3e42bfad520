package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"sysotel/agent/clock"
)

// now returns the time by the judge of the clock, once waiting notices follow it.
func (f *file) now(ctx context.Context) time.Time {
	f.followClock(ctx)
	return f.clock.Now()
}

// followClock lets waiting notices keep their age if the clock was set, and the times
// that they tell move with the history.
func (f *file) followClock(ctx context.Context) {
	f.stepMu.Lock()
	defer f.stepMu.Unlock()
	if steps := f.clock.Steps(f.step); len(steps) > 0 {
		last := steps[len(steps)-1].Number
		ctx = context.WithoutCancel(ctx)
		err := f.Change(ctx, func(tx *sql.Tx) error {
			for _, step := range steps {
				if err := follow(ctx, tx, step); err != nil {
					return err
				}
			}
			_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO followed (id, step) VALUES (0, ?)", last)
			return err
		})
		if err != nil {
			f.log.Warn("cannot move the times of waiting notices after the clock was set; retrying", "err", err)
		} else {
			f.step = last
		}
	}
}

// openClock finds out which steps of the clock the file has followed.
func (f *file) openClock(ctx context.Context) error {
	latest := f.clock.Latest()
	return f.Change(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT coalesce((SELECT step FROM followed), ?)", latest).Scan(&f.step); err != nil {
			return err
		}
		f.step = min(f.step, latest)
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO followed (id, step) VALUES (0, ?)", f.step)
		return err
	})
}

// follow moves the times of a file.
func follow(ctx context.Context, tx *sql.Tx, step clock.Step) error {
	since, from, to := step.Since.UnixMilli(), step.From.UnixMilli(), step.To.UnixMilli()
	for _, statement := range []string{
		"UPDATE taken SET time = min(time + iif(time BETWEEN ? AND ?, ?, 0), ?) WHERE time >= ?",
		"UPDATE waiting SET time = min(time + iif(time BETWEEN ? AND ?, ?, 0), ?) WHERE time >= ?",
		"UPDATE channel SET success = min(success + iif(success BETWEEN ? AND ?, ?, 0), ?) WHERE success >= ?",
		"UPDATE channel SET failure = min(failure + iif(failure BETWEEN ? AND ?, ?, 0), ?) WHERE failure >= ?",
	} {
		if _, err := tx.ExecContext(ctx, statement, since, from, step.By().Milliseconds(), to, min(since, to)); err != nil {
			return err
		}
	}
	for _, table := range []noticeTable{
		{"SELECT number FROM waiting", "SELECT notice FROM waiting WHERE number = ?", "UPDATE waiting SET notice = ? WHERE number = ?"},
		{"SELECT fingerprint FROM lasting", "SELECT notice FROM lasting WHERE fingerprint = ?", "UPDATE lasting SET notice = ? WHERE fingerprint = ?"},
	} {
		if err := table.follow(ctx, tx, step); err != nil {
			return err
		}
	}
	return nil
}

// noticeTable are the statements for a table with notices.
type noticeTable struct{ keys, read, write string }

// follow moves what the notices of a table tell, one after the other.
func (t noticeTable) follow(ctx context.Context, tx *sql.Tx, step clock.Step) error {
	rows, err := tx.QueryContext(ctx, t.keys)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err reports it.
	var keys []any
	for rows.Next() {
		var one any
		if err := rows.Scan(&one); err != nil {
			return err
		}
		keys = append(keys, one)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, one := range keys {
		var body []byte
		if err := tx.QueryRowContext(ctx, t.read, one).Scan(&body); err != nil {
			return err
		}
		var n Notice
		if err := json.Unmarshal(body, &n); err != nil {
			return err
		}
		n.Since, n.At, n.Ended = step.PlacePast(n.Since), step.PlacePast(n.At), step.PlacePast(n.Ended)
		if body, err = json.Marshal(n); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, t.write, body, one); err != nil {
			return err
		}
	}
	return nil
}

// followClock moves the times of the status. It is called with q.mu held.
func (q *channelQueue) followClock() {
	for _, step := range q.file.clock.Steps(q.clockStep) {
		q.clockStep = step.Number
		for _, t := range []*time.Time{&q.status.LastSuccess, &q.status.LastErrorAt} {
			if !t.IsZero() {
				*t = step.Past(*t)
			}
		}
	}
}
