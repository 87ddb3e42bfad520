// Package sampler reads every collector once a tick, keeps the newest reading of each
// for the exporter and the API, and records process tables and events.
//
// It knows neither the OpenTelemetry SDK nor any destination. Read sampler.go first,
// with clock.go and worker.go, then event_recorder.go.
package sampler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sysotel/agent/clock"
	"sysotel/instruments"
)

// Sampler reads every collector at every tick. Ticks fall on whole seconds of the
// wall clock; nothing else in the agent reads the machine.
//
// One goroutine, the worker, reads the collectors one after the other. If a collector
// exceeds its timeout, its worker is abandoned and a new one takes over the others:
// a hung collector holds exactly one goroutine and loses only its own numbers.
type Sampler struct {
	host       *instruments.Host
	interval   time.Duration
	log        *slog.Logger
	clock      source
	collectors []*collector
	byName     map[string]*collector

	started time.Time

	// AfterTick is called after each tick, before the next can replace its readings;
	// nil for nothing. An error counts as a gap. It must be set before Run.
	AfterTick func(context.Context) error

	// events records process tables and events; nil for neither.
	events *eventRecorder
	// began is set while the start was recorded and the stop was not.
	began atomic.Bool

	// settings replaces the collectors' settings at the next tick.
	settings atomic.Pointer[instruments.Config]
	// halved is that of the next ticks.
	halved atomic.Int32

	mu     sync.Mutex
	seq    uint64
	at     time.Time
	ended  time.Duration // When the newest tick was complete, by clock.awake.
	ticked chan struct{}
	gaps   map[string]uint64
}

// collector is a collector with its settings and its state.
type collector struct {
	instruments.Collector
	settings instruments.CollectorConfig
	// pending are settings that the collector itself has yet to be given.
	pending *instruments.Config
	// due is the newest tick at which the collector was due.
	due    time.Time
	newest atomic.Pointer[snapshot]
	// next becomes the newest when the tick is complete, so that callers see the
	// readings of one tick together.
	next *snapshot
	// hung is true while a read that exceeded its timeout has not returned.
	hung atomic.Bool
	// enabled repeats the setting, to be read during a tick.
	enabled atomic.Bool

	mu      sync.Mutex
	seconds float64
	ok      bool
	lastErr string
	// cause is that of the last failure.
	cause    string
	since    time.Time
	failures uint64
	retries  uint64
	// missing is what the newest reading lacks.
	missing []instruments.Missing
	// named is what the log said of the parts that were missing, for namedAgain.
	named map[string]naming
}

// naming is what the log said of one part of a reading.
type naming struct {
	// missing is set while the newest line says that the part is missing.
	missing bool
	// at is when that was said, by clock.awake.
	at time.Duration
}

const (
	// namedAgain is how long the log is silent about a part that comes and goes.
	namedAgain = time.Hour
	// maxNamed bounds the parts of one collector that the log names within that time.
	maxNamed = 64
)

// snapshot is a reading with the time of its tick.
type snapshot struct {
	reading instruments.Reading
	at      time.Time
	// taken is when the machine was really read, with the monotonic clock: the time
	// between two readings is not exactly that between their ticks.
	taken time.Time
}

// Options are what New needs.
type Options struct {
	Host       *instruments.Host
	Collectors []instruments.Collector
	// Measured has the settings of the collectors.
	Measured instruments.Config
	// Interval is the time between two ticks.
	Interval time.Duration
	// Records keep process tables and events; nil for neither.
	Records Records
	// HostName and Version are written into the events of the agent itself.
	HostName, Version string
	// Clock decides what time it is; one by the system's clocks if nil.
	Clock *clock.Judge
	Log   *slog.Logger
}

