package store

import (
	"sync"
	"time"
)

const (
	// jump is how far the wall clock may run ahead of the boot clock before it is
	// distrusted; larger steps are rarely made by time synchronization.
	jump = 5 * time.Minute
	// doubt is how long a clock must stay ahead to be trusted.
	doubt = 10 * time.Minute
	// settle is how long it must stay ahead for data to be deleted by it.
	settle = 24 * time.Hour
)

// clock decides which times to trust. It compares the wall clock with the boot
// clock, which cannot be set and runs during suspend: after an hour of sleep both
// are an hour ahead; after the wall clock was set, only one is.
type clock struct {
	now  func() time.Time
	boot func() time.Duration

	mu sync.Mutex
	// offset is the largest trusted difference of the two clocks. A step back does
	// not change it: it is right again once time catches up.
	offset time.Duration
	// ahead is the difference that is not trusted yet, if doubted is set; since is
	// when it was first seen.
	doubted      bool
	ahead, since time.Duration
	// opened is when the store was opened, by the boot clock.
	opened time.Duration
	// settled is the difference used for retention, once anchored; next is a larger
	// one, first seen at nextSince, while settling.
	anchored, settling       bool
	settled, next, nextSince time.Duration
}

func newClock(now func() time.Time, boot func() time.Duration) *clock {
	c := &clock{now: now, boot: boot}
	c.opened = boot()
	c.offset = time.Duration(now().UnixNano()) - c.opened
	return c
}

// check returns how far the wall clock is ahead of the boot clock, and whether it
// is trusted.
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

// trustedTime returns the present time, by the wall clock if it is trusted.
func (c *clock) trustedTime() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.present()
}

// present is trustedTime with c.mu held.
func (c *clock) present() time.Time {
	wall := c.now()
	if most := time.Unix(0, int64(c.boot()+c.offset)); wall.Sub(most) > jump {
		return most
	}
	return wall
}

// anchor sets the newest time in the store when it was opened, from which retention
// continues.
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

// retention returns the time from which retention counts back. A jump ahead, such
// as a start after a pause, counts only after a day: data deleted because of a
// wrong clock is lost, and keeping it for another day costs little.
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

// trusted reports whether a clock that was so far ahead is trusted by now.
func (c *clock) trusted(offset time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return offset <= c.offset+jump
}

// doubting reports whether the clock is ahead and not trusted yet.
func (c *clock) doubting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doubted
}
