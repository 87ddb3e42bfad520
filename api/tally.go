package api

import "time"

// The size of a tally: 8,192 entries of 32 bytes.
const (
	tallySets = 512
	tallyWays = 16
)

// tally keeps the attempts of many keys in a table of fixed size. Each key has a set
// of places, by its hash; a new one replaces the entry of its set with the fewest
// attempts. To wash out an entry of n attempts it therefore takes about 8,192 × n
// attempts with other keys, more than are forgotten in that time anyway.
type tally struct {
	limit limit
	sets  *[tallySets][tallyWays]attempts // Nil before the first attempt.
}

// limit is how many attempts are free, and how long the wait after them becomes at
// most, which is also the time in which one attempt is forgotten.
type limit struct {
	free    int
	longest time.Duration
}

// attempts are the failed attempts of one key. Times are since the limiter's start, so
// that no change of the clock ends or prolongs a wait.
type attempts struct {
	key   uint64
	count int
	// last is when the count last changed; next is when the next attempt may come.
	last, next time.Duration
}

// entry returns the attempts of a key, as of now.
func (t *tally) entry(key uint64, now time.Duration) *attempts {
	if t.sets == nil {
		t.sets = new([tallySets][tallyWays]attempts)
	}
	set := &t.sets[key%tallySets]
	fewest := &set[0]
	for i := range set {
		a := &set[i]
		a.forget(t.limit, now)
		if a.key == key {
			return a
		}
		if a.count < fewest.count || a.count == fewest.count && a.last < fewest.last {
			fewest = a
		}
	}
	*fewest = attempts{key: key, last: now}
	return fewest
}

// add counts one attempt.
func (a *attempts) add(l limit, now time.Duration) {
	a.count++
	a.last = now
	if over := a.count - l.free; over >= 0 {
		a.next = now + min(l.longest, shortestWait<<min(over, 20))
		// More would only be longer to forget.
		a.count = min(a.count, l.free+10)
	}
}

// forget lowers the count according to the time since the last change.
func (a *attempts) forget(l limit, now time.Duration) {
	if gone := int((now - a.last) / l.longest); a.count > 0 && gone > 0 {
		a.count = max(0, a.count-gone)
		a.last += time.Duration(gone) * l.longest
	}
}

// giveBack takes one attempt back, and the wait if none is due anymore.
func (a *attempts) giveBack(l limit) {
	a.count = max(0, a.count-1)
	if a.count < l.free {
		a.next = 0
	}
}
