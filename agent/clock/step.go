package clock

import "time"

// Step is a change of the present that makes stored times wrong.
type Step struct {
	// Number counts steps, over restarts too, from 1.
	Number uint64 `json:"number"`
	// From is the present before the step, To the same moment after it.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Since is the oldest time that this boot wrote, as it was before the step.
	Since time.Time `json:"since"`
	// Moves say by how much what this boot wrote moves, in the order of time; none if it
	// stays.
	Moves []Move `json:"moves,omitempty"`
	// Floor is set if the present was moved to after what other boots have stored: only
	// what was not stored yet moves, since the times of both are mixed.
	Floor bool `json:"floor,omitempty"`
}

// Move moves all times from From to the next Move, whole grains, by By.
type Move struct {
	From time.Time     `json:"from"`
	By   time.Duration `json:"by"`
}

// By is how far the present moved.
func (s Step) By() time.Duration { return s.To.Sub(s.From) }

// Place returns where a time belongs that was written before the step. Times that this
// boot did not write, and those of before a clock that was ahead, stay.
func (s Step) Place(t time.Time) time.Time {
	for i := len(s.Moves) - 1; i >= 0; i-- {
		if !t.Before(s.Moves[i].From) {
			return t.Add(s.Moves[i].By)
		}
	}
	return t
}

// Age returns the time that is as long before, or after, the present as t was before
// the step. The times of other boots stay: their age is by the wall clock.
func (s Step) Age(t time.Time) time.Time {
	if t.IsZero() || t.Before(s.Since) {
		return t
	}
	return t.Add(s.By())
}

// Past is [Step.Age] of something that has happened: what other boots wrote ahead of the
// present is as old as the step.
func (s Step) Past(t time.Time) time.Time {
	if !t.After(s.From) {
		t = s.Age(t)
	}
	if t.After(s.To) {
		return s.To
	}
	return t
}

// PlacePast is [Step.Place] of something that has happened: it is not after the present.
func (s Step) PlacePast(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	if !t.After(s.From) {
		t = s.Place(t)
	}
	if t.After(s.To) {
		return s.To
	}
	return t
}
