package app

import (
	"testing"
	"time"

	"sysotel/agent/clock"
)

// TestSinceWhenByTheClock: what a component says by the wall clock is shown by the clock
// that is believed, as long ago as it was.
func TestSinceWhenByTheClock(t *testing.T) {
	wall := time.Now()
	a := &App{clock: clock.New(clock.Options{Wall: func() time.Time { return wall.Add(-6 * 365 * 24 * time.Hour) }})}
	began := wall.Add(-time.Minute)
	if got := a.clock.Now().Sub(a.believed(began)); got < time.Minute || got > 70*time.Second {
		t.Errorf("a minute ago is %s ago", got)
	}
	for _, by := range []time.Time{{}, began.Round(0)} {
		if got := a.believed(by); got != by {
			t.Errorf("%s, which is by that clock, is %s", by, got)
		}
	}
}
