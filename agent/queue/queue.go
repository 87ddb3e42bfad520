// Package queue is a queue on disk of requests that wait for their receiver: neither an
// outage of hours nor a restart loses any. It knows neither the content of a request
// nor how it is sent.
//
// Each request is one row of a SQLite file and belongs to a partition, one for each
// receiver that can be unavailable on its own. Rows can be removed in any order: new
// requests are sent beside the backlog. The newest are in memory as well, so that
// without an outage the file is written but never read. Process tables and events
// have a file of their own: a queue may become many times larger, and may be deleted.
//
// Read queue.go first, then partition.go and file.go.
package queue

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"

	"sysotel/agent/clock"
	"sysotel/agent/sqlite"
)

// Options are what Open needs.
type Options struct {
	// Path is the file; its directory is made.
	Path string
	// Partitions are the names of the partitions. Requests in others are dropped: nothing
	// is sent to their receivers any more.
	Partitions []string
	// MaxBytes bounds the compressed requests of all partitions together, MaxAge the age
	// of each. Requests over either bound are dropped, the oldest first.
	MaxBytes int64
	MaxAge   time.Duration
	// Clock says what time it is; the system's if nil.
	Clock *clock.Judge
	// Damaged is told of damage to the file that was repaired. Optional.
	Damaged func(sqlite.Damage)
	Log     *slog.Logger
}

// Request is a waiting request.
type Request struct {
	// Number orders requests by age; it is never reused.
	Number int64
	// Time is when the request was pushed, by the judge of the clock. It moves with steps.
	Time time.Time
	Body []byte

	packed int64 // Its compressed size.
}

// waiting is a request in memory.
type waiting struct {
	Request
	partition *Partition
	packed    []byte
	stored    bool // On disk as well.
}

// recent is the number of requests kept in memory as well as on disk; unwritten is the
// maximum while the disk cannot be written: ten minutes at one a second.
const (
	recent    = 30
	unwritten = 600
)

// trimEvery is how often expired requests are looked for on disk.
const trimEvery = time.Minute

// Queue is a queue of requests. Its methods and those of its partitions are safe for
// concurrent use.
type Queue struct {
	options    Options
	partitions map[string]*Partition

	mu sync.Mutex
	// file has all requests except those that could not be written.
	file *file
	// memory has the newest requests, in order.
	memory []waiting
	bytes  int64
	next   int64
	// taken are requests that are being sent; gone are those that still have to be
	// removed from the disk: sent again after a restart, they would arrive twice.
	taken, gone []int64
	// trimmed is when expired requests were last looked for on disk; those with a lower
	// number than trimmedTo were dropped.
	trimmed   time.Time
	trimmedTo int64
	full      bool // Drops were logged since the queue was last empty.
	failing   error
	since     time.Time
	// step is the newest step of the clock that was taken over, fileStep that of the file.
	step, fileStep uint64
}

// Open opens or creates a queue with the requests that an earlier process left. A
// damaged file is set aside and replaced by a new one.
func Open(ctx context.Context, o Options) (*Queue, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, err
	}
	o.Path = path
	if o.Clock == nil {
		o.Clock = clock.New(clock.Options{})
	}
	q := &Queue{options: o, step: o.Clock.Latest(), partitions: map[string]*Partition{}, file: &file{}}
	for _, name := range o.Partitions {
		q.partitions[name] = &Partition{queue: q, name: name, pushed: make(chan struct{}, 1)}
	}
	q.file.File, err = sqlite.OpenFile(ctx, sqlite.Options{
		Path: o.Path, What: "the queue of the push", Format: format, Times: map[string]string{"request": "time"},
		Opened: q.read, Damaged: o.Damaged, Log: o.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("open the queue %s: %w", o.Path, err)
	}
	if q.failing = q.file.Trouble(); q.failing != nil {
		q.since = time.Now()
		// Requests that cannot be read now are older.
		q.next = max(q.next, o.Clock.Now().UnixMilli())
		return q, nil
	}
	if err := q.file.Change(ctx, func(tx *sql.Tx) error { return setFollowed(ctx, tx, q.fileStep) }); err != nil {
		q.note(err)
	}
	others, err := q.file.keepPartitions(ctx, q.options.Partitions)
	if err != nil {
		q.note(err)
	}
	if others > 0 {
		q.options.Log.Warn("dropped queued requests of partitions that are not configured any more", "path", q.options.Path, "requests", others)
	}
	return q, nil
}

