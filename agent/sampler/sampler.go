// Package sampler reads every collector of the machine once a tick, keeps the
// newest reading of each for those who export or show it, and hands the process
// tables and events to the process history.
//
// It knows neither the OpenTelemetry SDK nor any destination. Read sampler.go
// first, with clock.go and lane.go, then chronicle.go.
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

	"sysotel/instruments"
)

// Sampler reads every family at every tick. Ticks fall on whole seconds of the
// wall clock; nothing else in the agent reads the machine.
//
// The families are read one after the other by one goroutine, the lane. When a
// family outlasts its time limit, the lane is left to it and a fresh one takes
// over the others, so that a hung family holds exactly one goroutine and costs
// its own numbers only.
type Sampler struct {
	host     *instruments.Host
	interval time.Duration
	log      *slog.Logger
	clock    clock
	families []*family
	byName   map[string]*family

	started time.Time

	// AfterTick is called after each tick, before the next can replace its readings;
	// nil for nothing. An error counts as a gap. It must be set before Run.
	AfterTick func(context.Context) error

	// chronicle, where set, keeps the process tables and what happens.
	chronicle *chronicle
	// began is set while the start was recorded and the stop was not.
	began atomic.Bool

	// settings replaces the families' settings at the next tick.
	settings atomic.Pointer[instruments.Config]

	mu     sync.Mutex
	seq    uint64
	at     time.Time
	ended  time.Duration // When the newest tick was complete, by clock.awake.
	ticked chan struct{}
	gaps   map[string]uint64
}

// family is one family with its settings and how it fares.
type family struct {
	instruments.Collector
	settings instruments.CollectorConfig
	// pending are settings that the family itself is still to be given.
	pending *instruments.Config
	// due is the time of the newest tick at which the family was to be read.
	due    time.Time
	newest atomic.Pointer[snapshot]
	// next becomes the newest when the tick is complete, so that whoever looks
	// sees the readings of one tick side by side.
	next *snapshot
	// hung is true while a read that outlasted its limit has not returned.
	hung atomic.Bool
	// enabled repeats the setting for those who ask while a tick runs.
	enabled atomic.Bool

	mu      sync.Mutex
	seconds float64
	ok      bool
	lastErr string
	// cause is why it failed when it last did.
	cause    string
	since    time.Time
	failures uint64
	retries  uint64
	// missing is what the newest reading lacks.
	missing []instruments.Missing
}

// snapshot is a reading with the time of its tick.
type snapshot struct {
	reading instruments.Reading
	at      time.Time
	// taken is when the machine was really read, by the monotonic clock: the time
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
	// Records keep process tables and events; nil where none are kept.
	Records Records
	// HostName and Version are written into the events of the agent itself.
	HostName, Version string
	Log               *slog.Logger
}

// New wires the collectors; Run reads them.
func New(o Options) *Sampler {
	host, made := o.Host, o.Host.Now() // With its monotonic part, which does not count while the machine sleeps.
	s := &Sampler{
		host: host, interval: o.Interval, log: o.Log, started: made,
		clock:  clock{now: host.Now, awake: func() time.Duration { return host.Now().Sub(made) }, asleep: host.Asleep},
		byName: map[string]*family{},
		ticked: make(chan struct{}),
		gaps:   map[string]uint64{causeSuspend: 0, causeClock: 0, causeOverload: 0, causeTimeout: 0, causeError: 0},
	}
	for _, f := range o.Collectors {
		state := &family{Collector: f, settings: o.Measured.Collectors[f.Name()], seconds: math.NaN(), ok: true}
		state.enabled.Store(state.settings.Enabled)
		s.families = append(s.families, state)
		s.byName[f.Name()] = state
	}
	if o.Records != nil {
		s.chronicle = newChronicle(o)
	}
	return s
}

// Run ticks until the context ends.
func (s *Sampler) Run(ctx context.Context) error {
	if s.chronicle == nil {
		return s.tick(ctx)
	}
	s.chronicle.open()
	defer s.chronicle.oom.close()
	s.began.Store(true)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var beginning sync.WaitGroup
	// It asks the records for the run before, which the first reading need not wait for.
	beginning.Go(func() { s.chronicle.begin(background, s.host.Now()) })
	err := s.tick(ctx)
	stop()
	beginning.Wait()
	return err
}

