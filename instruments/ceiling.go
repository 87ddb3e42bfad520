package instruments

import "math"

// ceiling decides whether a device can have done what its counter says. Where what
// it can do is known (a link's speed) that is the limit, until the rate stays above
// it: then the speed is wrong. Where it is not, twice the largest rate seen is the
// limit, and a rate that any device of the kind can have is always believed. A rate
// above the limit raises it, so that a true burst is missed once, not for ever. The
// counter takes in all of it; only the rate of that one tick is unknown.
type ceiling struct {
	// largest is the largest rate seen that a device can have.
	largest float64
	// inRow counts the ticks above a known limit without a break.
	inRow uint8
}

const (
	// headroom is how far above what a device can do a tick may lie, because counters
	// are not read at whole seconds.
	headroom = 1.2
	// burst is how many ticks in a row can be above what is known to be possible.
	// Hardware that reports its own counts in bursts does so within a tick.
	burst = 3
	// mostBytes, mostPackets and mostOperations a second are beyond any device: some
	// times what the fastest did in 2026.
	mostBytes, mostPackets, mostOperations = 1e12, 2e9, 1e9
	// usualLink and usualDisk are bytes a second that are never surprising: an
	// Ethernet of 1 Gbit/s, and a disk of flash memory.
	usualLink, usualDisk = 125e6 * headroom, 1e9
)

// believes decides about a rate (unknown is none and is always believed). The capacity may be
// unknown; usual is believed in any case then.
func (c *ceiling) believes(rate, capacity, usual float64) bool {
	switch {
	case math.IsNaN(rate):
		return true
	case rate > mostBytes:
		return false
	case math.IsNaN(capacity):
		believed := rate <= max(usual, 2*c.largest)
		c.largest = max(c.largest, rate)
		return believed
	case rate <= capacity*headroom:
		c.inRow = 0
	case c.inRow < burst:
		c.inRow++
		return false
	}
	c.largest = max(c.largest, rate)
	return true
}

// atMost is the rate, unknown if it is more than can be.
func atMost(rate, most float64) float64 {
	if rate > most {
		return unknown
	}
	return rate
}
