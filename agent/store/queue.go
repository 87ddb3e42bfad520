package store

import (
	"slices"
	"time"
)

// queue has the readings that cannot be appended yet, oldest first: while the tiers
// are opened, the clock is not trusted or the disk is full.
type queue struct {
	readings []waitingReading
}

// waitingReading is a reading, and how far the wall clock was ahead of the boot
// clock when it came.
type waitingReading struct {
	Reading
	offset time.Duration
}

// maxWaiting covers the time for which a clock is doubted at one reading a second,
// and half as much again. A reading of 800 samples takes 13 kB.
const maxWaiting = 900

// wait queues a copy of a reading, since the caller reuses it. If the queue is
// full, the oldest reading is dropped.
func (s *Store) wait(r Reading, offset time.Duration) {
	q := &s.waiting
	if len(q.readings) >= maxWaiting {
		s.drop(DropQueueFull, q.readings[0].samples())
		q.pop()
	}
	q.readings = append(q.readings, waitingReading{r.clone(), offset})
}

// pop removes the oldest.
func (q *queue) pop() {
	q.readings[0] = waitingReading{}
	if q.readings = q.readings[1:]; len(q.readings) == 0 {
		q.readings = nil
	}
}

func (q *queue) len() int { return len(q.readings) }

// clone copies everything but the series.
func (r Reading) clone() Reading {
	r.Collectors = slices.Clone(r.Collectors)
	for i := range r.Collectors {
		f := &r.Collectors[i]
		f.Samples, f.Ended = slices.Clone(f.Samples), slices.Clone(f.Ended)
	}
	return r
}
