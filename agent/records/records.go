// Package records keeps what is not a time series in one SQLite file: process
// tables of the past, in tiers, and events. The present process table and the
// series of programs are kept elsewhere.
//
// It starts no goroutine: AddProcesses and AddEvent queue what Run writes. Read
// aggregate.go first, where ticks become records, then codec.go (how a record is
// stored) and query.go.
package records

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sysotel/agent/clock"
	"sysotel/agent/health"
	"sysotel/agent/sqlite"
)

// Options configure Records.
type Options struct {
	// Dir is the directory of the file, created if missing.
	Dir string
	// Tiers of process records, finest first; none means DefaultTiers.
	Tiers []Tier
	// Top is the number of rows in a record by each of CPU, memory, peak memory and
	// I/O; 0 means 20.
	Top int
	// EventRetention is how long events are kept; 0 means a year.
	EventRetention time.Duration
	Log            *slog.Logger
	// Clock decides what time it is; one by the system's clocks if nil.
	Clock *clock.Judge
}

// Records is the open file. It is safe for concurrent use.
type Records struct {
	path           string
	tiers          []Tier
	eventRetention time.Duration
	log            *slog.Logger
	now            func() time.Time
	clock          *clock.Judge
	// step is the newest step of the clock that was taken over, under mu.
	step  uint64
	wake  chan struct{}
	check func(context.Context, *sql.DB) error // sqlite.Check, except in tests

	// mu protects what follows: the open buckets and the queue.
	mu         sync.Mutex
	aggregator *aggregator
	codec      *codec
	queue      queue
	restored   bool
	// newest is the newest tick in the records, in Unix milliseconds.
	newest int64
	// behind is true while ticks are not later than newest.
	behind bool
	drops  *health.Drops
	// failing is why the newest write failed, unreadable counts damaged records.
	failing    error
	unreadable int

	// writeMu is held while writing, to keep the order of the queue.
	writeMu sync.Mutex

	file *sqlite.File
	// damageMu protects damages, which are events to be.
	damageMu sync.Mutex
	damages  []sqlite.Damage

	// readers are codecs for decoding.
	readers readers
}

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the records are closed")

// Open opens or creates the file, whatever the state of its disk: see sqlite.File. One
// written by a newer version is refused with sqlite.ErrNewer.
func Open(o Options) (*Records, error) {
	if len(o.Tiers) == 0 {
		o.Tiers = DefaultTiers()
	}
	tiers, err := validateTiers(o.Tiers)
	if err != nil {
		return nil, err
	}
	if o.Top <= 0 {
		o.Top = 20
	}
	if o.EventRetention <= 0 {
		o.EventRetention = 365 * day
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.New(clock.Options{})
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the records: %w", err)
	}
	r := &Records{
		path: filepath.Join(dir, fileName), tiers: tiers, eventRetention: o.EventRetention,
		log: o.Log, clock: o.Clock, step: o.Clock.Latest(), now: o.Clock.Now, wake: make(chan struct{}, 1), check: sqlite.Check, drops: health.NewDrops(DropReasons()...),
	}
	if r.codec, err = newCodec(); err != nil {
		return nil, err
	}
	r.aggregator = newAggregator(tiers, o.Top, r.enqueue)
	var newest int64
	r.file, err = sqlite.OpenFile(context.Background(), sqlite.Options{
		Path: r.path, What: "the process history", Format: format, Readers: 3, Log: r.log,
		Times: map[string]string{"process_record": "last", "event": "time"},
		Opened: func(ctx context.Context, db *sql.DB) (err error) {
			newest, err = (&database{reader: db}).newest(ctx, o.Clock.Now())
			return err
		},
		Damaged: r.noteDamage,
	})
	r.newest = newest
	if err != nil {
		r.codec.close()
		return nil, fmt.Errorf("open %s: %w", r.path, err)
	}
	return r, nil
}

