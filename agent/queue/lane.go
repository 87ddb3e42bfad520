package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"
)

// Lane is the part of a queue that is sent by itself. Its requests are in the
// queue's file with those of the others, and bounded together with them.
type Lane struct {
	queue  *Queue
	name   string
	pushed chan struct{}

	// What follows is protected by the queue's lock. Of what waits older is on
	// disk only.
	waiting, older, bytes int64
	pushes, dropped       uint64
	// mark is how far whoever pushes has come; unsaved is set while the disk does
	// not know it.
	mark    time.Time
	unsaved bool
}

// add counts requests that came, or went where n is negative.
func (l *Lane) add(n, bytes int64) {
	l.waiting += n
	l.bytes += bytes
	l.queue.bytes += bytes
}

// Push appends requests. Where there is no room the oldest ones of the queue are
// dropped; where the disk takes nothing they wait in memory. The bytes stay the
// caller's. The mark, where it is not zero, is kept together with the requests:
// after a crash both are there or neither.
func (l *Lane) Push(at, mark time.Time, bodies ...[]byte) {
	l.queue.push(l, at, mark, bodies)
	if len(bodies) == 0 {
		return
	}
	select {
	case l.pushed <- struct{}{}:
	default:
	}
}

// Mark is the newest mark that was pushed, by an earlier process too; the zero
// time for none.
func (l *Lane) Mark() time.Time {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	return l.mark
}

// Pushed is signalled after a Push.
func (l *Lane) Pushed() <-chan struct{} { return l.pushed }

// ErrEmpty is the error where no request waits that nobody has taken.
var ErrEmpty = errors.New("the queue is empty")

// batch are requests that are taken together.
type batch struct {
	requests []Request
	// damaged are those that cannot be unpacked.
	damaged []Request
	size    int
	most    int
}

// add adds a request; it returns false where it makes the batch too large. The
// first one is never too large.
func (b *batch) add(r Request, packed []byte) bool {
	r.packed = int64(len(packed))
	n, err := s2.DecodedLen(packed)
	if err == nil && len(b.requests) > 0 && b.size+n > b.most {
		return false
	}
	if err == nil {
		r.Body, err = s2.Decode(nil, packed)
	}
	if err != nil {
		b.damaged = append(b.damaged, r)
		return true
	}
	b.requests = append(b.requests, r)
	b.size += n
	return true
}

// Oldest takes the requests that have waited longest, of those that nobody has
// taken: one, and more as long as they are no larger together than so many bytes.
// Whoever takes requests gives them back with Done or Return.
func (l *Lane) Oldest(most int) ([]Request, error) {
	q := l.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	b := batch{most: most}
	more := true
	if l.older > 0 {
		err := q.file.oldest(context.Background(), l.name, q.firstInMemory(), slices.Concat(q.taken, q.gone), func(r Request, packed []byte) bool {
			more = b.add(r, packed)
			return more
		})
		if err != nil {
			q.note(err)
		}
	}
	for i := 0; more && i < len(q.memory); i++ {
		if w := &q.memory[i]; w.lane == l && !slices.Contains(q.taken, w.Number) {
			more = b.add(w.Request, w.packed)
		}
	}
	return l.take(&b)
}

// Newest takes the newest requests of those that nobody has taken, at most so
// many and no larger together than so many bytes, where they were pushed after a
// time.
func (l *Lane) Newest(after time.Time, n, most int) ([]Request, error) {
	q := l.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	b := batch{most: most}
	for i := len(q.memory) - 1; i >= 0 && len(b.requests) < n; i-- {
		w := &q.memory[i]
		if w.lane != l {
			continue
		}
		if !w.Time.After(after) || slices.Contains(q.taken, w.Number) || !b.add(w.Request, w.packed) {
			break
		}
	}
	slices.Reverse(b.requests)
	return l.take(&b)
}

// take gives requests out. Those that are damaged are dropped, so that they do not
// stand in the way of all others. It is called with the queue's lock held.
func (l *Lane) take(b *batch) ([]Request, error) {
	q := l.queue
	if n := len(b.damaged); n > 0 {
		q.options.Log.Warn("requests in the queue are damaged and dropped", "path", q.options.Path, "requests", n)
		q.remove(l, b.damaged...)
		l.dropped += uint64(n)
	}
	if len(b.requests) == 0 {
		return nil, ErrEmpty
	}
	for _, r := range b.requests {
		q.taken = append(q.taken, r.Number)
	}
	return b.requests, nil
}

// Done removes requests that were taken, whether they were sent or are not wanted.
func (l *Lane) Done(requests []Request) {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	l.queue.untake(requests)
	l.queue.remove(l, requests...)
}

// Return leaves requests that were taken in the queue.
func (l *Lane) Return(requests []Request) {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	l.queue.untake(requests)
}

func (q *Queue) untake(requests []Request) {
	q.taken = slices.DeleteFunc(q.taken, func(n int64) bool {
		return slices.ContainsFunc(requests, func(r Request) bool { return r.Number == n })
	})
}

// Stats tells how the lane fares.
func (l *Lane) Stats() Stats {
	q := l.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return Stats{Pushed: l.pushes, Waiting: uint64(l.waiting), Bytes: l.bytes, Dropped: l.dropped, Failing: q.failing, Since: q.since}
}
