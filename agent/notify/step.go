package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"sysotel/agent/clock"
)

// now returns the time by the judge of the clock. If the clock was set, waiting notices
// keep their age first, and the times that they tell move with the history.
func (f *file) now(ctx context.Context) time.Time {
	f.stepMu.Lock()
	defer f.stepMu.Unlock()
	if steps := f.clock.Steps(f.step); len(steps) > 0 {
		last := steps[len(steps)-1].Number
		err := f.Change(context.WithoutCancel(ctx), func(tx *sql.Tx) error {
			for _, step := range steps {
				if err := follow(ctx, tx, step); err != nil {
					return err
				}
			}
			_, err := tx.Exec("INSERT OR REPLACE INTO followed (id, step) VALUES (0, ?)", last)
			return err
		})
		if err != nil {
			f.log.Warn("cannot move the times of waiting notices after the clock was set; retrying", "err", err)
		} else {
			f.step = last
		}
	}
	return f.clock.Now()
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
	for _, column := range [][2]string{{"taken", "time"}, {"waiting", "time"}, {"channel", "success"}, {"channel", "failure"}} {
		table, time := column[0], column[1]
		if _, err := tx.ExecContext(ctx, "UPDATE "+table+" SET "+time+" = min("+time+" + iif("+time+" BETWEEN ? AND ?, ?, 0), ?) WHERE "+time+" >= ?",
			since, from, step.By().Milliseconds(), to, min(since, to)); err != nil {
			return err
		}
	}
	for table, key := range map[string]string{"waiting": "number", "lasting": "fingerprint"} {
		if err := followNotices(ctx, tx, step, table, key); err != nil {
			return err
		}
	}
	return nil
}

// followNotices moves what the notices of a table tell, one after the other.
func followNotices(ctx context.Context, tx *sql.Tx, step clock.Step, table, key string) error {
	rows, err := tx.QueryContext(ctx, "SELECT "+key+" FROM "+table)
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
		if err := tx.QueryRowContext(ctx, "SELECT notice FROM "+table+" WHERE "+key+" = ?", one).Scan(&body); err != nil {
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
		if _, err := tx.ExecContext(ctx, "UPDATE "+table+" SET notice = ? WHERE "+key+" = ?", body, one); err != nil {
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
