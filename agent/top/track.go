package top

import "time"

// kept is how many points a track keeps: more than a sparkline shows, so that a
// window with what is ahead of its moment fits.
const kept = 512

// track is one series of a sparkline: the last points, by the step of time that
// each covers. Its zero value has none.
type track struct {
	step   int64 // Seconds that a point covers.
	newest int64 // Unix seconds of the newest point.
	slots  [kept]slot
}

// slot holds a point and its number in time, because a slot is used again.
type slot struct {
	turn  int64
	value number
}

// add adds the point that covers the step that ends at a time. A point of another
// step starts the track anew.
func (t *track) add(at int64, v number, step time.Duration) {
	if at < 0 {
		return // A clock that is not set.
	}
	seconds := max(1, int64(step/time.Second))
	if t.step != seconds {
		*t = track{step: seconds}
	}
	turn := at / seconds
	t.slots[turn%kept] = slot{turn, v}
	t.newest = max(t.newest, at)
}

// merge adds the points of a later track of the same step; with another step the
// later one replaces it.
func (t *track) merge(later *track) {
	if later.step == 0 {
		return
	}
	if t.step != later.step {
		*t = *later
		return
	}
	for i, s := range later.slots {
		if s.turn > 0 && s.turn >= t.slots[i].turn {
			t.slots[i] = s
		}
	}
	t.newest = max(t.newest, later.newest)
}

// columns returns the maximum of each column of a sparkline that ends at a time
// and is so wide, unknown where nothing was measured, and how many points make a
// column. Columns stand at multiples of their time, so that they move as a whole.
func (t *track) columns(end int64, width int) (values []number, points int64) {
	points = max(1, (span+int64(width)-1)/int64(max(1, width)))
	values = make([]number, max(0, width))
	last := end / max(1, t.step) / points
	for i := range values {
		values[i] = unknown
		first := (last - int64(width-1-i)) * points
		for turn := first; turn < first+points; turn++ {
			if turn < 0 || turn > end/max(1, t.step) {
				continue
			}
			if s := t.slots[turn%kept]; s.turn == turn && t.step > 0 && s.value.known() && !(s.value <= values[i]) {
				values[i] = s.value
			}
		}
	}
	return values, points
}
