package storetest

import (
	"sync"
	"testing"
	"time"

	"sysotel/agent/clock"
	"sysotel/agent/store"
)

// OpenStore opens a store, waits until it is open and closes it after the test.
func OpenStore(tb testing.TB, o store.Options) *store.Store {
	tb.Helper()
	s, err := store.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	<-s.Opened()
	return s
}

// Complete fails the test unless the store wrote all that was appended.
func Complete(tb testing.TB, s *store.Store) {
	tb.Helper()
	stats := s.Stats()
	if stats.Waiting > 0 {
		tb.Fatalf("%d readings wait, %d samples are written", stats.Waiting, stats.Samples)
	}
	for reason, n := range stats.Dropped {
		if n > 0 {
			tb.Fatalf("the store dropped %d samples: %s", n, reason)
		}
	}
}

// Clock is a settable clock: the wall clock of a store and its time since boot.
type Clock struct {
	mu   sync.Mutex
	wall time.Time
	// stepped is how far the wall clock was set while the other went on.
	stepped time.Duration
}

// NewClock returns a clock that shows a time.
func NewClock(wall time.Time) *Clock { return &Clock{wall: wall} }

// Now is the wall clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

// Boot is the time since the Unix epoch, without steps.
func (c *Clock) Boot() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.wall.UnixNano()) - c.stepped
}

// Step sets the wall clock alone.
func (c *Clock) Step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.stepped = c.wall.Add(d), c.stepped+d
}

// Judge returns a judge of both clocks.
func (c *Clock) Judge() *clock.Judge { return clock.New(clock.Options{Wall: c.Now, Boot: c.Boot}) }

// Set advances both clocks to a time.
func (c *Clock) Set(wall time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = wall
}
