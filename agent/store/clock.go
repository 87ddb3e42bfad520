package store

import (
	"sync"
	"time"
)

const (
	// jump is how far the wall clock may run ahead of the machine's own before it
	// is doubted; a longer step is rarely the work of a time server.
	jump = 5 * time.Minute
	// doubt is how long a clock must stand by a jump to be believed.
	doubt = 10 * time.Minute
)

// clock tells which times are believed. It holds the wall clock against one that
// nobody sets and that goes on in suspend: a machine that slept for an hour is
// an hour further on both, one whose clock was set is so on one.
type clock struct {
	now  func() time.Time
	boot func() time.Duration

	mu sync.Mutex
	// offset is the greatest difference of the two clocks that was believed. It
	// is kept through a step back: when time catches up, it is right again.
	offset time.Duration
	// ahead is the difference that is not believed yet, since is when it was
	// first seen; doubted tells whether there is one.
	doubted      bool
	ahead, since time.Duration
	// opened is when the store was opened, newest the newest time in it then.
	opened time.Duration
	newest time.Time
}

func newClock(now func() time.Time, boot func() time.Duration) *clock {
	c := &clock{now: now, boot: boot}
	c.opened = boot()
	c.offset = time.Duration(now().UnixNano()) - c.opened
	return c
}

// believe tells whether a time that the wall clock tells now is to be believed.
func (c *clock) believe(wall time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	boot := c.boot()
	offset := time.Duration(wall.UnixNano()) - boot
	if offset <= c.offset+jump {
		c.doubted = false
		c.offset = max(c.offset, offset)
		return true
	}
	if !c.doubted || offset-c.ahead > jump || c.ahead-offset > jump {
		c.doubted, c.ahead, c.since = true, offset, boot
	}
	if boot-c.since < doubt {
		return false
	}
	c.doubted, c.offset = false, offset
	return true
}

// believed is the present time: of the wall clock where it is believed.
func (c *clock) believed() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.present()
}

// present is believed for those who hold the lock.
func (c *clock) present() time.Time {
	wall := c.now()
	if most := time.Unix(0, int64(c.boot()+c.offset)); wall.Sub(most) > jump {
		return most
	}
	return wall
}

// anchor tells the newest time that the store held when it was opened.
func (c *clock) anchor(newest time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.newest.IsZero() {
		c.newest = newest
	}
}

// retention is the time from which retention counts back. In the first minutes
// after a start it goes on from the newest reading: a machine that starts with a
// clock a year ahead must not lose its history before the clock is set right.
func (c *clock) retention() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	present := c.present()
	since := c.boot() - c.opened
	if since >= doubt {
		return present
	}
	if c.newest.IsZero() {
		// Not known yet: delete nothing.
		return time.Unix(0, 0)
	}
	if most := c.newest.Add(since); present.After(most) {
		return most
	}
	return present
}

// plausible tells whether a time that was read earlier is believed by now.
func (c *clock) plausible(t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(t.UnixNano())-c.boot() <= c.offset+jump
}

// doubting tells whether readings wait for the clock.
func (c *clock) doubting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doubted
}