// newest returns the newest tick of all records up to now, 0 if there are none. Tiers, and
// the newest record of each, are found by key.
func (d *database) newest(ctx context.Context, now time.Time) (int64, error) {
	newest, below := int64(0), int64(1)<<62
	present := max(now.UnixMilli(), 0)
	for {
		var key, last int64
		err := d.reader.QueryRowContext(ctx, "SELECT id, last FROM process_record WHERE id < ? ORDER BY id DESC LIMIT 1", below).Scan(&key, &last)
		if errors.Is(err, sql.ErrNoRows) {
			return newest, nil
		}
		if err != nil {
			return 0, err
		}
		below = keyResolution(key) << keyShift
		// What is ahead of the clock does not count.
		err = d.reader.QueryRowContext(ctx, "SELECT last FROM process_record WHERE id >= ? AND id <= ? ORDER BY id DESC LIMIT 1",
			below, below|(present/1000+keyResolution(key))).Scan(&last)
		if err == nil {
			newest = max(newest, min(last, present))
		} else if !errors.Is(err, sql.ErrNoRows) {
			return 0, err
		}
	}
}

// AddProcesses adds the process table of a tick. It does no I/O, except for the
// first one after Open, which restores the open buckets, and after the clock was set. A
// tick that is not later than the previous one is dropped and counted.
func (r *Records) AddProcesses(reading ProcessReading) {
	tick, interval := reading.Time.UnixMilli(), reading.Interval.Milliseconds()
	r.mu.Lock()
	r.followClock()
	if r.aggregator == nil || tick <= r.newest || tick > maxTime || interval <= 0 {
		r.drops.Add(DropLate, 1, r.now())
		r.behind = tick <= r.newest
		r.mu.Unlock()
		return
	}
	r.behind = false
	if !r.restored {
		// mu keeps out other calls while buckets are read.
		r.restore(tick, reading.BootID)
		r.restored = true
	}
	r.aggregator.advance(tick)
	r.aggregator.add(&reading)
	r.newest = tick
	r.mu.Unlock()
}

// Run writes what is queued until ctx ends, and meanwhile checks the file for damage
// once. That takes long for a large file, and what is queued is lost if the agent is
// killed.
func (r *Records) Run(ctx context.Context) error {
	var checking sync.WaitGroup
	checking.Go(func() { r.inspect(ctx) })
	defer checking.Wait()
	retry := time.NewTicker(5 * time.Second)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-retry.C:
		}
		_ = r.Flush(ctx) // It logs and reports failures; the next pass retries.
	}
}

// inspect checks the structure of the file.
func (r *Records) inspect(ctx context.Context) {
	_ = r.file.Read(ctx, func(db *sql.DB) error { return r.check(ctx, db) }) // Read repairs damage.
}

// read calls f with the file to read from.
func (r *Records) read(ctx context.Context, f func(*database) error) error {
	return closedIs(r.file.Read(ctx, func(db *sql.DB) error { return f(&database{reader: db}) }))
}

// write calls f with the file to change it.
func (r *Records) write(ctx context.Context, f func(*database) error) error {
	return closedIs(r.file.Write(ctx, func(db *sql.DB) error { return f(&database{writer: db, reader: db}) }))
}

func closedIs(err error) error {
	if errors.Is(err, sqlite.ErrClosed) {
		return ErrClosed
	}
	return err
}

// Close writes what is queued, including the open finest record, and closes the
// file.
func (r *Records) Close() error {
	r.mu.Lock()
	if r.aggregator == nil {
		r.mu.Unlock()
		return nil
	}
	if r.aggregator.buckets[0].open {
		// The coarser ones are restored from the finer at the next start.
		r.enqueue(r.aggregator.record(0))
	}
	r.aggregator = nil
	r.mu.Unlock()
	err := r.Flush(context.Background())
	r.codec.close()
	return errors.Join(err, r.file.Close())
}

// Bytes returns the size on disk of the file, its companions and files set aside.
func (r *Records) Bytes() int64 {
	files, err := matching(r.path)
	if err != nil {
		return 0 // The directory is gone, and so are the files.
	}
	var sum int64
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

// Tiers returns the tiers of the process records, finest first.
func (r *Records) Tiers() []Tier { return slices.Clone(r.tiers) }

// Newest is the newest tick in the records, the zero time if there is none. After
// Open it is the last sign of life of the previous agent.
func (r *Records) Newest() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.newest == 0 {
		return time.Time{}
	}
	return time.UnixMilli(r.newest)
}
