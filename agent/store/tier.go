package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"

	"sysotel/agent/clock"
)

// ErrOpening is returned by queries before the tier is open, or while it is
// reopened.
var ErrOpening = errors.New("the store is opening, retry in a moment")

// Tier is one database: every point of one resolution.
type Tier struct {
	name   string
	dir    string
	config TierConfig
	log    *slog.Logger
	clock  *clock.Judge
	// waiting are the readings that are to be appended to the finest tier.
	waiting *waiting
	finest  bool

	// first and newest are the times of the oldest and newest sample in
	// milliseconds; math.MaxInt64 and math.MinInt64 if there are none.
	first, newest atomic.Int64
	// flushed belongs to the goroutine that flushes.
	flushed flushed
	// moved is when ended series were moved to a block, by the boot clock. It belongs to the
	// goroutine that maintains.
	moved time.Duration
	// deletable are blocks to delete besides those beyond the retention.
	deletable sync.Map
	// verified are the blocks that were verified, and when by the boot clock.
	verified sync.Map

	mu sync.Mutex
	db *tsdb.DB
	// opened is the directory of db.
	opened fs.FileInfo
	// view stands in for db while the disk cannot be written.
	view    *view
	readers int
	idle    sync.Cond // signalled when readers becomes 0
}

var _ storage.Queryable = (*Tier)(nil)

func newTier(dir string, config TierConfig, clock *clock.Judge, log *slog.Logger) *Tier {
	name := TierName(config.Resolution)
	t := &Tier{name: name, dir: filepath.Join(dir, tiersDir, name), config: config, clock: clock, log: log.With("tier", name)}
	t.idle.L = &t.mu
	t.first.Store(math.MaxInt64)
	t.newest.Store(math.MinInt64)
	return t
}

// Name returns the resolution as Tier.Name does.
func (c TierConfig) Name() string { return TierName(c.Resolution) }

// TierName formats a resolution without zeros: 1s, 5m, 1h30m.
func TierName(d time.Duration) string {
	name := d.String()
	if strings.HasSuffix(name, "m0s") {
		name = name[:len(name)-2]
	}
	if strings.HasSuffix(name, "h0m") {
		name = name[:len(name)-2]
	}
	return name
}

// Name returns the resolution, such as 1s or 5m.
func (t *Tier) Name() string { return t.name }

// Resolution is the time between two points.
func (t *Tier) Resolution() time.Duration { return t.config.Resolution }

// Retention is how long points are kept.
func (t *Tier) Retention() time.Duration { return t.config.Retention }

// Oldest returns the time from which the tier has data within its retention, the
// zero time if it is empty.
func (t *Tier) Oldest() time.Time {
	first := t.first.Load()
	if t.finest && (first == math.MaxInt64 || !t.readable()) {
		if waits, any := t.waiting.oldest(); any {
			first = waits
		}
	}
	if first == math.MaxInt64 {
		return time.Time{}
	}
	return time.UnixMilli(max(first, t.clock.Retention().Add(-t.config.Retention).UnixMilli()))
}

// CompleteUntil is the time of the newest point that is in the tier, while readings wait
// that belong to it; else the zero time. The finest tier shows what waits.
func (t *Tier) CompleteUntil() time.Time {
	if t.finest {
		return time.Time{}
	}
	if _, any := t.waiting.oldest(); !any {
		return time.Time{}
	}
	return time.UnixMilli(max(0, t.newest.Load()))
}

// Newest is the time of the newest point, the zero time for none.
func (t *Tier) Newest() time.Time {
	newest := t.newest.Load()
	if newest == math.MinInt64 {
		return time.Time{}
	}
	return time.UnixMilli(newest)
}

// Queryable resolves selectors on the tier, with the readings that wait to be appended.
func (t *Tier) Queryable() storage.Queryable {
	if !t.finest {
		return t
	}
	return withWaiting{t}
}

// Querier resolves selectors in a time range, without what waits; before the tier is
// open the error is ErrOpening.
func (t *Tier) Querier(mint, maxt int64) (storage.Querier, error) {
	from, err := t.acquireQueryable()
	if err != nil {
		return nil, err
	}
	return &querier{Querier: newWhole(from, t.config.Resolution, mint, maxt), tier: t}, nil
}

// querier releases its tier when it is closed.
type querier struct {
	storage.Querier
	tier *Tier
	once sync.Once
}

// Close releases the tier.
func (q *querier) Close() error {
	err := q.Querier.Close()
	q.once.Do(q.tier.release)
	return err
}

// acquireQueryable returns the open database, or what can be read of it on a disk that
// cannot be written. It stays open until release.
func (t *Tier) acquireQueryable() (storage.Queryable, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.db != nil:
		t.readers++
		return t.db, nil
	case t.view != nil:
		t.readers++
		return t.view, nil
	}
	return nil, ErrOpening
}

// acquire returns the open database, which stays open until release.
func (t *Tier) acquire() (*tsdb.DB, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.db == nil {
		return nil, ErrOpening
	}
	t.readers++
	return t.db, nil
}

// readable reports whether queries see what was appended.
func (t *Tier) readable() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.db != nil || t.view != nil
}

func (t *Tier) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readers--; t.readers == 0 {
		t.idle.Broadcast()
	}
}

// BlockRange is the time that the smallest block covers: at most a twelfth of the
// retention, and at most blockSamples points.
func (c TierConfig) BlockRange() time.Duration {
	const hour, day = time.Hour, 24 * time.Hour
	chosen := 10 * time.Minute
	for _, nice := range []time.Duration{30 * time.Minute, hour, 2 * hour, 6 * hour, 12 * hour, day, 2 * day, 5 * day, 10 * day, 20 * day, 40 * day, 100 * day} {
		if nice <= c.Retention/12 && nice <= blockSamples*c.Resolution || nice < 60*c.Resolution {
			chosen = nice
		}
	}
	return chosen
}

