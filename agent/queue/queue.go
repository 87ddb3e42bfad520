// Package queue keeps requests that wait for their receiver, on disk: an outage
// of hours and the end of the process lose none of them. It knows nothing of what
// is in a request nor of how it is sent.
//
// Each request is one row of a SQLite file and belongs to a lane, one for each
// receiver that may be away while the others are not. Rows can be taken away in
// any order: those of now are sent beside those that waited. The newest are in
// memory as well, so that on a quiet day the file is written but never read.
// Process tables and events are no business of this file: a queue may grow to
// many times their size, and may be thrown away.
//
// Read queue.go first, then lane.go and file.go.
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
	// Lanes are the names of the lanes. What waits in others is dropped: it was
	// for somebody to whom nothing is sent any more.
	Lanes []string
	// MaxBytes bounds what waits in all lanes, compressed and on disk; MaxAge how
	// long a request is worth sending. What is over either goes, the oldest first.
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
	lane   *Lane
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

// Queue is a queue of requests. Its methods and those of its lanes may be called
// by several goroutines.
type Queue struct {
	options Options
	lanes   map[string]*Lane

	mu sync.Mutex
	// file holds all but what it did not take.
	file *file
	// memory holds the newest requests, in order.
	memory []waiting
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
	full      bool // That something is dropped was said, since the queue was empty last.
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
	q := &Queue{options: o, lanes: map[string]*Lane{}, file: f}
	for _, name := range o.Lanes {
		q.lanes[name] = &Lane{queue: q, name: name, pushed: make(chan struct{}, 1)}
	}
	if err := q.read(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("read the queue %s: %w", o.Path, err), f.close())
	}
	return q, nil
}

// read takes in what an earlier process left.
func (q *Queue) read(ctx context.Context) (err error) {
	others, err := q.file.keepLanes(ctx, q.options.Lanes)
	if err != nil {
		return err
	}
	if others > 0 {
		q.options.Log.Warn("requests for what is no longer sent are dropped", "path", q.options.Path, "requests", others)
	}
	totals, next, err := q.file.totals(ctx)
	if err != nil {
		return err
	}
	q.next = next
	for name, t := range totals {
		lane := q.lanes[name]
		lane.older, lane.waiting, lane.bytes = t.requests, t.requests, t.bytes
		q.bytes += t.bytes
	}
	marks, err := q.file.marks(ctx)
	for name, mark := range marks {
		if lane := q.lanes[name]; lane != nil {
			lane.mark = mark
		}
	}
	return err
}

// Close closes the file. What waits on disk waits for the next Open.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.file.close()
}

// Lane returns one of the lanes that the queue was opened with, nil for any other.
func (q *Queue) Lane(name string) *Lane { return q.lanes[name] }

