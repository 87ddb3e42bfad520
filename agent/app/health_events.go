package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sysotel/agent/health"
	"sysotel/agent/records"
)

// The health of each component is looked at every healthEvery, and a change of it that two
// looks see is an event: at most healthEvents an hour for each component, so that one that
// comes and goes does not fill the history.
const (
	healthEvery  = 5 * time.Second
	healthEvents = 6
)

// healthEventer makes events of the changes of health.
type healthEventer struct {
	add func(records.Event) error
	// components are those that were not always well, by name.
	components map[string]*toldHealth
}

// toldHealth is what is known of one component.
type toldHealth struct {
	// seen is its status at the newest look, told that of the newest event.
	seen, told health.Status
	// since is when the newest event was, begun are when trouble was told within the last
	// hour.
	since time.Time
	begun []time.Time
}

// watchHealth records changes of health as events, until ctx ends.
func (a *App) watchHealth(ctx context.Context) error {
	w := &healthEventer{add: a.history.records.AddEvent, components: map[string]*toldHealth{}}
	every := time.NewTicker(healthEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			w.look(a.health(), a.clock.Now())
		}
	}
}

// look compares the components with what is known of them.
func (w *healthEventer) look(parts []health.Component, now time.Time) {
	for _, p := range parts {
		c := w.components[p.Name]
		if c == nil {
			if p.Status == health.OK {
				continue
			}
			c = &toldHealth{seen: health.OK, told: health.OK}
			w.components[p.Name] = c
		}
		lasts := p.Status == c.seen
		c.seen = p.Status
		if !lasts || p.Status == c.told {
			continue
		}
		c.begun = slices.DeleteFunc(c.begun, func(at time.Time) bool { return now.Sub(at) >= time.Hour })
		e := records.Event{Time: now, Kind: records.Health, Subject: p.Name, Detail: map[string]string{"status": string(p.Status)}}
		if p.Status == health.OK {
			e.Cause, e.From, e.To = "ok again", c.since, now
		} else {
			if len(c.begun) >= healthEvents {
				continue
			}
			c.begun = append(c.begun, now)
			e.Cause = fmt.Sprintf("%s: %s", p.Status, p.Reason)
		}
		c.told, c.since = p.Status, now
		_ = w.add(e) // It has a time and a known kind.
	}
}
