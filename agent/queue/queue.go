// Package queue keeps requests that wait for their receiver, on disk: an outage
// of hours and the end of the process lose none of them. It knows nothing of what
// is in a request nor of how it is sent.
//
// Each request is one row of a SQLite file, so that requests can be taken away in
// any order: those of now are sent beside those that waited. The newest are in
// memory as well, so that on a quiet day the file is written but never read.
// Process tables and events are no business of this file: a queue may grow to
// many times their size, and may be thrown away.
//
// Read queue.go first, then file.go.
package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
)

// Options are what Open needs.
type Options struct {
	// Path is the file; its directory is made.
	Path string
	// MaxBytes bounds what waits, compressed and on disk; MaxAge how long a request
	// is worth sending. What is over either goes, the oldest first.
	MaxBytes int64
	MaxAge   time.Duration
	// Log takes what goes wrong.
	Log *slog.Logger
}

// Request is one request that waits.
type Request struct {
	// Number orders requests by age; it is never given twice.
	Number int64
	// Time is when the request was pushed, by the wall clock.
	Time time.Time
	Body []byte

	packed int64 // Its size in the queue.
}

// waiting is a request that is in memory.
type waiting struct {
	Request
	packed []byte
	stored bool // It is on disk as well.
}

// recent is how many requests are kept in memory beside the disk, and unwritten
// how many at most where the disk takes none: ten minutes at one a second.
const (
	recent    = 30
	unwritten = 600
)

// trimEvery is how often old requests are looked for on disk.
const trimEvery = time.Minute

// Queue is a queue of requests. Its methods may be called by several goroutines.
type Queue struct {
	options Options
	pushed  chan struct{}

	mu sync.Mutex
	// file holds all but what it did not take.
	file *file
	// memory holds the newest requests, in order; older is how many are on disk only.
	memory []waiting
	older  int64
	bytes  int64
	next   int64
	// taken are requests that somebody sends just now, gone those that are to be
	// removed from the disk as soon as it lets them: sent again after a restart,
	// they would arrive twice.
	taken, gone []int64
	// trimmed is when old requests were last looked for on disk; those below
	// trimmedTo were dropped.
	trimmed   time.Time
	trimmedTo int64
	dropped   uint64
	failing   error
	since     time.Time
}

// Open opens or makes a queue; what an earlier process left waits in it. A file
// that is damaged is set aside and a new one begun.
func Open(ctx context.Context, o Options) (*Queue, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, err
	}
	o.Path = path
	f, err := openFile(ctx, o.Path, o.Log)
	if err != nil {
		return nil, fmt.Errorf("open the queue %s: %w", o.Path, err)
	}
	q := &Queue{options: o, pushed: make(chan struct{}, 1), file: f}
	if q.older, q.bytes, q.next, err = f.totals(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("read the queue %s: %w", o.Path, err), f.close())
	}
	return q, nil
}

// Close closes the file. What waits on disk waits for the next Open.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.file.close()
}

// Push appends a request. Where there is no room the oldest ones are dropped;
// where the disk takes nothing the request waits in memory. The bytes stay the
// caller's.
func (q *Queue) Push(at time.Time, body []byte) {
	packed := s2.Encode(nil, body)
	q.mu.Lock()
	q.next++
	q.memory = append(q.memory, waiting{Request: Request{Number: q.next, Time: at}, packed: packed})
	q.bytes += int64(len(packed))
	q.store()
	q.bound(at)
	q.mu.Unlock()
	select {
	case q.pushed <- struct{}{}:
	default:
	}
}

// Pushed is signalled after a Push.
func (q *Queue) Pushed() <-chan struct{} { return q.pushed }

// store writes to the disk what is not there yet, and forgets in memory what is
// on disk but for the newest. It is called with q.mu held.
func (q *Queue) store() {
	first := len(q.memory)
	for first > 0 && !q.memory[first-1].stored {
		first--
	}
	err := q.file.insert(context.Background(), q.memory[first:])
	q.note(errors.Join(err, q.erase()))
	if err != nil {
		return
	}
	for i := range q.memory[first:] {
		q.memory[first+i].stored = true
	}
	if n := len(q.memory) - recent; n > 0 {
		q.memory = slices.Delete(q.memory, 0, n)
		q.older += int64(n)
	}
}

// erase removes from the disk what is gone. It is called with q.mu held.
func (q *Queue) erase() error {
	if len(q.gone) == 0 {
		return nil
	}
	if _, err := q.file.remove(context.Background(), q.gone...); err != nil {
		return err
	}
	q.gone = q.gone[:0]
	return nil
}

// note remembers whether the disk does what it is asked, and says so once. It is
// called with q.mu held.
func (q *Queue) note(err error) {
	switch {
	case err != nil && q.failing == nil:
		q.since = time.Now()
		q.options.Log.Warn("the queue's disk takes nothing; requests wait in memory", "path", q.options.Path, "err", err)
	case err == nil && q.failing != nil:
		q.options.Log.Info("the queue's disk takes requests again", "path", q.options.Path)
	}
	q.failing = err
}

