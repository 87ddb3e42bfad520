package store

import (
	"sync"
	"time"

	"sysotel/agent/clock"
)

// settle is how long a clock must stay ahead for data to be deleted by it. The judge
// of the clock believes it much sooner, but what is deleted is lost.
const settle = 24 * time.Hour

// retentionClock has the time from which retention counts back.
type retentionClock struct {
	*clock.Judge

	mu sync.Mutex
	// opened is when the store was opened, by the boot clock.
	opened time.Duration
	// settled is the difference of time and boot clock used for retention, once
	// anchored; next is a larger one, first seen at nextSince, while settling.
	anchored, settling       bool
	settled, next, nextSince time.Duration
}

func newRetentionClock(judge *clock.Judge) *retentionClock {
	return &retentionClock{Judge: judge, opened: judge.Boot()}
}

// read returns the time by the boot clock, and how far the present time is ahead of
// it.
func (c *retentionClock) read() (boot, offset time.Duration) {
	boot = c.Boot()
	return boot, time.Duration(c.Now().UnixNano()) - boot
}

// anchor sets the newest time in the store when it was opened, from which retention
// continues.
func (c *retentionClock) anchor(newest time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.anchored {
		c.anchored = true
		_, c.settled = c.read()
		if !newest.IsZero() {
			c.settled = min(c.settled, time.Duration(newest.UnixNano())-c.opened)
		}
	}
}

// retention returns the time from which retention counts back. A jump ahead, such
// as a start after a pause, counts only after a day: data deleted because of a
// wrong clock is lost, and keeping it for another day costs little.
func (c *retentionClock) retention() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.anchored {
		return time.Unix(0, 0) // Not known yet: delete nothing.
	}
	boot, offset := c.read()
	const jump = 5 * time.Minute
	switch {
	case offset <= c.settled+jump:
		c.settled, c.settling = offset, false
	case !c.settling || offset-c.next > jump || c.next-offset > jump:
		c.settling, c.next, c.nextSince = true, offset, boot
	case boot-c.nextSince >= settle:
		c.settled, c.settling = offset, false
	}
	return time.Unix(0, int64(boot+min(c.settled, offset)))
}