// New wires the collectors; Run reads them.
func New(o Options) *Sampler {
	host, made := o.Host, o.Host.Now() // With its monotonic part, which does not count while the machine sleeps.
	awake := func() time.Duration { return host.Now().Sub(made) }
	if o.Clock == nil {
		o.Clock = clock.New(clock.Options{Wall: host.Now, Boot: func() time.Duration { return awake() + host.Asleep().Round(time.Second) }})
	}
	s := &Sampler{
		host: host, interval: o.Interval, log: o.Log, started: made,
		clock:  source{now: o.Clock.Now, observe: o.Clock.Observe, latest: o.Clock.Steps, awake: awake, asleep: host.Asleep},
		byName: map[string]*collector{},
		ticked: make(chan struct{}),
		gaps:   map[string]uint64{causeSuspend: 0, causeClock: 0, causeOverload: 0, causeTimeout: 0, causeError: 0},
	}
	for _, f := range o.Collectors {
		state := &collector{Collector: f, settings: o.Measured.Collectors[f.Name()], seconds: math.NaN(), ok: true}
		state.enabled.Store(state.settings.Enabled)
		s.collectors = append(s.collectors, state)
		s.byName[f.Name()] = state
	}
	if o.Records != nil {
		s.events = newEventRecorder(o)
	}
	return s
}

// Run ticks until the context ends.
func (s *Sampler) Run(ctx context.Context) error {
	if s.events == nil {
		return s.tick(ctx)
	}
	s.events.open()
	defer s.events.oom.close()
	s.began.Store(true)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var beginning sync.WaitGroup
	// It looks up the previous run, which the first reading need not wait for.
	beginning.Go(func() { s.events.start(background, s.clock.now()) })
	err := s.tick(ctx)
	stop()
	beginning.Wait()
	return err
}

// Close closes the collectors that are io.Closers, such as those that run commands,
// and records the stop. It must be called after Run has returned.
func (s *Sampler) Close() error {
	var err error
	for _, f := range s.collectors {
		if closer, ok := f.Collector.(io.Closer); ok {
			err = errors.Join(err, closer.Close())
		}
	}
	if s.began.Swap(false) {
		s.events.stop(s.clock.now())
	}
	return err
}

// tick ticks until the context ends.
func (s *Sampler) tick(ctx context.Context) error {
	run := &worker{work: make(chan instruments.Tick), done: make(chan struct{}, 1), sampler: s}
	go run.loop(ctx)
	defer func() { close(run.work) }()

	last := s.clock.read()
	// The first tick is taken at once, so that there are readings within the first
	// second; its time is the second that has just begun.
	tick := instruments.Tick{Time: floor(last.wall, time.Second), Seq: 1, Interval: s.interval, Halved: int(s.halved.Load())}
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		run = s.readAll(ctx, run, tick)
		if ctx.Err() != nil {
			return nil
		}
		s.publish(tick)
		if s.events != nil {
			s.events.afterTick(s, tick)
		}
		if s.AfterTick != nil {
			if err := s.AfterTick(ctx); err != nil && ctx.Err() == nil {
				s.gap(gap{cause: causeOverload, from: tick.Time, missed: 1})
				s.log.Error("cannot export readings", "err", err)
			}
		}

		var event gap
		next := after(tick.Time, s.interval)
		for {
			// Never longer than the interval: the wall clock may have been set back.
			timer.Reset(min(max(next.Sub(s.clock.now()), 0), s.interval))
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
			change := s.clock.observe()
			now := s.clock.read()
			slept, set := now.since(last)
			if change != nil {
				tick.Time = s.clock.place(tick.Time, change)
				s.placeSince(change)
			}
			var early bool
			next, early, event = nextTick(tick.Time, now.wall, slept, set, s.interval)
			if s.events != nil && change != nil {
				s.events.clockSet(change, event)
			}
			if early {
				continue
			}
			if s.events != nil {
				s.events.suspended(last, now, slept, event)
			}
			last = now
			break
		}
		if event.cause != "" {
			s.gap(event)
		}
		tick = instruments.Tick{Time: next, Seq: tick.Seq + 1, Interval: s.interval, Halved: int(s.halved.Load())}
	}
}

// placeSince moves along since when collectors are as they are.
func (s *Sampler) placeSince(change *clock.Change) {
	for _, c := range s.collectors {
		c.mu.Lock()
		if !c.since.IsZero() {
			c.since = s.clock.place(c.since, change)
		}
		c.mu.Unlock()
	}
}

