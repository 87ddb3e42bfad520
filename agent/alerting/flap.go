package alerting

import (
	"slices"
	"time"
)

const (
	// flapWindow is the time in which changes are counted.
	flapWindow = 30 * time.Minute
	// flapBegins is the number of changes within flapWindow from which on an alert
	// flaps: when it fires for the third time, after four notifications.
	flapBegins = 5
	// stableAfter is the time without a change after which it stops flapping.
	stableAfter = 15 * time.Minute
	// resolvedFor is how long a resolved alert is listed.
	resolvedFor = 15 * time.Minute
)

// change records that an alert started or stopped firing.
func (t *alertState) change(at time.Time) {
	t.forget(at)
	t.Changes = append(t.Changes, at)
	if t.Flapping {
		t.Flaps++
	}
}

// forget drops changes older than flapWindow.
func (t *alertState) forget(at time.Time) {
	t.Changes = slices.DeleteFunc(t.Changes, func(c time.Time) bool { return at.Sub(c) > flapWindow })
}

// flaps reports whether there are too many changes.
func (t *alertState) flaps() bool { return len(t.Changes) >= flapBegins }

// isStable reports whether a flapping alert has not changed for stableAfter.
func (t *alertState) isStable(at time.Time) bool {
	return len(t.Changes) == 0 || at.Sub(t.Changes[len(t.Changes)-1]) >= stableAfter
}
