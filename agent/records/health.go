package records

import (
	"fmt"
	"strings"
	"time"

	"sysotel/agent/health"
	"sysotel/agent/sqlite"
)

// What is dropped and why: the attribute reason of sysotel.records.dropped.
const (
	// DropLate: a process table that is not newer than the newest one, because the
	// clock was set back.
	DropLate = "late"
	// DropRecordQueueFull and DropEventQueueFull: a process record or an event that
	// waited to be written, while the file could not be.
	DropRecordQueueFull = "record_queue_full"
	DropEventQueueFull  = "event_queue_full"
)

// DropReasons lists the reasons.
func DropReasons() []string { return []string{DropLate, DropRecordQueueFull, DropEventQueueFull} }

// Stats are counts since the start.
type Stats struct {
	// Dropped process tables, process records and events by reason.
	Dropped map[string]uint64
}

// Stats returns the counts.
func (r *Records) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Stats{Dropped: r.drops.Totals()}
}

// Health returns the status of the records. They are degraded while they cannot be
// written or are dropped, and once damage was found in the file.
func (r *Records) Health() health.Component {
	r.mu.Lock()
	defer r.mu.Unlock()
	var reasons []string
	say := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	why := r.failing
	if why == nil {
		why = r.file.Trouble()
	}
	if why != nil {
		say("records wait in memory: %v", sqlite.Plain(why))
	}
	if damage := r.file.Damage(); damage != nil {
		say("%s", damage)
	}
	if r.behind {
		say("the clock was set back: process tables are dropped until %s", time.UnixMilli(r.newest).UTC().Format(time.RFC3339))
	}
	if r.unreadable > 0 {
		say("%d records cannot be read", r.unreadable)
	}
	now := r.now()
	c := health.Component{Name: "records", Status: health.OK}
	if len(reasons) > 0 || r.drops.Ongoing(now) {
		c.Status = health.Degraded
	}
	if dropped := r.drops.Reason("records", now); dropped != "" {
		say("%s", dropped)
	}
	c.Reason = strings.Join(reasons, "; ")
	return c
}
