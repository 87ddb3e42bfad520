package instruments

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// aside asks beside the tick for what a driver may take long to answer and no other
// number needs: the frequency of a core, the speed of a link. Each answer is asked
// for again once it is every old. One goroutine, which lives while it has something
// to ask, asks one question after the other; after the first answers it is given a
// few questions a tick, so that a machine of a thousand cores is not woken at once.
// A tick never waits: it takes the answers that are there. A question that is never
// answered costs that one goroutine, and with time all answers.
type aside[A any] struct {
	every time.Duration
	ask   func(h *Host, key string) A

	// scan is the number of the tick in progress.
	scan uint64
	// due is the work space of end.
	due []*answered[A]

	mu      sync.Mutex
	answers map[string]*answered[A]
	asking  bool
}

// answered is the newest answer to one question.
type answered[A any] struct {
	key    string
	answer A
	// at is when it was given, the zero time before the first answer.
	at time.Time
	// again is set where the answer can have changed.
	again bool
	// scan is the newest tick that wanted it.
	scan uint64
}

// of returns the newest answer and whether there is one that still holds: it does
// for three times as long as it takes to be asked for again. Until the next end the
// question stays among those that are asked.
func (a *aside[A]) of(key string, now time.Time) (A, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.answers[key]
	if q == nil {
		if a.answers == nil {
			a.answers = map[string]*answered[A]{}
		}
		q = &answered[A]{key: key}
		a.answers[key] = q
	}
	q.scan = a.scan
	if q.at.IsZero() || now.Sub(q.at) > 3*a.every {
		var none A
		return none, false
	}
	return q.answer, true
}

// again has the question asked at once: the answer can have changed.
func (a *aside[A]) again(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.answers[key]; q != nil {
		q.again = true
	}
}

// end ends the tick: questions that it did not want are forgotten, those that are due are asked.
func (a *aside[A]) end(h *Host, now time.Time, interval time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due = a.due[:0]
	for key, q := range a.answers {
		switch {
		case q.scan != a.scan:
			delete(a.answers, key)
		case q.at.IsZero() || q.again || now.Sub(q.at) >= a.every:
			a.due = append(a.due, q)
		}
	}
	a.scan++
	if a.asking || len(a.due) == 0 {
		return
	}
	// The urgent ones at once, of the others only so many that all have had their turn
	// when the first is due again.
	slices.SortFunc(a.due, func(x, y *answered[A]) int {
		return cmp.Or(cmp.Compare(y.rank(), x.rank()), x.at.Compare(y.at), cmp.Compare(x.key, y.key))
	})
	urgent := slices.IndexFunc(a.due, func(q *answered[A]) bool { return q.rank() == 0 })
	if urgent < 0 {
		urgent = len(a.due)
	}
	share := int(time.Duration(len(a.answers))*interval/a.every) + 1
	keys := make([]string, 0, urgent+share)
	for _, q := range a.due[:min(len(a.due), urgent+share)] {
		keys = append(keys, q.key)
	}
	a.asking = true
	go a.work(h, keys)
}

// rank is 1 for a question that must not wait for its turn.
func (q *answered[A]) rank() int {
	if q.again || q.at.IsZero() {
		return 1
	}
	return 0
}

// work asks the questions.
func (a *aside[A]) work(h *Host, keys []string) {
	for _, key := range keys {
		answer := a.ask(h, key)
		at := h.Now()
		a.mu.Lock()
		if q := a.answers[key]; q != nil {
			q.answer, q.at, q.again = answer, at, false
		}
		a.mu.Unlock()
	}
	a.mu.Lock()
	a.asking = false
	a.mu.Unlock()
}