// bound drops what is too old, and the oldest of what is too much. It is called
// with q.mu held.
func (q *Queue) bound(now time.Time) {
	over := q.bytes - q.options.MaxBytes
	// What is gone must not be counted twice.
	if q.older > 0 && (over > 0 || now.Sub(q.trimmed) >= trimEvery) && len(q.gone) == 0 {
		q.trimmed = now
		n, bytes, last, err := q.file.trim(context.Background(), now.Add(-q.options.MaxAge), over, q.firstInMemory())
		if err != nil {
			q.note(err)
		}
		q.older -= n
		q.trimmedTo = max(q.trimmedTo, last+1)
		q.drop(n, bytes)
	}
	for len(q.memory) > unwritten || len(q.memory) > 0 && q.older == 0 && (q.bytes > q.options.MaxBytes || now.Sub(q.memory[0].Time) > q.options.MaxAge) {
		oldest := q.memory[0]
		q.remove(oldest.Number, int64(len(oldest.packed)))
		q.drop(1, 0)
		q.trimmedTo = oldest.Number + 1
	}
}

func (q *Queue) drop(n, bytes int64) {
	if n == 0 {
		return
	}
	if q.dropped == 0 {
		q.options.Log.Warn("the queue is full; the oldest requests are dropped and counted", "path", q.options.Path,
			"max_bytes", q.options.MaxBytes, "max_age", q.options.MaxAge)
	}
	q.bytes -= bytes
	q.dropped += uint64(n)
}

// firstInMemory is the number of the oldest request that is in memory. It is
// called with q.mu held.
func (q *Queue) firstInMemory() int64 {
	if len(q.memory) > 0 {
		return q.memory[0].Number
	}
	return q.next + 1
}

// ErrEmpty is the error where no request waits that nobody has taken.
var ErrEmpty = errors.New("the queue is empty")

// Oldest takes the request that has waited longest, of those that nobody has
// taken. Whoever takes one gives it back with Done or Return.
func (q *Queue) Oldest() (Request, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.older > 0 {
		r, packed, err := q.file.oldest(context.Background(), q.firstInMemory(), slices.Concat(q.taken, q.gone))
		if err == nil {
			return q.take(r, packed)
		}
		if !errors.Is(err, ErrEmpty) {
			q.note(err)
		}
	}
	for i := range q.memory {
		if w := &q.memory[i]; !slices.Contains(q.taken, w.Number) {
			return q.take(w.Request, w.packed)
		}
	}
	return Request{}, ErrEmpty
}

// Newest takes the newest request where it was pushed after a time.
func (q *Queue) Newest(after time.Time) (Request, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.memory); n > 0 {
		if w := &q.memory[n-1]; w.Time.After(after) && !slices.Contains(q.taken, w.Number) {
			return q.take(w.Request, w.packed)
		}
	}
	return Request{}, ErrEmpty
}

// take gives a request out. One that cannot be unpacked is damaged: it is
// dropped, so that it does not stand in the way of all others. It is called with
// q.mu held.
func (q *Queue) take(r Request, packed []byte) (Request, error) {
	body, err := s2.Decode(nil, packed)
	if err != nil {
		q.options.Log.Warn("a request in the queue is damaged and dropped", "path", q.options.Path, "err", err)
		q.remove(r.Number, int64(len(packed)))
		q.dropped++
		return Request{}, fmt.Errorf("unpack request %d: %w", r.Number, err)
	}
	r.Body, r.packed = body, int64(len(packed))
	q.taken = append(q.taken, r.Number)
	return r, nil
}

// Done removes a request that was taken, whether it was sent or is not wanted.
func (q *Queue) Done(r Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.untake(r)
	q.remove(r.Number, r.packed)
}

// Return leaves a request that was taken in the queue.
func (q *Queue) Return(r Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.untake(r)
}

func (q *Queue) untake(r Request) {
	q.taken = slices.DeleteFunc(q.taken, func(n int64) bool { return n == r.Number })
}

// remove removes a request. It is called with q.mu held.
func (q *Queue) remove(number, size int64) {
	i, inMemory := slices.BinarySearchFunc(q.memory, number, func(w waiting, n int64) int { return cmp.Compare(w.Number, n) })
	switch {
	case inMemory:
		if q.memory[i].stored {
			q.gone = append(q.gone, number)
		}
		q.memory = slices.Delete(q.memory, i, i+1)
	case number < q.trimmedTo:
		return // It was dropped while it was on its way.
	default:
		q.gone = append(q.gone, number)
		q.older--
	}
	q.bytes -= size
	if err := q.erase(); err != nil {
		q.note(err)
	}
}

// Stats are how a queue fares.
type Stats struct {
	// Waiting and Bytes are what waits, compressed; Dropped is what was dropped
	// since the start.
	Waiting, Dropped uint64
	Bytes            int64
	// Failing is why the disk takes nothing, Since since when.
	Failing error
	Since   time.Time
}

// Stats tells how the queue fares.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Stats{Waiting: uint64(q.older) + uint64(len(q.memory)), Bytes: q.bytes, Dropped: q.dropped, Failing: q.failing, Since: q.since}
}
