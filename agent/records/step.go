package records

import (
	"context"
	"time"

	"sysotel/agent/clock"
)

// followClock moves what this boot recorded after the clock was set. What other boots
// recorded ahead of the present stays in the file: rows need no order, and later ones
// replace it when time comes to it. The caller holds mu.
func (r *Records) followClock() {
	if r.aggregator == nil || r.clock.Latest() == r.step {
		return
	}
	steps := r.clock.Steps(r.step)
	r.step = r.clock.Latest()
	for _, step := range steps {
		if len(step.Moves) == 0 || step.Floor {
			continue
		}
		if r.aggregator.buckets[0].open {
			r.enqueue(r.aggregator.record(0)) // The coarser ones are restored from it.
		}
		r.aggregator = newAggregator(r.tiers, r.aggregator.top, r.enqueue)
		r.restored = false
		r.newest = min(step.Place(time.UnixMilli(r.newest)).UnixMilli(), step.To.UnixMilli())
		r.queue.follow(step)
		if err := r.write(context.Background(), func(d *database) error { return d.follow(context.Background(), step) }); err != nil {
			r.log.Warn("cannot move records after the clock was set; they stay at the times at which they were written", "err", err)
		}
	}
}

// follow moves what is queued.
func (q *queue) follow(step clock.Step) {
	for i := range q.records {
		s := &q.records[i]
		resolution := time.Duration(keyResolution(s.key)) * time.Second
		at := time.UnixMilli(s.since)
		by := step.Place(at).Sub(at).Round(resolution)
		s.key, s.since, s.last = s.key+int64(by/time.Second), s.since+by.Milliseconds(), s.last+by.Milliseconds()
	}
	for i := range q.events {
		q.events[i].follow(step)
	}
}

func (e *Event) follow(step clock.Step) {
	for _, t := range []*time.Time{&e.Time, &e.From, &e.To} {
		if !t.IsZero() {
			*t = step.Place(*t)
		}
	}
}

// follow moves rows, in one transaction. Records move by whole buckets of their tier.
func (d *database) follow(ctx context.Context, step clock.Step) error {
	held, err := d.resolutions(ctx)
	if err != nil {
		return err
	}
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // After Commit there is nothing to roll back.
	change := func(statement string, arguments ...any) {
		if err == nil {
			_, err = tx.ExecContext(ctx, statement, arguments...)
		}
	}
	change("CREATE TEMP TABLE IF NOT EXISTS moved (id INTEGER PRIMARY KEY, since INTEGER, last INTEGER, body BLOB)")
	change("CREATE TEMP TABLE IF NOT EXISTS moved_event (id INTEGER PRIMARY KEY, by INTEGER)")
	for i, m := range step.Moves {
		from, to := m.From.UnixMilli(), int64(maxTime)
		if i+1 < len(step.Moves) {
			to = step.Moves[i+1].From.UnixMilli()
		}
		for _, resolution := range held {
			by := m.By.Round(time.Duration(resolution) * time.Second)
			low, high := resolution<<keyShift|from/1000, (resolution+1)<<keyShift
			const rows = " FROM process_record WHERE id >= ? AND id < ? AND since >= ? AND since < ?"
			change("INSERT OR REPLACE INTO moved SELECT id + ?, since + ?, last + ?, body"+rows,
				int64(by/time.Second), by.Milliseconds(), by.Milliseconds(), low, high, from, to)
			change("DELETE"+rows, low, high, from, to)
		}
		change("INSERT OR IGNORE INTO moved_event SELECT id, ? FROM event WHERE time >= ? AND time < ?", m.By.Milliseconds(), from, to)
	}
	change("INSERT OR REPLACE INTO process_record SELECT id, since, last, body FROM moved")
	change("UPDATE event SET time = time + by, since = since + by, until = until + by FROM moved_event WHERE moved_event.id = event.id")
	change("DROP TABLE moved")
	change("DROP TABLE moved_event")
	if err != nil {
		return err
	}
	return tx.Commit()
}
