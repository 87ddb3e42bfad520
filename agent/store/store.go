// Package store keeps the history of series in tiers on disk, each a database of
// Prometheus' TSDB library: the finest keeps every reading, the others averages
// with minimum and maximum. Read reading.go first (what is appended), then
// append.go and bucket.go (rolling up), rebuild.go (after a start) and
// maintenance.go (compaction, retention). agent/query evaluates queries on the
// tiers; agent/records keeps process tables and events.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/atomicfile"
	"sysotel/agent/clock"
	"sysotel/agent/health"
)

// Options configure a store.
type Options struct {
	// Dir is the store's own directory. The caller makes sure that no other process
	// opens it.
	Dir string
	// Tiers are the tiers, finest first.
	Tiers []TierConfig
	// MaxBytes is the maximum size of Dir plus Others; 0 means no limit.
	MaxBytes int64
	// Others returns the size of other data that counts against MaxBytes; may be
	// nil.
	Others func() int64
	// Labels are added to the store's own series, such as host_name.
	Labels labels.Labels
	// Log gets one line for each change of state; may be nil.
	Log *slog.Logger
	// Clock decides what time it is; one by the system's clocks if nil.
	Clock *clock.Judge
	// Damaged is told of a damaged file that was set aside: its new name, why, and of
	// which time it is, at most. Optional.
	Damaged func(aside, why string, from, to time.Time)
	// Free returns the free space of a directory's file system; the system's if
	// nil.
	Free func(dir string) (int64, error)
}

// Store has the tiers of one host.
type Store struct {
	options Options
	log     *slog.Logger
	clock   *clock.Judge
	tiers   []*Tier
	rollups *Rollups
	base    time.Time // what Taken is counted from

	opened chan struct{} // closed when the store is open for the first time
	closed chan struct{}
	wrote  chan struct{}  // signalled when a bucket was written
	work   sync.WaitGroup // the opening

	maintenance sync.Mutex // one round of maintenance, backup or closing at a time

	mu     sync.Mutex // protects what follows
	state  state
	reason string // why the state is not open
	// viewing is set while tiers that cannot be opened for writing can be read.
	viewing bool
	epoch   *epoch
	upper   []upperTier
	byHash  map[uint64]*seriesState
	live    []*seriesState
	rooms   map[string]*room // by collector
	// collectors have sent a reading since the store was opened; restored are the
	// series from before, by collector, until its first reading shows which are
	// back.
	collectors map[string]*collector
	restored   map[string][]*seriesState
	newest     int64 // the newest tick that was appended
	found      int64 // the newest tick when the store was open for the first time
	full       bool
	unsaved    bool
	// step is the newest step of the clock that was looked at; aheadFrom to aheadTo is
	// the time of what is set aside because it is ahead of the clock.
	step               uint64
	aheadFrom, aheadTo int64
	// rebuilding is set while samples from before the start are folded.
	rebuilding bool
	// waiting is also read by queries; waitingLog keeps it.
	waiting    waiting
	waitingLog waitingLog
	// life is this process, entered the one that the newest reading is of.
	life, entered *life
	// reopened is the newest tick that was in the store when it was opened last.
	reopened int64
	// draining is the batch of the reading that is appended, nil if it did not wait.
	draining       *batch
	asides         []aside
	samples        uint64 // appended
	drops          *health.Drops
	maintenanceErr string // why the last maintenance failed, empty if it did not
}

type state uint8

const (
	opening state = iota
	open
	shut
)

// epoch identifies one opening of the tiers.
type epoch struct{ _ byte }

// collector is the state of a collector.
type collector struct {
	last     int64 // its newest tick
	readings Series
}

