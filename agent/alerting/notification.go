package alerting

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"sysotel/agent/notify"
)

const (
	// noDataDelay is the minimum time without data before a notification: a few
	// missed readings need none.
	noDataDelay = time.Minute
	// maxReminder bounds the growing interval between reminders.
	maxReminder = 24 * time.Hour
)

// save creates the notifications that are due, saves them together with the state,
// and delivers them. A saved notice keeps its ID until it is delivered, so that it
// is sent once.
func (a *Alerting) save(ctx context.Context, at time.Time) {
	a.mu.Lock()
	var notices []notify.Notice
	var changed []*alertState
	for _, fingerprint := range slices.Sorted(maps.Keys(a.states)) {
		t := a.states[fingerprint]
		if n := a.notification(t, at); n != nil {
			notices = append(notices, *n)
		}
		t.forget(at)
		switch {
		case t.State == Resolved && at.Sub(t.EndedAt) > resolvedFor && !t.Flapping && len(t.Changes) == 0:
			delete(a.states, fingerprint)
			a.removed = append(a.removed, t)
		case t.dirty:
			changed = append(changed, t)
		}
	}
	err := a.file.save(ctx, at, changed, a.removed, notices)
	if err == nil {
		for _, t := range changed {
			t.dirty, t.isNew = false, false
		}
		a.removed = nil
	}
	a.noteSaved(err)
	// Delivered even if they cannot be saved.
	a.undelivered = append(a.undelivered, notices...)
	a.mu.Unlock()
	a.deliver(ctx)
	if a.ticks%purgeEvery == 1 {
		a.purge(ctx, a.options.Clock.Retention())
	}
}

// deliver passes undelivered notices to the Notifier.
func (a *Alerting) deliver(ctx context.Context) {
	a.mu.RLock()
	undelivered := slices.Clone(a.undelivered)
	a.mu.RUnlock()
	var failed error
	done := 0
	for _, n := range undelivered {
		if a.options.Notifier == nil {
			break
		}
		if failed = a.options.Notifier.Deliver(ctx, n); failed != nil {
			break // Keeps the order: no recovery before its alert.
		}
		done++
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if done > 0 {
		a.noteSaved(a.file.delivered(ctx, undelivered[:done]))
		a.undelivered = a.undelivered[done:]
	}
	if failed != nil && a.status.deliverErr == nil {
		a.log.Error("cannot queue a notification; will retry", "err", failed)
	}
	a.status.deliverErr = failed
}

// notification returns the notice due for t, or nil.
func (a *Alerting) notification(t *alertState, at time.Time) *notify.Notice {
	silenced := len(a.silencedBy(t.Labels, at)) > 0
	if t.Flapping {
		if !t.isStable(at) {
			return nil
		}
		t.Flapping, t.dirty = false, true
		flaps := t.Flaps
		t.Flaps = 0
		switch {
		case t.State == Resolved:
			return a.newNotice(t, notify.Resolved, flaps, at)
		case t.fires() && !silenced:
			return a.newNotice(t, notify.Firing, flaps, at)
		}
		return nil
	}
	switch {
	case t.State == Resolved && t.Notified:
		return a.newNotice(t, notify.Resolved, 0, at)
	case t.State == Firing && !t.Notified && !silenced:
		if t.flaps() {
			t.Flapping, t.Flaps = true, 0
			return a.newNotice(t, notify.Flapping, len(t.Changes), at)
		}
		return a.newNotice(t, notify.Firing, 0, at)
	case t.State == NoData && t.Notified && !t.NoDataNotified && !silenced && at.Sub(t.NoDataSince) >= noDataDelay:
		return a.newNotice(t, notify.NoData, 0, at)
	case t.fires() && t.Notified && t.Remind > 0 && !silenced && at.Sub(t.NotifiedAt) >= t.reminderInterval():
		t.Reminders++
		return a.newNotice(t, notify.Reminder, 0, at)
	}
	return nil
}

// reminderInterval is the time from the last notification to the next reminder. It
// doubles with each reminder.
func (t *alertState) reminderInterval() time.Duration {
	limit := max(maxReminder, t.Remind)
	if t.Reminders > 16 {
		return limit
	}
	return min(t.Remind<<t.Reminders, limit)
}

// newNotice creates the next notice of t and marks t as notified.
func (a *Alerting) newNotice(t *alertState, state notify.State, changes int, at time.Time) *notify.Notice {
	t.dirty = true
	t.Sequence++
	t.Count++
	switch state {
	case notify.Resolved:
		t.Notified = false
	case notify.NoData:
		t.NoDataNotified = true
	default:
		t.Notified, t.NotifiedAt = true, at
	}
	value, texts := t.told()
	n := &notify.Notice{
		ID:          fmt.Sprintf("%s-%d-%s-%d", t.Fingerprint, t.FiredAt.Unix(), state, t.Sequence),
		Fingerprint: t.Fingerprint, Rule: t.Rule, Host: t.Labels["host_name"], State: state, Severity: t.severity(), Channels: t.Channels,
		Value: value, Threshold: t.Limit, Unit: t.Unit, Summary: summary(t.Rule, texts), Description: texts[annotationDescription],
		Since: t.ActiveAt, At: at, Ended: t.EndedAt, Changes: changes, Labels: t.Labels, Annotations: texts,
		Link: a.link(t, at),
	}
	if n.Host == "" {
		n.Host = a.options.Host
	}
	if t.fires() && state != notify.NoData && n.Host == a.options.Host && a.options.Processes != nil {
		n.Processes = a.options.Processes(aboutMemory(t))
	}
	return n
}

// aboutMemory reports whether the top processes are those by memory, not by CPU.
func aboutMemory(t *alertState) bool {
	about := strings.ToLower(t.Rule + " " + t.Element[model.MetricNameLabel])
	return strings.Contains(about, "memory") || strings.Contains(about, "swap") || strings.Contains(about, "oom")
}

// linkMargin is the time that a link shows around an alert.
const linkMargin = 10 * time.Minute

// link returns the URL of the dashboard at the time of an alert.
func (a *Alerting) link(t *alertState, at time.Time) string {
	base := ""
	if a.options.Link != nil {
		base = a.options.Link()
	}
	until := at
	if !t.EndedAt.IsZero() {
		until = t.EndedAt
	}
	host := t.Labels["host_name"]
	if host == "" {
		host = a.options.Host
	}
	q := url.Values{
		"from": {t.ActiveAt.Add(-linkMargin).UTC().Format(time.RFC3339)},
		"to":   {until.Add(linkMargin / 2).UTC().Format(time.RFC3339)},
		"host": {host},
	}
	return strings.TrimSuffix(base, "/") + "/?" + q.Encode()
}
