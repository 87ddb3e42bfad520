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
	// settle is how long it must do so for data to be deleted by it.
	settle = 24 * time.Hour
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
	// opened is when the store was opened, by the boot clock.
	opened time.Duration
	// settled is the difference that retention goes by, once anchored; next is a
	// greater one and nextSince when it was first seen, while settling.
	anchored, settling       bool
	settled, next, nextSince time.Duration
}

func newClock(now func() time.Time, boot func() time.Duration) *clock {
	c := &clock{now: now, boot: boot}
	c.opened = boot()
	c.offset = time.Duration(now().UnixNano()) - c.opened
	return c
}

// believe tells how far a time that the wall clock tells now is ahead of the boot
// clock, and whether it is to be believed.
func (c *clock) check(wall time.Time) (offset time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	boot := c.boot()
	offset = time.Duration(wall.UnixNano()) - boot
	if offset <= c.offset+jump {
		c.doubted = false
		c.offset = max(c.offset, offset)
		return offset, true
	}
	if !c.doubted || offset-c.ahead > jump || c.ahead-offset > jump {
		c.doubted, c.ahead, c.since = true, offset, boot
	}
	if boot-c.since < doubt {
		return offset, false
	}
	c.doubted, c.offset = false, offset
	return offset, true
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

// anchor tells the newest time that the store held when it was opened, from
// which retention goes on.
func (c *clock) anchor(newest time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.anchored {
		c.anchored = true
		c.settled = c.offset
		if !newest.IsZero() {
			c.settled = min(c.offset, time.Duration(newest.UnixNano())-c.opened)
		}
	}
}

// retention is the time from which retention counts back. A jump ahead counts
// only when the clock stood by it for a day, a start after a pause among them:
// what was deleted for a wrong clock does not come back when it is set right,
// and a day longer costs little.
func (c *clock) retention() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.anchored {
		return time.Unix(0, 0) // Not known yet: delete nothing.
	}
	present, boot := c.present(), c.boot()
	offset := time.Duration(present.UnixNano()) - boot
	switch {
	case offset <= c.settled+jump:
		c.settled, c.settling = max(c.settled, offset), false
	case !c.settling || offset-c.next > jump || c.next-offset > jump:
		c.settling, c.next, c.nextSince = true, offset, boot
	case boot-c.nextSince >= settle:
		c.settled, c.settling = offset, false
	}
	return time.Unix(0, int64(min(boot+c.settled, time.Duration(present.UnixNano()))))
}

// trusted tells whether a clock that was so far ahead is believed by now.
func (c *clock) trusted(offset time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return offset <= c.offset+jump
}

// doubting tells whether readings wait for the clock.
func (c *clock) doubting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doubted
}