// Open opens the store in options.Dir, and creates it if missing. It returns at
// once: databases are opened in the background, meanwhile appends wait in memory
// and queries return ErrOpening. It fails only if a newer version wrote the
// directory, or if it cannot be used at all; damaged files are repaired or set
// aside.
func Open(options Options) (*Store, error) {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Clock == nil {
		options.Clock = clock.New(clock.Options{})
	}
	if options.Free == nil {
		options.Free = freeBytes
	}
	if len(options.Tiers) == 0 {
		return nil, errors.New("open the store: no tiers")
	}
	// A disk that cannot be written is not an error: opening is retried until it can.
	if err := checkFormat(options.Dir, options.Log); errors.Is(err, errNewer) {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s := &Store{
		options: options, log: options.Log, clock: options.Clock,
		base: time.Now(), opened: make(chan struct{}), closed: make(chan struct{}),
		wrote: make(chan struct{}, 1), found: unknown, drops: health.NewDrops(DropReasons()...),
		life: &life{id: ulid.Make().String()}, waitingLog: waitingLog{dir: filepath.Join(options.Dir, waitingDir)},
	}
	var err error
	if s.rollups, err = loadRollups(options.Dir); err != nil {
		s.log.Warn("cannot read the table of roll-ups, starting a new one", "err", err)
	}
	for _, c := range options.Tiers {
		s.tiers = append(s.tiers, newTier(options.Dir, c, s.clock, s.log))
	}
	for i, t := range s.tiers {
		t.waiting, t.finest = &s.waiting, i == 0
	}
	s.reset()
	s.loadWaiting()
	s.work.Go(s.openTiers)
	return s, nil
}

// reset clears everything that is rebuilt from the databases.
func (s *Store) reset() {
	s.epoch = new(epoch)
	s.state, s.reason = opening, "the store is opening"
	s.byHash, s.live, s.rooms = map[uint64]*seriesState{}, nil, map[string]*room{}
	s.collectors, s.restored = map[string]*collector{}, map[string][]*seriesState{}
	s.newest, s.reopened, s.entered = unknown, unknown, nil
	s.upper = nil
	for _, t := range s.tiers[1:] {
		s.upper = append(s.upper, upperTier{Tier: t, interval: t.config.Resolution.Milliseconds(), written: unknown})
	}
}

// Tiers returns the tiers, finest first.
func (s *Store) Tiers() []*Tier { return s.tiers }

// Rollups returns the table of roll-up names.
func (s *Store) Rollups() *Rollups { return s.rollups }

// Opened is closed once the tiers are open and waiting readings are appended.
func (s *Store) Opened() <-chan struct{} { return s.opened }

// openTiers opens the databases, rebuilds the open buckets and appends waiting
// readings. It retries while the disk is full or not writable.
func (s *Store) openTiers() {
	said := ""
	for {
		err := s.openOnce()
		if err == nil {
			break
		}
		s.mu.Lock()
		s.reason = err.Error()
		s.mu.Unlock()
		// One line for each reason, though the numbers in it change.
		if kind := strings.Map(letters, err.Error()); kind != said {
			said = kind
			s.log.Error("cannot open the store, retrying; what there is can be read, new readings wait", "err", err)
		}
		s.view()
		select {
		case <-s.closed:
			return
		case <-time.After(2 * time.Second):
		}
	}
	select {
	case <-s.opened:
	default:
		close(s.opened)
	}
}

// letters drops the digits and punctuation of a text.
func letters(r rune) rune {
	if unicode.IsLetter(r) {
		return r
	}
	return -1
}

// view lets queries read the tiers while they cannot be opened for writing.
func (s *Store) view() {
	s.mu.Lock()
	viewing := s.viewing
	s.mu.Unlock()
	if viewing {
		return
	}
	var all sync.WaitGroup
	var found atomic.Bool
	for _, t := range s.tiers {
		all.Go(func() {
			err := t.openView()
			if errors.Is(err, fs.ErrNotExist) {
				return
			}
			found.Store(true)
			if err != nil {
				s.log.Warn("a tier cannot be read while the disk cannot be written", "tier", t.name, "err", err)
			}
		})
	}
	all.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.viewing = found.Load() // Else there is nothing to see.
}

// leaveView ends what view began.
func (s *Store) leaveView() {
	s.mu.Lock()
	viewing := s.viewing
	s.viewing = false
	s.mu.Unlock()
	if !viewing {
		return
	}
	for _, t := range s.tiers {
		if err := t.closeView(); err != nil {
			s.log.Warn("cannot close a tier cleanly", "tier", t.name, "err", err)
		}
	}
}

// openOnce opens the tiers, makes them follow the clock and rebuilds the open buckets.
func (s *Store) openOnce() error {
	if free, err := s.options.Free(s.options.Dir); err == nil && free < resumeFree {
		return fmt.Errorf("the disk is full: %s free", ByteSize(free))
	}
	if err := os.MkdirAll(filepath.Join(s.options.Dir, tiersDir), 0o750); err != nil {
		return err
	}
	if err := checkFormat(s.options.Dir, s.log); err != nil {
		return err
	}
	if err := atomicfile.Probe(s.options.Dir); err != nil {
		return fmt.Errorf("the disk cannot be written: %w", err)
	}
	s.leaveView()
	if err := s.carryOut(); err != nil {
		return err
	}
	err := s.openAll()
	if err == nil {
		err = s.followClock()
	}
	if err == nil {
		if err = s.rebuild(); err == nil {
			s.ready()
			return nil
		}
	}
	for _, t := range s.tiers {
		err = errors.Join(err, t.close())
	}
	return err
}

// ready begins to append, with what waits.
func (s *Store) ready() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.reason, s.reopened = open, "", s.newest
	s.log.Info("store open")
	select {
	case <-s.opened:
	default:
		s.found = s.newest
	}
	for s.drain() {
		s.mu.Unlock() // A tick that comes now does not wait for all.
		s.mu.Lock()
	}
	s.written()
	s.lookAtClock() // It may have been set meanwhile.
}

// openAll opens the tiers in parallel.
func (s *Store) openAll() error {
	errs := make([]error, len(s.tiers))
	var all sync.WaitGroup
	for i, t := range s.tiers {
		all.Go(func() {
			var set []aside
			set, errs[i] = t.openChecked()
			s.setAside(set)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// Close stops writing and closes the databases. Open buckets are rebuilt when the
// store is opened again.
func (s *Store) Close() error {
	s.mu.Lock()
	select {
	case <-s.closed:
		s.mu.Unlock()
		return nil
	default:
	}
	close(s.closed)
	s.mu.Unlock()
	s.work.Wait()
	s.maintenance.Lock()
	defer s.maintenance.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.reason = shut, "the store is closed"
	s.viewing = false
	s.waitingLog.close()
	errs := []error{s.rollups.save()}
	for _, t := range s.tiers {
		errs = append(errs, t.close(), t.closeView())
	}
	return errors.Join(errs...)
}
