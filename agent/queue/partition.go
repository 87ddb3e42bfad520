package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"
)

// Partition is the part of a queue with the requests of one receiver. They are in the
// same file as those of the others, and bounded together with them.
type Partition struct {
	queue  *Queue
	name   string
	pushed chan struct{}

	// The fields below are protected by the queue's lock. Of the waiting requests,
	// older are on disk only.
	waiting, older, bytes int64
	pushes, dropped       uint64
	// mark is the newest mark that was pushed; unsaved is set until it is on disk.
	mark    time.Time
	unsaved bool
}

// add counts requests that were added, or removed if n is negative.
func (p *Partition) add(n, bytes int64) {
	p.waiting += n
	p.bytes += bytes
	p.queue.bytes += bytes
}

// Push appends requests. If the queue is full, its oldest requests are dropped; if the
// disk cannot be written, they wait in memory. The caller keeps the bytes. A mark that
// is not zero is stored together with the requests: after a crash both are there or
// neither. After a step of the clock the marks move like the data that they are about.
func (p *Partition) Push(at, mark time.Time, bodies ...[]byte) {
	p.queue.push(p, at, mark, bodies)
	if len(bodies) == 0 {
		return
	}
	select {
	case p.pushed <- struct{}{}:
	default:
	}
}

// Mark returns the newest mark that was pushed, by an earlier process too; the zero
// time for none.
func (p *Partition) Mark() time.Time {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	p.queue.followClock()
	return p.mark
}

// Now is the time by which the age of requests is judged.
func (p *Partition) Now() time.Time { return p.queue.options.Clock.Now() }

// Pushed is signalled after a Push.
func (p *Partition) Pushed() <-chan struct{} { return p.pushed }

// ErrEmpty is the error if no request waits, except those that are taken.
var ErrEmpty = errors.New("the queue is empty")

// unremoved is how many requests are sent from a file that cannot be written before the
// others in it wait: each of them has to be remembered, and removed later.
const unremoved = 1000

// batch are requests that are taken together.
type batch struct {
	requests []Request
	// damaged are those that cannot be decompressed.
	damaged []Request
	size    int
	most    int
}

// add adds a request; it returns false if the batch would be too large. The first one
// is never too large.
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

// Oldest takes the requests that have waited longest: one, and more as long as they
// have at most so many bytes together. Taken requests must be given back with Done or
// Return.
func (p *Partition) Oldest(most int) ([]Request, error) {
	q := p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	b := batch{most: most}
	more := true
	if p.older > 0 && len(q.gone) < unremoved {
		err := q.file.oldest(context.Background(), p.name, q.firstInMemory(), slices.Concat(q.taken, q.gone), func(r Request, packed []byte) bool {
			more = b.add(r, packed)
			return more
		})
		if err != nil {
			q.note(err)
		}
	}
	for i := 0; more && i < len(q.memory); i++ {
		if w := &q.memory[i]; w.partition == p && !slices.Contains(q.taken, w.Number) {
			more = b.add(w.Request, w.packed)
		}
	}
	return p.take(&b)
}

// Newest takes the newest requests that were pushed after a time: at most n, with at
// most so many bytes together.
func (p *Partition) Newest(after time.Time, n, most int) ([]Request, error) {
	q := p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	q.followClock()
	b := batch{most: most}
	for i := len(q.memory) - 1; i >= 0 && len(b.requests) < n; i-- {
		w := &q.memory[i]
		if w.partition != p {
			continue
		}
		if !w.Time.After(after) || slices.Contains(q.taken, w.Number) || !b.add(w.Request, w.packed) {
			break
		}
	}
	slices.Reverse(b.requests)
	return p.take(&b)
}

// take marks requests as taken. Damaged ones are dropped, so that they do not block the
// others. It is called with the queue's lock held.
func (p *Partition) take(b *batch) ([]Request, error) {
	q := p.queue
	if n := len(b.damaged); n > 0 {
		q.options.Log.Warn("dropped damaged requests from the queue", "path", q.options.Path, "requests", n)
		q.remove(p, b.damaged...)
		p.dropped += uint64(n)
	}
	if len(b.requests) == 0 {
		return nil, ErrEmpty
	}
	for _, r := range b.requests {
		q.taken = append(q.taken, r.Number)
	}
	return b.requests, nil
}

// Done removes requests that were taken: they were sent, or rejected for good.
func (p *Partition) Done(requests []Request) {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	p.queue.untake(requests)
	p.queue.remove(p, requests...)
}

// Return puts back requests that were taken.
func (p *Partition) Return(requests []Request) {
	p.queue.mu.Lock()
	defer p.queue.mu.Unlock()
	p.queue.untake(requests)
}

func (q *Queue) untake(requests []Request) {
	q.taken = slices.DeleteFunc(q.taken, func(n int64) bool {
		return slices.ContainsFunc(requests, func(r Request) bool { return r.Number == n })
	})
}

// Stats returns the counters of the partition.
func (p *Partition) Stats() Stats {
	q := p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return Stats{Pushed: p.pushes, Waiting: uint64(p.waiting), Bytes: p.bytes, Dropped: p.dropped, Failing: q.failing, Since: q.since}
}