// push appends requests to a lane.
func (q *Queue) push(lane *Lane, at, mark time.Time, bodies [][]byte) {
	packed := make([][]byte, len(bodies))
	for i, body := range bodies {
		packed[i] = s2.Encode(nil, body)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range packed {
		q.next++
		q.memory = append(q.memory, waiting{Request: Request{Number: q.next, Time: at, packed: int64(len(p))}, lane: lane, packed: p})
		lane.add(1, int64(len(p)))
		lane.pushes++
	}
	if !mark.IsZero() {
		lane.mark, lane.unsaved = mark, true
	}
	q.store()
	q.bound(at)
}

// store writes to the disk what is not there yet, and forgets in memory what is
// on disk but for the newest. It is called with q.mu held.
func (q *Queue) store() {
	first := len(q.memory)
	for first > 0 && !q.memory[first-1].stored {
		first--
	}
	var marked []*Lane
	for _, lane := range q.lanes {
		if lane.unsaved {
			marked = append(marked, lane)
		}
	}
	err := q.file.insert(context.Background(), q.memory[first:], marked)
	q.note(errors.Join(err, q.erase()))
	if err != nil {
		return
	}
	for _, lane := range marked {
		lane.unsaved = false
	}
	for i := range q.memory[first:] {
		q.memory[first+i].stored = true
	}
	if n := len(q.memory) - recent; n > 0 {
		for i := range q.memory[:n] {
			q.memory[i].lane.older++
		}
		q.memory = slices.Delete(q.memory, 0, n)
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

// bound drops what is too old, and the oldest of what is too much, whatever its
// lane. It is called with q.mu held.
func (q *Queue) bound(now time.Time) {
	over := q.bytes - q.options.MaxBytes
	// What is gone must not be counted twice.
	if q.older() > 0 && (over > 0 || now.Sub(q.trimmed) >= trimEvery) && len(q.gone) == 0 {
		q.trimmed = now
		dropped, last, err := q.file.trim(context.Background(), now.Add(-q.options.MaxAge), over, q.firstInMemory())
		if err != nil {
			q.note(err)
		}
		q.trimmedTo = max(q.trimmedTo, last+1)
		for name, d := range dropped {
			lane := q.lanes[name]
			lane.older -= d.requests
			lane.add(-d.requests, -d.bytes)
			q.drop(lane, d.requests)
		}
	}
	for len(q.memory) > unwritten || len(q.memory) > 0 && q.older() == 0 && (q.bytes > q.options.MaxBytes || now.Sub(q.memory[0].Time) > q.options.MaxAge) {
		oldest := q.memory[0]
		q.remove(oldest.lane, oldest.Request)
		q.drop(oldest.lane, 1)
		q.trimmedTo = oldest.Number + 1
	}
}

// drop counts what was dropped of a lane. It is called with q.mu held.
func (q *Queue) drop(lane *Lane, n int64) {
	if n == 0 {
		return
	}
	if !q.full {
		q.full = true
		q.options.Log.Warn("the queue is full; the oldest requests are dropped and counted", "path", q.options.Path,
			"max_bytes", q.options.MaxBytes, "max_age", q.options.MaxAge)
	}
	lane.dropped += uint64(n)
}

// older is how many requests are on disk only. It is called with q.mu held.
func (q *Queue) older() (n int64) {
	for _, lane := range q.lanes {
		n += lane.older
	}
	return n
}

// firstInMemory is the number of the oldest request that is in memory. It is
// called with q.mu held.
func (q *Queue) firstInMemory() int64 {
	if len(q.memory) > 0 {
		return q.memory[0].Number
	}
	return q.next + 1
}

// remove removes requests of a lane. It is called with q.mu held.
func (q *Queue) remove(lane *Lane, requests ...Request) {
	for _, r := range requests {
		i, inMemory := slices.BinarySearchFunc(q.memory, r.Number, func(w waiting, n int64) int { return cmp.Compare(w.Number, n) })
		switch {
		case inMemory:
			if q.memory[i].stored {
				q.gone = append(q.gone, r.Number)
			}
			q.memory = slices.Delete(q.memory, i, i+1)
		case r.Number < q.trimmedTo:
			continue // It was dropped while it was on its way.
		default:
			q.gone = append(q.gone, r.Number)
			lane.older--
		}
		lane.add(-1, -r.packed)
	}
	if q.bytes == 0 {
		q.full = false
	}
	if err := q.erase(); err != nil {
		q.note(err)
	}
}

// Stats are how a queue or one of its lanes fares.
type Stats struct {
	// Waiting and Bytes are what waits, compressed; Pushed and Dropped are what was
	// pushed and dropped since the start.
	Waiting, Pushed, Dropped uint64
	Bytes                    int64
	// Failing is why the disk takes nothing, Since since when.
	Failing error
	Since   time.Time
}

// Stats tells how all lanes together fare.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Stats{Bytes: q.bytes, Failing: q.failing, Since: q.since}
	for _, lane := range q.lanes {
		s.Waiting += uint64(lane.waiting)
		s.Pushed += lane.pushes
		s.Dropped += lane.dropped
	}
	return s
}
