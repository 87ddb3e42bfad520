package instruments

import (
	"context"
	"time"
)

// question is one statfs(2) call in a goroutine of its own.
type question struct {
	answered chan struct{}
	// What follows may be read once answered is closed.
	took   time.Duration
	answer capacity
	err    error
}

// watch is how long a tick waits for all watched file systems together.
const watch = 200 * time.Millisecond

// ask starts a question in a goroutine of its own: statfs(2) cannot be canceled.
func (m *mount) ask(h *Host) {
	q := &question{answered: make(chan struct{})}
	m.question = q
	now := h.Now
	asked := now()
	go func() {
		q.answer, q.err = m.space(h)
		q.took = now().Sub(asked)
		close(q.answered)
	}()
}

// collect takes the answer to the question. It waits for one that was asked in
// this tick, not for older ones. While there is no answer it is not asked again, so
// that a dead server costs one goroutine.
func (m *mount) collect(patience context.Context, h *Host, to *Mount) {
	q := m.question
	if m.fresh {
		select {
		case <-q.answered:
		case <-patience.Done():
		}
	}
	select {
	case <-q.answered:
		to.fill(q.answer, q.err)
		m.question = nil
		if q.took >= watch {
			// A distant server always answers too late. It is asked a tick ahead, so
			// that it has numbers (of the previous tick) and is not stuck.
			m.ask(h)
		}
	default:
		to.Stuck, to.Reason = true, "does not answer"
	}
}
