package sampler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sysotel/instruments"
)

// lane is the goroutine that reads the families, one after the other.
type lane struct {
	sampler *Sampler
	work    chan instruments.Tick
	done    chan struct{}

	mu        sync.Mutex
	from      int // The first family that is still to be read in this tick.
	current   *family
	started   time.Duration
	abandoned bool
}

func (l *lane) loop(ctx context.Context) {
	for t := range l.work {
		if !l.tick(ctx, t) {
			return
		}
		l.done <- struct{}{}
	}
}

// tick reads the families from l.from on; it returns false when the lane was
// abandoned to a family that has now come back, and when the agent stops: what
// a read gives then is nobody's.
func (l *lane) tick(ctx context.Context, t instruments.Tick) bool {
	for i := l.from; i < len(l.sampler.families); i++ {
		f := l.sampler.families[i]
		if !f.isDue(t) {
			continue
		}
		if f.hung.Load() {
			l.sampler.failed(f, t, causeTimeout, errHung)
			continue
		}
		started := l.sampler.clock.awake()
		l.mu.Lock()
		l.from, l.current, l.started = i+1, f, started
		settings := f.settings // An abandoned lane must not see later ones.
		l.mu.Unlock()
		reading, retries, err := f.read(ctx, l.sampler.host, t, settings)
		l.mu.Lock()
		l.current = nil
		abandoned := l.abandoned
		l.mu.Unlock()
		if abandoned || ctx.Err() != nil {
			f.hung.Store(false)
			return false
		}
		l.sampler.finished(f, t, reading, retries, err, l.sampler.clock.awake()-started)
	}
	l.from = 0
	return true
}

var errHung = errors.New("the read before has not returned yet")

// isDue tells whether the family is read at this tick: at the first one in each
// of its intervals, so that a missed tick costs it a second and not an interval.
func (f *family) isDue(t instruments.Tick) bool {
	if !f.settings.Enabled {
		f.next = nil
		f.due = time.Time{}
		return false
	}
	every := f.every(t.Interval)
	if every != t.Interval && !f.due.IsZero() && floor(t.Time, every).Equal(floor(f.due, every)) {
		return false
	}
	f.due = t.Time
	return true
}

// every is the family's interval, never shorter than the tick.
func (f *family) every(tick time.Duration) time.Duration {
	return max(tick, f.settings.Interval)
}

// read reads once, and again where that failed and the settings allow it.
func (f *family) read(ctx context.Context, host *instruments.Host, t instruments.Tick, settings instruments.CollectorConfig) (r instruments.Reading, retries uint64, err error) {
	t.Interval = max(t.Interval, settings.Interval)
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	for {
		r, err = f.readOnce(ctx, host, t)
		if err == nil || errors.Is(err, instruments.ErrUnsupported) || retries >= uint64(settings.Retries) || ctx.Err() != nil {
			return r, retries, err
		}
		retries++
	}
}

// readOnce turns a panic of a family into its failure: one family's mistake
// must not stop the others.
func (f *family) readOnce(ctx context.Context, host *instruments.Host, t instruments.Tick) (r instruments.Reading, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	return f.Read(ctx, host, t)
}
