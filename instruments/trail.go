package instruments

import "math"

// The counters of a device that fall: held or a reset
//
// This is the rule of counter where several counters are reset together and are
// reported as they are, not only their differences: for an instant a driver shows 0, a
// firmware is loaded again, another device takes the name.
//
//   - A fall is not believed at once. The counters that are reported stay where they
//     were (held), and there is no rate.
//   - If the next readings are back where the counters were, it was an instant: the
//     counters go on, and there is no rate over the instant either.
//   - If the counters grow on from where they fell to, or stay there for
//     heldReadings, they were reset: they are reported from there on, and every
//     reader of them (OTLP's start time, PromQL's rate) sees one fall.
//   - A device that is known to be another one under the same name begins anew at
//     once. Where its counters are not below the old ones, they are reported as 0 one
//     time, which is where they began, so that readers see a fall there too.
//   - A fall is never taken for a wrap: it looks the same as a reset.
//   - A count that is not told (unknownCount, or any above 2^63-1) is unknown by
//     itself, and so is its difference at that reading and at the next.
//
// Counters of one device fall together: if one fell, the others may have been reset
// too and have grown past what they were. What grows is compared with what the
// device can do, see ceiling.

// counterSet are the counters of one device, or of one file, that are reset together.
type counterSet interface {
	[1]uint64 | [2]uint64 | [5]uint64 | [6]uint64 | [8]uint64
}

// heldReadings is how many readings a fallen counter that does not move is held.
const heldReadings = 5

// trail follows the counters of one device from reading to reading. The zero value
// has seen none.
type trail[C counterSet] struct {
	// value is what was believed last, the base is what the newest reading is compared
	// with; unknownCount is a counter that was never told.
	value, base C
	// low is the newest of the readings below value that came in a row, their number is lows.
	low  C
	lows uint8
	// told has a bit for each counter that the newest reading told, compared for each
	// that it can be compared with base.
	told, compared uint8
	// begun is set once there was a reading, born while zeros are reported.
	begun, born bool
}

// isCount reports whether a number can be a count at all.
func isCount(n uint64) bool { return n <= math.MaxInt64 }

// next takes the next reading.
func (t *trail[C]) next(c C) {
	before := t.told
	t.told, t.compared, t.born = 0, 0, false
	if !t.begun {
		t.begin(c)
		return
	}
	fell, lower, moved := false, false, false
	for i := range len(c) {
		if !isCount(c[i]) {
			continue
		}
		t.told |= 1 << i
		fell = fell || isCount(t.value[i]) && c[i] < t.value[i]
		if t.lows > 0 && isCount(t.low[i]) {
			lower, moved = lower || c[i] < t.low[i], moved || c[i] > t.low[i]
		}
	}
	switch {
	case fell && (t.lows == 0 || lower):
		t.low, t.lows = c, 1
	case fell && !moved && t.lows < heldReadings:
		t.lows++
	case fell:
		t.take(t.low, c, before)
	case t.lows > 0:
		t.take(t.value, c, 0)
	default:
		t.take(t.value, c, before)
	}
}

// miss notes that there was no reading of the device, though there was one of others.
func (t *trail[C]) miss() { t.told = 0 }

// begin takes a reading that can be compared with nothing.
func (t *trail[C]) begin(c C) {
	*t = trail[C]{begun: true}
	for i := range len(c) {
		t.value[i] = unknownCount
		if isCount(c[i]) {
			t.value[i] = c[i]
			t.told |= 1 << i
		}
	}
}

// take believes a reading and compares it with a base, as far as that was told.
func (t *trail[C]) take(base, c C, told uint8) {
	t.base, t.compared, t.lows = base, t.told&told, 0
	for i := range len(c) {
		if isCount(c[i]) {
			t.value[i] = c[i]
		}
	}
}

// replace takes the first reading of another device under the same name.
func (t *trail[C]) replace(c C) {
	grown := t.begun
	for i := range len(c) {
		grown = grown && (!isCount(c[i]) || !isCount(t.value[i]) || c[i] >= t.value[i])
	}
	t.begin(c)
	t.born = grown
}

// count is what is reported of a counter: unknownCount where the reading does not tell it.
func (t *trail[C]) count(i int) uint64 {
	switch {
	case t.told&(1<<i) == 0:
		return unknownCount
	case t.born:
		return 0
	}
	return t.value[i]
}

// grown is by how much a counter grew since the reading before, unknown where that
// is not known.
func (t *trail[C]) grown(i int) float64 {
	if t.compared&(1<<i) == 0 {
		return unknown
	}
	return float64(t.value[i] - t.base[i])
}

// ever is what a counter has counted, 0 if it was never told.
func (t *trail[C]) ever(i int) uint64 {
	if !isCount(t.value[i]) {
		return 0
	}
	return t.value[i]
}

// held reports whether the newest reading was not believed.
func (t *trail[C]) held() bool { return t.lows > 0 }
