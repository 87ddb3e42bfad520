package notify

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"sysotel/agent/secret"
)

// HeartbeatConfig is a dead man's switch.
type HeartbeatConfig struct {
	URL      secret.Text   `yaml:"url" help:"URL to call (GET), ${file:PATH} or ${env:NAME}; empty for none."`
	Interval time.Duration `yaml:"interval" help:"Time between two calls, 10s to 24h."`
}

func (c HeartbeatConfig) validate(report reportFunc) {
	if c.Interval < 10*time.Second || c.Interval > 24*time.Hour {
		report("interval", c.Interval, "must be from 10s to 24h")
	}
	if c.URL != "" {
		checkURL(c.URL, "url", report)
	}
}

// heartbeat calls a URL regularly, as long as alert rules are evaluated.
type heartbeat struct {
	config HeartbeatConfig
	poster *poster
	alive  func() error
	log    *slog.Logger

	mu     sync.Mutex
	failed error // why the last call failed or was withheld
}

func newHeartbeat(o Options) (*heartbeat, error) {
	p, err := newPoster("", "")
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
		return fmt.Errorf("withheld: alert rules are not evaluated: %w", err)
	}
	address, err := h.config.URL.Reveal()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, min(sendTimeout, h.config.Interval))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil) //nolint:gosec // The URL is configured.
	if err != nil {
		return errInvalidURL
	}
	return h.poster.do(r)
}

// note records the outcome of the last call and logs changes.
func (h *heartbeat) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil && h.failed == nil:
		h.log.Warn("heartbeat failed", "err", clean(err.Error()))
	case err == nil && h.failed != nil:
		h.log.Info("heartbeat recovered")
	}
	h.failed = err
}

// reason is why the last call failed, "" if it did not.
func (h *heartbeat) reason() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed == nil {
		return ""
	}
	return "heartbeat: " + clean(h.failed.Error())
}
