package instruments

// counter follows a number of the kernel that only ever rises. This is the rule for one
// that does not, in every collector:
//
//   - A number that is no count (unknownCount) says nothing, and changes nothing.
//   - One that has fallen gives no difference. Either it was reset, then it counts on
//     from where it is; or it was misread, shown as 0 for an instant, or has underflowed,
//     then it comes back. Both is allowed for:
//   - Below where it once was, differences count from the newest number.
//   - Once it is past that again, only what is above counts: nothing that was counted
//     before is counted again. A counter that was reset and has grown as far loses less
//     than one difference by it.
//
// What a difference can be at most is for the collector to say, who knows the clock and
// what the device can do. The counters of a disk or an interface, which are reset together and
// reported as they are, follow this rule in trail.
type counter struct {
	// last is the newest number, high the maximum from which it has fallen.
	last, high uint64
}

// grow takes a new number and returns by how much the counter has grown; known is false
// where that cannot be told.
func (c *counter) grow(now uint64) (by uint64, known bool) {
	switch {
	case now == unknownCount:
		return 0, false
	case now < c.last:
		c.high = max(c.high, c.last)
		c.last = now
		return 0, false
	case now >= c.high && c.last < c.high:
		by = now - c.high
	default:
		by = now - c.last
	}
	c.last = now
	return by, true
}

// start has the counter begin at a number.
func (c *counter) start(at uint64) { *c = counter{last: at} }

// held is the maximum so far.
func (c *counter) held() uint64 { return max(c.last, c.high) }