// read compares the file with the memory: at the start, when an earlier process left
// requests, and when the file can be written again or is another. It is called with
// q.mu held, or by Open.
func (q *Queue) read(ctx context.Context, db *sql.DB) error {
	stored := map[int64]bool{}
	if len(q.memory) > 0 {
		var err error
		if stored, err = has(ctx, db, q.memory[0].Number); err != nil {
			return err
		}
	}
	inFile := slices.Clone(q.gone)
	for n := range stored {
		inFile = append(inFile, n)
	}
	found, last, err := totals(ctx, db, inFile)
	if err != nil {
		return err
	}
	marks, err := marks(ctx, db)
	if err != nil {
		return err
	}
	if q.fileStep, err = followed(ctx, db, q.step); err != nil {
		return err
	}
	q.fileStep = min(q.fileStep, q.step)
	q.next, q.bytes = max(q.next, last), 0
	for name, p := range q.partitions {
		t := found[name]
		p.dropped += uint64(max(p.older-t.requests, 0)) // With what was damaged or removed.
		p.older, p.waiting, p.bytes = t.requests, t.requests, t.bytes
		q.bytes += t.bytes
		mark := marks[name]
		for _, step := range q.options.Clock.Steps(q.fileStep) {
			if step.Number <= q.step {
				mark = step.PlacePast(mark)
			}
		}
		if mark.After(p.mark) {
			p.mark = mark
		}
		p.unsaved = !p.mark.Equal(marks[name])
	}
	for i := range q.memory {
		w := &q.memory[i]
		w.stored = stored[w.Number]
		w.partition.add(1, int64(len(w.packed)))
	}
	return nil
}

// Close closes the file. Waiting requests stay on disk for the next Open.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.file.Close()
}

// Partition returns a partition by its name, nil if the queue was not opened with it.
func (q *Queue) Partition(name string) *Partition { return q.partitions[name] }

