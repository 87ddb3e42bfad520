package alerting

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/prometheus/prometheus/rules"

	"sysotel/agent/clock"
)

// followClock takes over the steps of the clock since the last evaluation. A step
// neither fires nor resolves anything: what is measured from a time, such as how long
// an alert has been pending, goes on from the same duration, and what is told as a time
// moves with the history that it is about.
func (a *Alerting) followClock(ctx context.Context) {
	for _, step := range a.options.Clock.Steps(a.step) {
		a.step = step.Number
		if !a.lastAt.IsZero() {
			a.lastAt = a.lastAt.Add(step.By())
		}
		if !a.keptAt.IsZero() {
			a.keptAt = a.keptAt.Add(step.By())
		}
		for _, r := range a.rules {
			r.follow(step)
		}
		a.mu.Lock()
		for _, t := range a.states {
			t.follow(step)
		}
		for i := range a.silences {
			s := &a.silences[i]
			if moved := step.Age(s.Created); !moved.Equal(s.Created) {
				s.Start, s.End, s.Created = s.Start.Add(step.By()), s.End.Add(step.By()), moved
				a.noteSaved(a.file.setSilence(ctx, *s))
			}
		}
		if !a.status.at.IsZero() {
			a.status.at = a.status.at.Add(step.By())
		}
		a.mu.Unlock()
		if err := a.file.follow(context.WithoutCancel(ctx), step); err != nil {
			a.log.Warn("cannot move the history of alerts after the clock was set", "err", err)
		}
	}
}

// follow moves the times of a rule and of the alerts of the rules library.
func (r *rule) follow(step clock.Step) {
	by := step.By()
	if !r.evaluated.IsZero() {
		r.evaluated = r.evaluated.Add(by)
	}
	if !r.madeAt.IsZero() {
		r.madeAt = r.madeAt.Add(by)
	}
	for _, held := range r.holds {
		held.since = held.since.Add(by)
	}
	if r.alerting == nil {
		return
	}
	r.alerting.ForEachActiveAlert(func(alert *rules.Alert) {
		if alert.State == rules.StatePending {
			alert.ActiveAt = alert.ActiveAt.Add(by)
		} else {
			alert.ActiveAt, alert.FiredAt = step.Place(alert.ActiveAt), step.Place(alert.FiredAt)
		}
		if !alert.KeepFiringSince.IsZero() {
			alert.KeepFiringSince = alert.KeepFiringSince.Add(by)
		}
	})
}

// follow moves the times of an alert.
func (t *alertState) follow(step clock.Step) {
	by := step.By()
	for _, since := range []*time.Time{&t.KeepFiringSince, &t.NoDataSince, &t.NotifiedAt, &t.EndedAt} {
		if !since.IsZero() {
			*since = since.Add(by)
		}
	}
	if t.State == Pending {
		t.ActiveAt = t.ActiveAt.Add(by)
	} else {
		t.ActiveAt = step.Place(t.ActiveAt)
	}
	if !t.FiredAt.IsZero() {
		t.FiredAt = step.Place(t.FiredAt)
	}
	for i := range t.Changes {
		t.Changes[i] = t.Changes[i].Add(by)
	}
	t.dirty = true
}

// follow moves the episodes of the history.
func (d *database) follow(ctx context.Context, step clock.Step) error {
	if len(step.Moves) == 0 {
		return nil
	}
	var moved []Episode
	err := d.each(ctx, func() { moved = nil }, func(body []byte) error {
		var e Episode
		if err := json.Unmarshal(body, &e); err != nil {
			return err
		}
		moved = append(moved, e)
		return nil
	}, "SELECT body FROM episode WHERE fired >= ? OR ended >= ?", step.Moves[0].From.UnixMilli(), step.Moves[0].From.UnixMilli())
	if err != nil || len(moved) == 0 {
		return err
	}
	return d.Change(ctx, func(tx *sql.Tx) error {
		for _, e := range moved {
			e.Since, e.FiredAt = step.Place(e.Since), step.Place(e.FiredAt)
			if !e.EndedAt.IsZero() {
				e.EndedAt = step.Place(e.EndedAt)
			}
			if err := writeEpisode(ctx, tx, e); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE episode SET fired = ? WHERE id = ?", e.FiredAt.UnixMilli(), e.ID); err != nil {
				return err
			}
		}
		return nil
	})
}
