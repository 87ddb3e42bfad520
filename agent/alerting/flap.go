package alerting

import (
	"slices"
	"time"
)

const (
	// flapWindow is the time in which changes are counted.
	flapWindow = 30 * time.Minute
	// flapBegins is how many changes within it are too many: an alert that fires
	// the third time was told four times by then.
	flapBegins = 5
	// calm is the time without a change after which it does not flap any more.
	calm = 15 * time.Minute
	// resolvedFor is how long an alert that is over is shown.
	resolvedFor = 15 * time.Minute
)

// change notes that an alert began or ended to fire.
func (t *tracked) change(at time.Time) {
	t.forget(at)
	t.Changes = append(t.Changes, at)
	if t.Flapping {
		t.Flaps++
	}
}

// forget drops the changes that are too long ago to count.
func (t *tracked) forget(at time.Time) {
	t.Changes = slices.DeleteFunc(t.Changes, func(c time.Time) bool { return at.Sub(c) > flapWindow })
}

// flaps tells whether the changes are too many.
func (t *tracked) flaps() bool { return len(t.Changes) >= flapBegins }

// calmed tells whether a flapping alert has come to rest.
func (t *tracked) calmed(at time.Time) bool {
	return len(t.Changes) == 0 || at.Sub(t.Changes[len(t.Changes)-1]) >= calm
}