func (s *Sampler) gap(g gap) {
	s.mu.Lock()
	s.gaps[g.cause] += g.missed
	s.mu.Unlock()
	if s.events != nil && g.cause != causeClock && g.cause != causeSuspend {
		s.events.gap(g) // clockMoved records the others.
	}
	if g.cause == causeClock {
		s.log.Warn("the wall clock was set", "event", "clock_step", "from", g.from, "to", g.to)
	}
	if g.missed > 0 {
		last := g.from.Add(time.Duration(g.missed-1) * s.interval)
		s.log.Warn("ticks were missed", "event", "gap", "cause", g.cause, "from", g.from, "to", last, "missed", g.missed)
	}
}

// publish makes the tick's readings the newest, all at once, and wakes up those who
// wait for it.
func (s *Sampler) publish(t instruments.Tick) {
	for _, c := range s.collectors {
		c.newest.Store(c.next)
	}
	s.mu.Lock()
	s.seq, s.at, s.ended = t.Seq, t.Time, s.clock.awake()
	close(s.ticked)
	s.ticked = make(chan struct{})
	s.mu.Unlock()
}

// Tick returns the number and the time of the newest complete tick, and a
// channel that is closed when the next one is complete.
func (s *Sampler) Tick() (seq uint64, at time.Time, next <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq, s.at, s.ticked
}

// idle is how long ago the newest tick was complete. A step of the wall clock and a
// suspend do not count: they must not look like a hung sampler.
func (s *Sampler) idle() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock.awake() - s.ended
}

// Newest returns the newest reading of a collector and its time; nil if there is none:
// the collector is disabled, failed at its last tick, or has not been read yet.
func (s *Sampler) Newest(name string) (instruments.Reading, time.Time) {
	c := s.byName[name]
	if c == nil {
		return nil, time.Time{}
	}
	if n := c.newest.Load(); n != nil {
		return n.reading, n.at
	}
	return nil, time.Time{}
}

// Interval is the time between two ticks.
func (s *Sampler) Interval() time.Duration { return s.interval }

// Taken returns when the machine was really read for a collector's newest reading; the
// zero time if that is not the one of the given tick.
func (s *Sampler) Taken(name string, at time.Time) time.Time {
	if c := s.byName[name]; c != nil {
		if n := c.newest.Load(); n != nil && n.at.Equal(at) {
			return n.taken
		}
	}
	return time.Time{}
}

// Configure gives the collectors new settings from the next tick on.
func (s *Sampler) Configure(c instruments.Config) { s.settings.Store(&c) }

// grace is how long after its timeout a collector may return before its worker is
// abandoned: one that observes its context needs a moment to do so.
const grace = 50 * time.Millisecond

// readAll has the worker read every collector and returns the worker for the next
// tick: a new one if a collector exceeded its timeout.
func (s *Sampler) readAll(ctx context.Context, w *worker, t instruments.Tick) *worker {
	s.configure()
	w.work <- t
	timer := time.NewTimer(s.shortestLimit())
	defer timer.Stop()
	for {
		select {
		case <-w.done:
			return w
		case <-ctx.Done():
			return w // It ends when its current read returns.
		case <-timer.C:
		}
		w.mu.Lock()
		c, left := w.current, time.Duration(0)
		if c != nil {
			left = c.settings.Timeout + grace - (s.clock.awake() - w.started)
		}
		if c == nil || left > 0 {
			w.mu.Unlock()
			timer.Reset(max(left, 10*time.Millisecond))
			continue
		}
		w.abandoned = true
		c.hung.Store(true)
		from := w.from
		w.mu.Unlock()
		close(w.work)
		s.failed(c, t, causeTimeout, fmt.Errorf("did not answer within %s", c.settings.Timeout))
		w = &worker{sampler: s, work: make(chan instruments.Tick), done: make(chan struct{}, 1), from: from}
		go w.loop(ctx)
		w.work <- t
		timer.Reset(s.shortestLimit())
	}
}

func (s *Sampler) shortestLimit() time.Duration {
	limit := time.Hour
	for _, c := range s.collectors {
		limit = min(limit, c.settings.Timeout)
	}
	return limit + grace
}

// Halve has the collectors give names of their own to a half, a quarter and so on of what
// is configured, from the next tick on; 0 is all.
func (s *Sampler) Halve(times int) { s.halved.Store(int32(times)) } //nolint:gosec // A few times.

