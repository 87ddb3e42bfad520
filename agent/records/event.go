package records

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is the kind of an event.
type Kind string

// The kinds of events.
const (
	Start         Kind = "start"
	Stop          Kind = "stop"
	Reboot        Kind = "reboot"
	Suspend       Kind = "suspend"
	ClockStep     Kind = "clock_step"
	Gap           Kind = "gap"
	DeviceAdded   Kind = "device_added"
	DeviceRemoved Kind = "device_removed"
	OOMKill       Kind = "oom_kill"
	Alert         Kind = "alert"
	// Damage: a file of the agent was damaged and repaired.
	Damage Kind = "damage"
	// Health: a component of the agent became degraded or failed, or ok again.
	Health Kind = "health"
	// Reload: the configuration was read again, as cause and detail say.
	Reload Kind = "reload"
)

// Kinds lists the kinds of events.
func Kinds() []Kind {
	return []Kind{Start, Stop, Reboot, Suspend, ClockStep, Gap, DeviceAdded, DeviceRemoved, OOMKill, Alert, Damage, Health, Reload}
}

// Event is something that happened. Its strings are untrusted.
type Event struct {
	// ID increases with each event; 0 until it is written.
	ID   int64
	Time time.Time
	Kind Kind
	// Cause is why it happened, Subject what to: a device, a process, a rule.
	Cause, Subject string
	// From and To are the time span of a gap or similar; zero for others.
	From, To time.Time
	// Detail has further attributes.
	Detail map[string]string
}

// Bounds of one event.
const (
	maxDetails = 64
	maxDetail  = 1024
)

// AddEvent queues an event, which Run writes. An unknown kind is an error.
func (r *Records) AddEvent(e Event) error {
	if !slices.Contains(Kinds(), e.Kind) {
		return fmt.Errorf("unknown event kind %q; allowed are %v", e.Kind, Kinds())
	}
	if e.Time.IsZero() {
		return errors.New("an event needs a time")
	}
	e.ID = 0
	e.Cause, e.Subject = plain(e.Cause, maxDetail), plain(e.Subject, maxDetail)
	detail := make(map[string]string, min(len(e.Detail), maxDetails))
	for _, key := range slices.Sorted(maps.Keys(e.Detail)) {
		if len(detail) == maxDetails {
			break
		}
		detail[plain(key, maxText)] = plain(e.Detail[key], maxDetail)
	}
	e.Detail = detail
	r.mu.Lock()
	defer r.mu.Unlock()
	r.followClock()
	q := &r.queue
	q.events = append(q.events, e)
	if len(q.events) > maxQueueEvents {
		q.events = q.events[1:]
		q.droppedEvents++
		r.drops.Add(DropEventQueueFull, 1, r.now())
	}
	r.signal()
	return nil
}

func (e *Event) insert(ctx context.Context, tx *sql.Tx) error {
	detail, err := json.Marshal(e.Detail)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO event (time, kind, cause, subject, since, until, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
		e.Time.UnixMilli(), string(e.Kind), e.Cause, e.Subject, nullable(e.From), nullable(e.To), string(detail))
	return err
}

