package records

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sysotel/agent/sqlite"
)

// queue is what is to be written. When the disk is full it waits here.
type queue struct {
	records []stored
	events  []Event
	bytes   int
}

// stored is a record as it stands in the file.
type stored struct {
	key, since, last int64
	body             []byte
}

// The queue holds some hours of records; then the oldest go.
const (
	maxQueueBytes  = 4 << 20
	maxQueueEvents = 1000
)

// Health tells how the records fare.
type Health struct {
	// Status is ok or degraded, Reason says why.
	Status, Reason string
	// LateTicks counts readings that were not later than one before.
	LateTicks uint64
	// LostRecords and LostEvents count what was never written because the disk
	// would not take it.
	LostRecords, LostEvents uint64
	// DamagedRecords counts records that could not be read.
	DamagedRecords uint64
	// Aside is the file that was found damaged and set aside since the start.
	Aside string

	failing error
}

// Health tells how the records fare.
func (r *Records) Health() Health {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.stats
	h.Status, h.failing = "ok", nil
	if aside := r.broken.Load(); aside != nil {
		h.Aside = *aside
	}
	var reasons []string
	if r.stats.failing != nil {
		reasons = append(reasons, reason(r.stats.failing))
	}
	if h.Aside != "" {
		reasons = append(reasons, "the file was damaged and set aside as "+h.Aside)
	}
	if r.behind {
		reasons = append(reasons, "the clock was set back: process records go on when it has reached "+time.UnixMilli(r.newest).UTC().Format(time.RFC3339))
	}
	if h.DamagedRecords > 0 {
		reasons = append(reasons, fmt.Sprintf("%d records cannot be read", h.DamagedRecords))
	}
	if len(reasons) > 0 {
		h.Status, h.Reason = "degraded", strings.Join(reasons, "; ")
	}
	return h
}

func reason(err error) string {
	if sqlite.Full(err) {
		return "the disk is full, records wait in memory"
	}
	return "records cannot be written: " + err.Error()
}

// enqueue takes a complete record. The caller holds mu.
func (r *Records) enqueue(rec *record) {
	q := &r.queue
	s := stored{key: rec.resolution<<keyShift | rec.until/1000, since: rec.since, last: rec.last, body: r.codec.encode(rec)}
	q.records = append(q.records, s)
	q.bytes += len(s.body)
	for q.bytes > maxQueueBytes && len(q.records) > 1 {
		q.bytes -= len(q.records[0].body)
		q.records[0] = stored{}
		q.records = q.records[1:]
		r.stats.LostRecords++
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

// Flush writes what is complete. What cannot be written stays in the queue.
func (r *Records) Flush(ctx context.Context) error {
	r.writeMu.Lock()
	defer r.writeMu.Unlock()
	r.mu.Lock()
	records, events := r.queue.records, r.queue.events
	lostRecords, lostEvents := r.stats.LostRecords, r.stats.LostEvents
	r.mu.Unlock()
	if len(records) == 0 && len(events) == 0 {
		return nil
	}
	err := r.withFile(ctx, func(d *database) error { return d.write(ctx, records, events) })
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.stats.failing
	if ctx.Err() == nil {
		r.stats.failing = err
	}
	if err != nil {
		if was == nil && ctx.Err() == nil {
			r.log.Warn("records cannot be written, they wait in memory", "err", err, "disk_full", sqlite.Full(err))
		}
		return fmt.Errorf("write records: %w", err)
	}
	if was != nil {
		r.log.Info("records are written again", "waited", len(records)+len(events), "lost", lostRecords+lostEvents)
	}
	// Meanwhile some may have been added at the end, and others given up at the front.
	done := max(len(records)-int(r.stats.LostRecords-lostRecords), 0)
	for _, s := range r.queue.records[:done] {
		r.queue.bytes -= len(s.body)
	}
	r.queue.records = append([]stored(nil), r.queue.records[done:]...)
	done = max(len(events)-int(r.stats.LostEvents-lostEvents), 0)
	r.queue.events = append([]Event(nil), r.queue.events[done:]...)
	return nil
}

// writeLimit bounds one write: a disk that hangs must not hold up for ever.
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
