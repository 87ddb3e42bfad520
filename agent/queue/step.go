package queue

import (
	"context"
	"database/sql"
	"time"
)

// followClock takes over the steps of the clock since the last call, so that waiting
// requests keep their age. The file follows in store. It is called with q.mu held.
func (q *Queue) followClock() {
	if q.options.Clock.Latest() == q.step {
		return
	}
	for _, step := range q.options.Clock.Steps(q.step) {
		q.step = step.Number
		for i := range q.memory {
			q.memory[i].Time = step.Past(q.memory[i].Time)
		}
		for _, p := range q.partitions {
			if mark := step.PlacePast(p.mark); !mark.Equal(p.mark) {
				p.mark, p.unsaved = mark, true
			}
		}
		q.trimmed = time.Time{}
	}
}

// followInFile moves the times of the requests on disk as those in memory were moved. It
// is called with q.mu held.
func (q *Queue) followInFile() error {
	if q.fileStep == q.step {
		return nil
	}
	ctx := context.Background()
	err := q.file.Change(ctx, func(tx *sql.Tx) error {
		for _, step := range q.options.Clock.Steps(q.fileStep) {
			if step.Number > q.step {
				break
			}
			const follow = "UPDATE request SET time = min(time + iif(time BETWEEN ? AND ?, ?, 0), ?) WHERE time >= ?"
			since, to := step.Since.UnixMilli(), step.To.UnixMilli()
			if _, err := tx.ExecContext(ctx, follow, since, step.From.UnixMilli(), step.By().Milliseconds(), to, min(since, to)); err != nil {
				return err
			}
		}
		return setFollowed(ctx, tx, q.step)
	})
	if err == nil {
		q.fileStep = q.step
	}
	return err
}

// followed returns the newest step of the clock that a file has followed, or another if
// it has followed none.
func followed(ctx context.Context, db *sql.DB, other uint64) (step uint64, err error) {
	err = db.QueryRowContext(ctx, "SELECT coalesce((SELECT step FROM followed), ?)", other).Scan(&step)
	return step, err
}

func setFollowed(ctx context.Context, tx *sql.Tx, step uint64) error {
	_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO followed (id, step) VALUES (0, ?)", step)
	return err
}