// Close ends what the collectors hold, such as commands that run, and records the
// stop. It is called after Run has returned.
func (s *Sampler) Close() error {
	var err error
	for _, f := range s.families {
		if closer, ok := f.Collector.(io.Closer); ok {
			err = errors.Join(err, closer.Close())
		}
	}
	if s.began.Swap(false) {
		s.chronicle.end(s.host.Now())
	}
	return err
}

// tick ticks until the context ends.
func (s *Sampler) tick(ctx context.Context) error {
	run := &lane{work: make(chan instruments.Tick), done: make(chan struct{}, 1), sampler: s}
	go run.loop(ctx)
	defer func() { close(run.work) }()

	last := s.clock.look()
	// The first reading is taken at once, so that the agent has numbers within
	// the first second; it carries the second that has just begun.
	tick := instruments.Tick{Time: floor(last.wall, time.Second), Seq: 1, Interval: s.interval}
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		run = s.readAll(ctx, run, tick)
		if ctx.Err() != nil {
			return nil
		}
		s.publish(tick)
		if s.chronicle != nil {
			s.chronicle.see(s, tick)
		}
		if s.AfterTick != nil {
			if err := s.AfterTick(ctx); err != nil && ctx.Err() == nil {
				s.gap(gap{cause: causeOverload, from: tick.Time, missed: 1})
				s.log.Error("collect", "err", err)
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
			now := s.clock.look()
			slept, set := now.since(last)
			var early bool
			next, early, event = judge(tick.Time, now.wall, slept, set, s.interval)
			if early {
				continue
			}
			if s.chronicle != nil {
				s.chronicle.moved(last, now, slept, set, event)
			}
			last = now
			break
		}
		if event.cause != "" {
			s.gap(event)
		}
		tick = instruments.Tick{Time: next, Seq: tick.Seq + 1, Interval: s.interval}
	}
}

func (s *Sampler) gap(g gap) {
	s.mu.Lock()
	s.gaps[g.cause] += g.missed
	s.mu.Unlock()
	if s.chronicle != nil && g.cause != causeClock && g.cause != causeSuspend {
		s.chronicle.gap(g) // The others are told by what happened to the clock.
	}
	if g.cause == causeClock {
		s.log.Warn("the wall clock was set", "event", "clock_step", "from", g.from, "to", g.to)
	}
	if g.missed > 0 {
		last := g.from.Add(time.Duration(g.missed-1) * s.interval)
		s.log.Warn("ticks were missed", "event", "gap", "cause", g.cause, "from", g.from, "to", last, "missed", g.missed)
	}
}

