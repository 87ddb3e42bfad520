package sampler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sysotel/instruments"
)

// worker is the goroutine that runs the collectors one after the other.
type worker struct {
	sampler *Sampler
	work    chan instruments.Tick
	done    chan struct{}

	mu        sync.Mutex
	from      int // The first collector that is still to be read in this tick.
	current   *collector
	started   time.Duration
	abandoned bool
}

func (w *worker) loop(ctx context.Context) {
	for t := range w.work {
		if !w.tick(ctx, t) {
			return
		}
		w.done <- struct{}{}
	}
}

// tick reads the collectors from w.from on. It returns false if the worker was
// abandoned during a read that has now returned, or the agent stops; that read's
// result is discarded.
func (w *worker) tick(ctx context.Context, t instruments.Tick) bool {
	for i := w.from; i < len(w.sampler.collectors); i++ {
		c := w.sampler.collectors[i]
		if !c.isDue(t) {
			continue
		}
		if c.hung.Load() {
			w.sampler.failed(c, t, causeTimeout, errHung)
			continue
		}
		started := w.sampler.clock.awake()
		w.mu.Lock()
		w.from, w.current, w.started = i+1, c, started
		settings := c.settings // An abandoned worker must not see later ones.
		w.mu.Unlock()
		reading, retries, err := c.read(ctx, w.sampler.host, t, settings)
		w.mu.Lock()
		w.current = nil
		abandoned := w.abandoned
		w.mu.Unlock()
		if abandoned || ctx.Err() != nil {
			c.hung.Store(false)
			return false
		}
		w.sampler.finished(c, t, reading, retries, err, w.sampler.clock.awake()-started)
	}
	w.from = 0
	return true
}

var errHung = errors.New("the previous read has not returned yet")

// isDue reports whether the collector is read at this tick: at the first one in each
// of its intervals, so that a missed tick costs it a second and not an interval.
func (c *collector) isDue(t instruments.Tick) bool {
	if !c.settings.Enabled {
		c.next = nil
		c.due = time.Time{}
		return false
	}
	every := c.every(t.Interval)
	if every != t.Interval && !c.due.IsZero() && floor(t.Time, every).Equal(floor(c.due, every)) {
		return false
	}
	c.due = t.Time
	return true
}

// every is the collector's interval, never shorter than the tick.
func (c *collector) every(tick time.Duration) time.Duration {
	return max(tick, c.settings.Interval)
}

// read reads once, and again after a failure if the settings allow it.
func (c *collector) read(ctx context.Context, host *instruments.Host, t instruments.Tick, settings instruments.CollectorConfig) (r instruments.Reading, retries uint64, err error) {
	t.Interval = max(t.Interval, settings.Interval)
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	for {
		r, err = c.readOnce(ctx, host, t)
		if err == nil || errors.Is(err, instruments.ErrUnsupported) || retries >= uint64(settings.Retries) || ctx.Err() != nil {
			return r, retries, err
		}
		retries++
	}
}

// readOnce turns a panic of a collector into an error, so that it does not stop the
// others.
func (c *collector) readOnce(ctx context.Context, host *instruments.Host, t instruments.Tick) (r instruments.Reading, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	r, err = c.Read(ctx, host, t)
	return r, host.Explain(err)
}