// blockSamples bounds the points of a series in the smallest block: the newest one
// and a half blocks are in the WAL, and opening the store reads all of it.
const blockSamples = 1800

// maxBlockRange is the time that the largest block covers: blocks are merged by
// threes while that is at most a quarter of the retention, which is therefore not
// much coarser than it says.
func (c TierConfig) maxBlockRange() time.Duration {
	r := c.BlockRange()
	for 3*r <= c.Retention/4 {
		r *= 3
	}
	return r
}

// never is longer than an agent runs: the library's own timer is not used.
const never = 100 * 365 * 24 * time.Hour

// walSegment is small, since the library keeps a third of the segments and never
// less than two.
const walSegment = 1 << 20

// chunkSegment is what the library reserves on the disk for the chunks of a block before it
// writes them. By itself it reserves 512 MiB, and a disk with less never gets a block.
const chunkSegment = minFree

// databaseOptions configure the library. Its goroutine is idle: Maintain drives
// compaction, retention and the mapping of chunks, because it checks free space
// first and the library panics if it cannot write a chunk.
func (t *Tier) databaseOptions() *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.MinBlockDuration = t.config.BlockRange().Milliseconds()
	o.MaxBlockDuration = t.config.maxBlockRange().Milliseconds()
	o.RetentionDuration = t.config.Retention.Milliseconds()
	o.BlocksToDelete = t.blocksToDelete
	o.NewCompactorFunc = newCompactor(t, o.NewCompactorFunc)
	o.BlockReloadInterval = never
	o.NoLockfile = true // The data directory as a whole is locked by the agent.
	o.WALSegmentSize = walSegment
	o.WALCompression = compression.Snappy
	o.WALReplayConcurrency = 2
	o.MaxBlockChunkSegmentSize = chunkSegment
	o.StripeSize = 256
	o.SamplesPerChunk = samplesPerChunk
	o.HeadChunksWriteBufferSize = 64 << 10
	o.HeadChunksWriteQueueSize = 0
	o.IsolationDisabled = true // One writer; a query may see a part of the newest tick.
	o.EnableOverlappingCompaction = true
	o.OutOfOrderTimeWindow = 0
	return o
}

// samplesPerChunk is six times the library's default, so that more samples share an
// index entry and a full first sample, 35 bytes together. A block of a coarser tier
// has a series in one chunk then, and a query for a few points decodes 360 too
// many, which takes microseconds. The library ends a chunk at 1,024 bytes in any
// case.
const samplesPerChunk = 720

// open opens the database, which replays its WAL. Damage is repaired or set aside
// before.
func (t *Tier) open() error {
	db, err := tsdb.Open(t.dir, newLibraryLog(t.log), nil, t.databaseOptions(), nil)
	if err != nil {
		return fmt.Errorf("open tier %s: %w", t.name, err)
	}
	db.DisableCompactions()
	if t.opened, err = os.Stat(t.dir); err != nil {
		return errors.Join(err, db.Close())
	}
	t.mu.Lock()
	t.db = db
	t.mu.Unlock()
	t.measure()
	return nil
}

// measure sets the times of the oldest and newest sample.
func (t *Tier) measure() {
	db, err := t.acquire()
	if err != nil {
		return
	}
	defer t.release()
	first, newest := extent(db.Blocks())
	if db.Head().NumSeries() > 0 {
		first, newest = min(first, db.Head().MinTime()), max(newest, db.Head().MaxTime())
	}
	t.first.Store(first)
	t.newest.Store(newest)
}

// close closes the database when the last querier is closed.
func (t *Tier) close() (err error) {
	t.mu.Lock()
	db := t.db
	t.db = nil
	for t.readers > 0 {
		t.idle.Wait()
	}
	t.mu.Unlock()
	if db == nil {
		return nil
	}
	// Closing maps the chunks of the head, which fails on a full disk.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("close tier %s: %v", t.name, p)
		}
	}()
	if err := db.Close(); err != nil {
		return fmt.Errorf("close tier %s: %w", t.name, err)
	}
	return nil
}

// blocksToDelete returns the blocks beyond the retention by the trusted time, those
// merged into others, and deletable ones. The library's default counts from the
// newest block, so that one wrong clock would delete all history.
func (t *Tier) blocksToDelete(blocks []*tsdb.Block) map[ulid.ULID]struct{} {
	oldest := t.clock.Retention().Add(-t.config.Retention).UnixMilli()
	gone := map[ulid.ULID]struct{}{}
	for _, b := range blocks {
		id := b.Meta().ULID
		_, deletable := t.deletable.Load(id)
		if deletable || b.Meta().Compaction.Deletable || b.MaxTime() <= oldest {
			gone[id] = struct{}{}
		}
	}
	return gone
}

// hasDeletableBlocks reports whether a block is to be deleted.
func (t *Tier) hasDeletableBlocks(db *tsdb.DB) bool { return len(t.blocksToDelete(db.Blocks())) > 0 }

// compact writes full ranges of the head into blocks, merges blocks, and deletes
// those that blocksToDelete names.
func (t *Tier) compact(ctx context.Context) error {
	db, err := t.acquire()
	if err != nil {
		return nil // It is being reopened; the next run is in a minute.
	}
	defer t.release()
	defer t.measure()
	if err := db.Compact(ctx); err != nil {
		return fmt.Errorf("compact tier %s: %w", t.name, err)
	}
	return nil
}
