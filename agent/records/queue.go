package records

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sysotel/agent/sqlite"
)

// queue has what is to be written, or cannot be while the disk is full.
type queue struct {
	records []stored
	events  []Event
	bytes   int
	// droppedRecords and droppedEvents were removed from the front of a full queue.
	droppedRecords, droppedEvents int
}

// stored is an encoded record.
type stored struct {
	key, since, last int64
	body             []byte
}

// The queue holds some hours of records; when full, the oldest are dropped.
const (
	maxQueueBytes  = 4 << 20
	maxQueueEvents = 1000
)

// enqueue adds a complete record. The caller holds mu.
func (r *Records) enqueue(rec *record) {
	q := &r.queue
	s := stored{key: rec.resolution<<keyShift | rec.until/1000, since: rec.since, last: rec.last, body: r.codec.encode(rec)}
	q.records = append(q.records, s)
	q.bytes += len(s.body)
	for q.bytes > maxQueueBytes && len(q.records) > 1 {
		q.bytes -= len(q.records[0].body)
		q.records[0] = stored{}
		q.records = q.records[1:]
		q.droppedRecords++
		r.drops.Add(DropRecordQueueFull, 1, r.now())
	}
	r.signal()
}

// signal wakes Run.
func (r *Records) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Flush writes what is queued. On an error it stays in the queue.
func (r *Records) Flush(ctx context.Context) error {
	r.writeMu.Lock()
	defer r.writeMu.Unlock()
	r.queueDamages()
	r.mu.Lock()
	records, events := r.queue.records, r.queue.events
	droppedRecords, droppedEvents := r.queue.droppedRecords, r.queue.droppedEvents
	r.mu.Unlock()
	if len(records) == 0 && len(events) == 0 {
		return nil
	}
	err := r.write(ctx, func(d *database) error { return d.write(ctx, records, events) })
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.failing
	if ctx.Err() == nil {
		r.failing = err
	}
	if err != nil {
		if was == nil && ctx.Err() == nil {
			r.log.Warn("cannot write records, they wait in memory", "err", err, "disk_full", sqlite.Full(err))
		}
		return fmt.Errorf("write records: %w", err)
	}
	if was != nil {
		r.log.Info("records can be written again", "waited", len(records)+len(events))
	}
	// Meanwhile some may have been added at the end, and others dropped at the
	// front.
	done := max(len(records)-r.queue.droppedRecords-droppedRecords, 0)
	for _, s := range r.queue.records[:done] {
		r.queue.bytes -= len(s.body)
	}
	r.queue.records = append([]stored(nil), r.queue.records[done:]...)
	done = max(len(events)-r.queue.droppedEvents-droppedEvents, 0)
	r.queue.events = append([]Event(nil), r.queue.events[done:]...)
	return nil
}

// writeLimit bounds one write, in case the disk hangs.
const writeLimit = time.Minute

func (d *database) write(ctx context.Context, records []stored, events []Event) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // After Commit there is nothing to roll back.
	for _, s := range records {
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO process_record (id, since, last, body) VALUES (?, ?, ?, ?)", s.key, s.since, s.last, s.body); err != nil {
			return err
		}
	}
	for i := range events {
		if err := events[i].insert(ctx, tx); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return errors.Join(err, ctx.Err())
	}
	return nil
}
