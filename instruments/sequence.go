package instruments

// sequenceTurn is for how many devices at most it is looked in one tick whether they
// are still the same; where there are more, they take turns.
const sequenceTurn = 64

// turn reports whether it is the turn of one of n devices at a tick.
func turn(place, n int, tick uint64) bool {
	return (uint64(place)+tick)%(uint64(n)/sequenceTurn+1) == 0
}