func nullable(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

// EventPage is a page of events, newest first.
type EventPage struct {
	Events []Event
	// Next is the cursor of the next page; empty on the last.
	Next string
}

// MaxEvents is the maximum length of a page.
const MaxEvents = 1000

// ErrCursor is returned for an invalid cursor.
var ErrCursor = errors.New("invalid cursor: use the value of next from an earlier response")

// EventQuery selects events.
type EventQuery struct {
	// Start is included, End is not.
	Start, End time.Time
	// Kinds are the kinds to return; none means all.
	Kinds []Kind
	// Limit is the length of a page, 1 to MaxEvents.
	Limit int
	// Cursor is Next of an earlier page; empty for the first page.
	Cursor string
}

// Events returns a page of events, newest first.
func (r *Records) Events(ctx context.Context, q EventQuery) (*EventPage, error) {
	for _, k := range q.Kinds {
		if !slices.Contains(Kinds(), k) {
			return nil, fmt.Errorf("unknown event kind %q; allowed are %v", k, Kinds())
		}
	}
	if q.Limit <= 0 || q.Limit > MaxEvents {
		return nil, fmt.Errorf("limit must be 1 to %d, got %d", MaxEvents, q.Limit)
	}
	if !q.Start.Before(q.End) {
		return nil, errors.New("start must be before end")
	}
	query := "SELECT id, time, kind, cause, subject, since, until, detail FROM event WHERE time >= ? AND time < ?"
	arguments := []any{q.Start.UnixMilli(), q.End.UnixMilli()}
	if q.Cursor != "" {
		before, id, err := parseCursor(q.Cursor)
		if err != nil {
			return nil, err
		}
		query += " AND (time, id) < (?, ?)"
		arguments = append(arguments, before, id)
	}
	if len(q.Kinds) > 0 {
		query += " AND kind IN (?" + strings.Repeat(", ?", len(q.Kinds)-1) + ")" //nolint:gosec // Question marks only; the kinds are arguments.
		for _, k := range q.Kinds {
			arguments = append(arguments, string(k))
		}
	}
	query += " ORDER BY time DESC, id DESC LIMIT ?"
	arguments = append(arguments, q.Limit+1)

	// Write queued events first or, if that fails, put them in front.
	var waiting []Event
	if err := r.Flush(ctx); err != nil {
		if errors.Is(err, ErrClosed) {
			return nil, err
		}
		r.mu.Lock()
		waiting = slices.Clone(r.queue.events)
		r.mu.Unlock()
	}
	page := &EventPage{}
	err := r.read(ctx, func(d *database) error {
		page.Events = page.Events[:0]
		rows, err := d.reader.QueryContext(ctx, query, arguments...)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		defer rows.Close() //nolint:errcheck // Its error is that of Err, which is looked at.
		for rows.Next() {
			e, err := scanEvent(rows)
			if err != nil {
				return fmt.Errorf("read events: %w", err)
			}
			page.Events = append(page.Events, e)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	if len(page.Events) > q.Limit {
		page.Events = page.Events[:q.Limit]
		last := page.Events[q.Limit-1]
		page.Next = fmt.Sprintf("%d.%d", last.Time.UnixMilli(), last.ID)
	}
	if q.Cursor == "" {
		for _, e := range waiting { // These may exceed the limit.
			if !e.Time.Before(q.Start) && e.Time.Before(q.End) && (len(q.Kinds) == 0 || slices.Contains(q.Kinds, e.Kind)) {
				page.Events = slices.Insert(page.Events, 0, e)
			}
		}
		slices.SortStableFunc(page.Events, func(a, b Event) int { return b.Time.Compare(a.Time) })
	}
	return page, nil
}

func parseCursor(cursor string) (before, id int64, err error) {
	left, right, ok := strings.Cut(cursor, ".")
	before, err1 := strconv.ParseInt(left, 10, 64)
	id, err2 := strconv.ParseInt(right, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return 0, 0, ErrCursor
	}
	return before, id, nil
}

func scanEvent(rows *sql.Rows) (Event, error) {
	var e Event
	var at int64
	var from, to sql.NullInt64
	var kind, detail string
	if err := rows.Scan(&e.ID, &at, &kind, &e.Cause, &e.Subject, &from, &to, &detail); err != nil {
		return e, err
	}
	e.Time, e.Kind = time.UnixMilli(at), Kind(kind)
	if from.Valid {
		e.From = time.UnixMilli(from.Int64)
	}
	if to.Valid {
		e.To = time.UnixMilli(to.Int64)
	}
	if err := json.Unmarshal([]byte(detail), &e.Detail); err != nil {
		// One damaged row must not hide the others.
		e.Detail = map[string]string{"damaged": "the details cannot be read"}
	}
	return e, nil
}
