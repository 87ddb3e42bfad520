package notify

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// heartbeat calls an address again and again, as long as alerts are judged.
type heartbeat struct {
	config HeartbeatConfig
	poster *poster
	alive  func() error
	log    *slog.Logger

	mu     sync.Mutex
	failed error // why the last call was not made or not answered; under mu
}

func newHeartbeat(o Options) (*heartbeat, error) {
	p, err := newPoster("")
	alive := o.Alive
	if alive == nil {
		alive = func() error { return nil }
	}
	return &heartbeat{config: o.Config.Heartbeat, poster: p, alive: alive, log: o.Log}, err
}

// run calls until ctx is done, the first time at once.
func (h *heartbeat) run(ctx context.Context) {
	tick := time.NewTicker(h.config.Interval)
	defer tick.Stop()
	for {
		if err := h.beat(ctx); ctx.Err() == nil {
			h.note(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// beat calls once.
func (h *heartbeat) beat(ctx context.Context) error {
	if err := h.alive(); err != nil {
		return errors.Join(errors.New("is held back, because alerts are not judged"), err)
	}
	address, err := h.config.URL.Reveal()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, min(sendTimeout, h.config.Interval))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return errors.New("the address cannot be used")
	}
	return h.poster.ask(r)
}

// note remembers how the last call went and logs changes.
func (h *heartbeat) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil && h.failed == nil:
		h.log.Warn("the heartbeat fails", "err", clean(err.Error()))
	case err == nil && h.failed != nil:
		h.log.Info("the heartbeat goes on")
	}
	h.failed = err
}

// reason tells what is wrong, "" where all is well.
func (h *heartbeat) reason() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed == nil {
		return ""
	}
	return "heartbeat: " + clean(h.failed.Error())
}