// publish shows the tick's readings, all at once, and tells those who wait.
func (s *Sampler) publish(t instruments.Tick) {
	for _, f := range s.families {
		f.newest.Store(f.next)
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

// idle is how long ago the newest tick was complete. A step of the wall clock
// and a suspend do not count: they must not look like a sampler that hangs.
func (s *Sampler) idle() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock.awake() - s.ended
}

// Newest returns the newest reading of a family and its time, nil where there
// is none: the family is off, failed at its last tick, or has not read yet.
func (s *Sampler) Newest(name string) (instruments.Reading, time.Time) {
	f := s.byName[name]
	if f == nil {
		return nil, time.Time{}
	}
	if n := f.newest.Load(); n != nil {
		return n.reading, n.at
	}
	return nil, time.Time{}
}

// Interval is the time between two ticks.
func (s *Sampler) Interval() time.Duration { return s.interval }

// Taken is when the machine was read for a collector's newest reading, the zero time
// where that is not the one of the given tick.
func (s *Sampler) Taken(name string, at time.Time) time.Time {
	if f := s.byName[name]; f != nil {
		if n := f.newest.Load(); n != nil && n.at.Equal(at) {
			return n.taken
		}
	}
	return time.Time{}
}

// Configure gives the families new settings from the next tick on.
func (s *Sampler) Configure(c instruments.Config) { s.settings.Store(&c) }

// grace is how much longer than its limit a family may take before the lane is
// left to it: one that keeps to its limit needs a moment to come back.
const grace = 50 * time.Millisecond

// readAll has the lane read every family and returns the lane for the next
// tick: another one where a family outlasted its limit.
func (s *Sampler) readAll(ctx context.Context, l *lane, t instruments.Tick) *lane {
	s.configure()
	l.work <- t
	timer := time.NewTimer(s.shortestLimit())
	defer timer.Stop()
	for {
		select {
		case <-l.done:
			return l
		case <-ctx.Done():
			return l // It ends when the read that it is at returns.
		case <-timer.C:
		}
		l.mu.Lock()
		f, left := l.current, time.Duration(0)
		if f != nil {
			left = f.settings.Timeout + grace - (s.clock.awake() - l.started)
		}
		if f == nil || left > 0 {
			l.mu.Unlock()
			timer.Reset(max(left, 10*time.Millisecond))
			continue
		}
		l.abandoned = true
		f.hung.Store(true)
		from := l.from
		l.mu.Unlock()
		close(l.work)
		s.failed(f, t, causeTimeout, fmt.Errorf("did not answer within %s", f.settings.Timeout))
		l = &lane{sampler: s, work: make(chan instruments.Tick), done: make(chan struct{}, 1), from: from}
		go l.loop(ctx)
		l.work <- t
		timer.Reset(s.shortestLimit())
	}
}

func (s *Sampler) shortestLimit() time.Duration {
	limit := time.Hour
	for _, f := range s.families {
		limit = min(limit, f.settings.Timeout)
	}
	return limit + grace
}

// configure applies new settings between two ticks. A family that hangs is
// switched off at once too, but is given its own settings when it has come back.
func (s *Sampler) configure() {
	c := s.settings.Swap(nil)
	if c != nil && s.chronicle != nil {
		s.chronicle.configured()
	}
	for _, f := range s.families {
		if c != nil {
			f.settings, f.pending = c.Collectors[f.Name()], c
			f.enabled.Store(f.settings.Enabled)
		}
		if f.pending == nil || f.hung.Load() {
			continue
		}
		if r, ok := f.Collector.(instruments.Configurable); ok {
			r.Configure(*f.pending)
		}
		f.pending = nil
	}
}

// finished takes the result of one family's read.
func (s *Sampler) finished(f *family, t instruments.Tick, r instruments.Reading, retries uint64, err error, took time.Duration) {
	f.mu.Lock()
	f.seconds = took.Seconds()
	f.retries += retries
	f.mu.Unlock()
	switch {
	case errors.Is(err, instruments.ErrUnsupported):
		f.next = nil
		s.became(f, t, true, "", "err", err)
	case errors.Is(err, context.DeadlineExceeded):
		s.failed(f, t, causeTimeout, err)
	case err != nil:
		s.failed(f, t, causeError, err)
	default:
		f.next = &snapshot{reading: r, at: t.Time, taken: s.host.Now().Add(-took)}
		s.became(f, t, true, "")
		if partial, ok := r.(instruments.Partial); ok {
			s.lacks(f, partial.Missing())
		}
	}
}

// lacks logs what a reading begins to lack and what is there again.
func (s *Sampler) lacks(f *family, now []instruments.Missing) {
	f.mu.Lock()
	before := f.missing
	f.missing = now
	f.mu.Unlock()
	for _, m := range now {
		if !slices.ContainsFunc(before, func(o instruments.Missing) bool { return o.Subject == m.Subject }) {
			s.log.Warn("a part of a family is missing", "family", f.Name(), "subject", m.Subject, "reason", m.Reason)
		}
	}
	for _, o := range before {
		if !slices.ContainsFunc(now, func(m instruments.Missing) bool { return o.Subject == m.Subject }) {
			s.log.Info("a part of a family is back", "family", f.Name(), "subject", o.Subject)
		}
	}
}

// failed leaves the family out of this tick.
func (s *Sampler) failed(f *family, t instruments.Tick, cause string, err error) {
	f.next = nil
	s.mu.Lock()
	s.gaps[cause]++
	s.mu.Unlock()
	f.mu.Lock()
	f.failures++
	f.mu.Unlock()
	s.became(f, t, false, cause, "err", err)
}

// became logs a change of state, not each failure.
func (s *Sampler) became(f *family, t instruments.Tick, ok bool, cause string, args ...any) {
	f.mu.Lock()
	before, since := f.ok, f.since
	f.ok = ok
	if before != ok {
		f.since = t.Time
	}
	f.lastErr = ""
	if len(args) == 2 {
		f.lastErr = fmt.Sprint(args[1])
	}
	reason := f.lastErr
	f.mu.Unlock()
	if before == ok {
		return
	}
	if s.chronicle != nil {
		if !ok {
			f.cause = cause
		}
		s.chronicle.family(f.Name(), ok, f.cause, reason, since, t.Time)
	}
	if ok {
		s.log.Info("family is back", "family", f.Name(), "at", t.Time)
		return
	}
	s.log.Warn("family failed", append([]any{"event", "gap", "family", f.Name(), "cause", cause, "at", t.Time}, args...)...)
}