// push appends requests to a partition.
func (q *Queue) push(partition *Partition, at, mark time.Time, bodies [][]byte) {
	packed := make([][]byte, len(bodies))
	for i, body := range bodies {
		packed[i] = s2.Encode(nil, body)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.followClock()
	for _, p := range packed {
		q.next++
		q.memory = append(q.memory, waiting{Request: Request{Number: q.next, Time: at, packed: int64(len(p))}, partition: partition, packed: p})
		partition.add(1, int64(len(p)))
		partition.pushes++
	}
	if !mark.IsZero() {
		partition.mark, partition.unsaved = mark, true
	}
	q.store()
	q.bound(at)
}

// store writes new requests to the disk, and removes all stored ones but the newest
// from memory. It is called with q.mu held.
func (q *Queue) store() {
	q.file.Retry(context.Background()) // It may find another file, in which nothing is stored.
	first := slices.IndexFunc(q.memory, func(w waiting) bool { return !w.stored })
	if first < 0 {
		first = len(q.memory)
	}
	var marked []*Partition
	for _, partition := range q.partitions {
		if partition.unsaved {
			marked = append(marked, partition)
		}
	}
	err := q.followInFile()
	if err == nil {
		err = q.file.insert(context.Background(), q.memory[first:], marked)
	}
	q.note(errors.Join(err, q.erase()))
	if err != nil {
		return
	}
	for _, partition := range marked {
		partition.unsaved = false
	}
	for i := range q.memory[first:] {
		q.memory[first+i].stored = true
	}
	if n := len(q.memory) - recent; n > 0 {
		for i := range q.memory[:n] {
			q.memory[i].partition.older++
		}
		q.memory = slices.Delete(q.memory, 0, n)
	}
}

// erase removes gone requests from the disk. It is called with q.mu held.
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

// note remembers whether the disk works, and logs changes. It is called with q.mu
// held.
func (q *Queue) note(err error) {
	switch {
	case err != nil && q.failing == nil:
		q.since = time.Now()
		q.options.Log.Warn("cannot write the queue to disk; requests wait in memory", "path", q.options.Path, "err", err)
	case err == nil && q.failing != nil:
		q.options.Log.Info("the queue is written to disk again", "path", q.options.Path)
	}
	q.failing = err
}

// bound drops requests that are too old at a time, or at the time that is trusted, and
// the oldest of any partition while the queue is too large. It is called with q.mu held.
func (q *Queue) bound(now time.Time) {
	if trusted := q.options.Clock.Retention(); trusted.Before(now) {
		now = trusted
	}
	over := q.bytes - q.options.MaxBytes
	// Gone requests must not be counted twice.
	if q.older() > 0 && q.fileStep == q.step && (over > 0 || now.Sub(q.trimmed) >= trimEvery) && len(q.gone) == 0 {
		q.trimmed = now
		dropped, last, err := q.file.trim(context.Background(), now.Add(-q.options.MaxAge), over, q.firstInMemory())
		if err != nil {
			q.note(err)
		}
		q.trimmedTo = max(q.trimmedTo, last+1)
		for name, d := range dropped {
			partition := q.partitions[name]
			partition.older -= d.requests
			partition.add(-d.requests, -d.bytes)
			q.drop(partition, d.requests)
		}
	}
	for len(q.memory) > unwritten || len(q.memory) > 0 && q.older() == 0 && (q.bytes > q.options.MaxBytes || now.Sub(q.memory[0].Time) > q.options.MaxAge) {
		oldest := q.memory[0]
		q.remove(oldest.partition, oldest.Request)
		q.drop(oldest.partition, 1)
		q.trimmedTo = oldest.Number + 1
	}
}

// drop counts dropped requests of a partition. It is called with q.mu held.
func (q *Queue) drop(partition *Partition, n int64) {
	if n == 0 {
		return
	}
	if !q.full {
		q.full = true
		q.options.Log.Warn("the queue is full; dropping the oldest requests", "path", q.options.Path,
			"max_bytes", q.options.MaxBytes, "max_age", q.options.MaxAge)
	}
	partition.dropped += uint64(n)
}

// older is the number of requests on disk only. It is called with q.mu held.
func (q *Queue) older() (n int64) {
	for _, partition := range q.partitions {
		n += partition.older
	}
	return n
}

// firstInMemory is the number of the oldest request in memory. It is called with q.mu
// held.
func (q *Queue) firstInMemory() int64 {
	if len(q.memory) > 0 {
		return q.memory[0].Number
	}
	return q.next + 1
}

// remove removes requests of a partition. It is called with q.mu held.
func (q *Queue) remove(partition *Partition, requests ...Request) {
	for _, r := range requests {
		i, inMemory := slices.BinarySearchFunc(q.memory, r.Number, func(w waiting, n int64) int { return cmp.Compare(w.Number, n) })
		switch {
		case inMemory:
			if q.memory[i].stored {
				q.gone = append(q.gone, r.Number)
			}
			q.memory = slices.Delete(q.memory, i, i+1)
		case r.Number < q.trimmedTo:
			continue // It was dropped while it was being sent.
		default:
			q.gone = append(q.gone, r.Number)
			partition.older--
		}
		partition.add(-1, -r.packed)
	}
	if q.bytes == 0 {
		q.full = false
	}
	if err := q.erase(); err != nil {
		q.note(err)
	}
}

// Stats are the counters of a queue or of one of its partitions.
type Stats struct {
	// Waiting requests have Bytes, compressed; Pushed and Dropped count since the start.
	Waiting, Pushed, Dropped uint64
	Bytes                    int64
	// Failing is why the disk cannot be written, Since since when; nil if it can.
	Failing error
	Since   time.Time
}

// Stats returns the counters of all partitions together.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Stats{Bytes: q.bytes, Failing: q.failing, Since: q.since}
	for _, partition := range q.partitions {
		s.Waiting += uint64(partition.waiting)
		s.Pushed += partition.pushes
		s.Dropped += partition.dropped
	}
	return s
}
