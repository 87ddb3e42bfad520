package health

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// recent is how long drops are mentioned in a reason.
	recent = time.Hour
	// ongoing is the longest pause between drops that count as one series of drops.
	ongoing = time.Minute
)

// Drops counts what a component drops, by reason, and remembers what it dropped
// lately. It is not safe for concurrent use. The times must come from a clock
// that is not set.
type Drops struct {
	totals, lately map[string]uint64
	// first is the first drop in lately, streak the first of those that followed
	// one another within the time ongoing, last the newest.
	first, streak, last time.Time
}

// NewDrops starts the count of each reason at zero.
func NewDrops(reasons ...string) *Drops {
	d := &Drops{totals: map[string]uint64{}, lately: map[string]uint64{}}
	for _, reason := range reasons {
		d.totals[reason] = 0
	}
	return d
}

// Add counts n drops.
func (d *Drops) Add(reason string, n uint64, now time.Time) {
	if n == 0 {
		return
	}
	pause := now.Sub(d.last)
	if len(d.lately) == 0 || pause > recent {
		clear(d.lately)
		d.first = now
	}
	if d.streak.IsZero() || pause > ongoing {
		d.streak = now
	}
	d.last = now
	d.totals[reason] += n
	d.lately[reason] += n
}

// Totals returns a copy of the counts since the start.
func (d *Drops) Totals() map[string]uint64 { return maps.Clone(d.totals) }

// Ongoing reports whether drops continue: one moment with drops is an incident,
// several within a minute are not.
func (d *Drops) Ongoing(now time.Time) bool {
	return len(d.lately) > 0 && now.Sub(d.last) < ongoing && d.last.Sub(d.streak) >= time.Second
}

// Reason describes the drops of the last hour, such as "dropped 12 samples in the
// last 7m (10 late, 2 rejected)"; it is empty if there were none.
func (d *Drops) Reason(unit string, now time.Time) string {
	if len(d.lately) == 0 || now.Sub(d.last) > recent {
		return ""
	}
	var all uint64
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(d.lately)) {
		all += d.lately[reason]
		parts = append(parts, fmt.Sprintf("%d %s", d.lately[reason], reason))
	}
	minutes := int(now.Sub(d.first)/time.Minute) + 1
	return fmt.Sprintf("dropped %d %s in the last %dm (%s)", all, unit, minutes, strings.Join(parts, ", "))
}