// configure applies new settings between two ticks. A hung collector can be disabled
// at once, but is given its own settings only when it has returned.
func (s *Sampler) configure() {
	changed := s.settings.Swap(nil)
	if changed != nil && s.events != nil {
		s.events.configured()
	}
	for _, c := range s.collectors {
		if changed != nil {
			c.settings, c.pending = changed.Collectors[c.Name()], changed
			c.enabled.Store(c.settings.Enabled)
		}
		if c.pending == nil || c.hung.Load() {
			continue
		}
		if r, ok := c.Collector.(instruments.Configurable); ok {
			r.Configure(*c.pending)
		}
		c.pending = nil
	}
}

// finished takes the result of one read.
func (s *Sampler) finished(c *collector, t instruments.Tick, r instruments.Reading, retries uint64, err error, took time.Duration) {
	c.mu.Lock()
	c.seconds = took.Seconds()
	c.retries += retries
	c.mu.Unlock()
	switch {
	case errors.Is(err, instruments.ErrUnsupported):
		c.next = nil
		s.transition(c, t, true, "", "err", err)
	case errors.Is(err, context.DeadlineExceeded):
		s.failed(c, t, causeTimeout, err)
	case err != nil:
		s.failed(c, t, causeError, err)
	default:
		c.next = &snapshot{reading: r, at: t.Time, taken: s.host.Now().Add(-took)}
		s.transition(c, t, true, "")
		if partial, ok := r.(instruments.Partial); ok {
			s.missing(c, partial.Missing())
		}
	}
}

// missing notes what a reading lacks, and logs what begins to be missing and what is
// there again: a part that comes and goes once an hour.
func (s *Sampler) missing(c *collector, now []instruments.Missing) {
	c.mu.Lock()
	c.missing = now
	c.mu.Unlock()
	if len(now) == 0 && len(c.named) == 0 {
		return
	}
	awake := s.clock.awake()
	for subject, n := range c.named {
		switch {
		case slices.ContainsFunc(now, func(m instruments.Missing) bool { return m.Subject == subject }):
		case n.missing:
			c.named[subject] = naming{at: n.at}
			s.log.Info("part of a reading is back", "collector", c.Name(), "subject", subject)
		case awake-n.at >= namedAgain:
			delete(c.named, subject)
		}
	}
	for _, m := range now {
		n, known := c.named[m.Subject]
		if n.missing || known && awake-n.at < namedAgain || !known && len(c.named) >= maxNamed {
			continue
		}
		if c.named == nil {
			c.named = map[string]naming{}
		}
		c.named[m.Subject] = naming{missing: true, at: awake}
		level := slog.LevelWarn
		if m.Hidden {
			level = slog.LevelInfo
		}
		s.log.Log(context.Background(), level, "part of a reading is missing", "collector", c.Name(), "subject", m.Subject, "reason", m.Reason)
	}
}

// failed leaves the collector out of this tick.
func (s *Sampler) failed(c *collector, t instruments.Tick, cause string, err error) {
	c.next = nil
	s.mu.Lock()
	s.gaps[cause]++
	s.mu.Unlock()
	c.mu.Lock()
	c.failures++
	c.mu.Unlock()
	s.transition(c, t, false, cause, "err", err)
}

// transition notes the state and logs changes of it, not each failure.
func (s *Sampler) transition(c *collector, t instruments.Tick, ok bool, cause string, args ...any) {
	c.mu.Lock()
	before, since := c.ok, c.since
	c.ok = ok
	if before != ok {
		c.since = t.Time
	}
	c.lastErr = ""
	if len(args) == 2 {
		c.lastErr = fmt.Sprint(args[1])
	}
	reason := c.lastErr
	c.mu.Unlock()
	if before == ok {
		return
	}
	if s.events != nil {
		if !ok {
			c.cause = cause
		}
		s.events.collector(c.Name(), ok, c.cause, reason, since, t.Time)
	}
	if ok {
		s.log.Info("collector recovered", "collector", c.Name(), "at", t.Time)
		return
	}
	s.log.Warn("collector failed", append([]any{"event", "gap", "collector", c.Name(), "cause", cause, "at", t.Time}, args...)...)
}
