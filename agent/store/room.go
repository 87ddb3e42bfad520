package store

// A series that ends leaves a trace for months: in the memory until the coarsest
// bucket is written, then in the indexes of blocks. Names come from outside, so a
// collector whose series come and go may leave only so many; beyond that its new
// series are dropped, and those that exist go on.
const (
	// mostEnded is the number of series of a collector that may end at once. With their
	// minima and maxima in all tiers each is ten in memory, some for an hour.
	mostEnded = 1000
	// endedPerHour is how many more may end in the long run.
	endedPerHour = 1200
)

// room is what a collector has left of these.
type room struct {
	left float64
	at   int64 // the tick of the last refill
}

// roomOf returns the room of a collector at a tick.
func (s *Store) roomOf(collector string, t int64) *room {
	r := s.rooms[collector]
	if r == nil {
		r = &room{left: mostEnded, at: t}
		s.rooms[collector] = r
	}
	if t > r.at {
		r.left = min(r.left+float64(t-r.at)*endedPerHour/3_600_000, mostEnded)
		r.at = t
	}
	return r
}

// take counts a series that ended. What is too much is made up for later, but when
// all series of a large collector are replaced at once, not for days.
func (r *room) take() { r.left = max(r.left-1, -mostEnded) }

// hasRoom reports whether a collector may begin a new series at a tick.
func (s *Store) hasRoom(collector string, t int64) bool { return s.roomOf(collector, t).left >= 1 }
