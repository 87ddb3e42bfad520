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
	// noDataPatience is how long nothing is measured before people hear of it: a
	// family that missed some readings is no news.
	noDataPatience = time.Minute
	// longestReminder bounds the growing time between two reminders.
	longestReminder = 24 * time.Hour
)

// settle decides what is told, writes the state with it, and hands it over. What
// is written is told once: a notice keeps its ID until it was handed over.
func (a *Alerting) settle(ctx context.Context, at time.Time) {
	a.mu.Lock()
	var notices []notify.Notice
	var changed []*tracked
	for _, fingerprint := range slices.Sorted(maps.Keys(a.tracked)) {
		t := a.tracked[fingerprint]
		if n := a.tell(t, at); n != nil {
			notices = append(notices, *n)
		}
		t.forget(at)
		switch {
		case t.State == Resolved && at.Sub(t.EndedAt) > resolvedFor && !t.Flapping && len(t.Changes) == 0:
			delete(a.tracked, fingerprint)
			a.gone = append(a.gone, t)
		case t.dirty:
			changed = append(changed, t)
		}
	}
	err := a.file.save(ctx, at, changed, a.gone, notices)
	if err == nil {
		for _, t := range changed {
			t.dirty, t.begun = false, false
		}
		a.gone = nil
	}
	a.wrote(err)
	// They are told even where they cannot be written.
	a.waiting = append(a.waiting, notices...)
	a.mu.Unlock()
	a.handOver(ctx)
	if a.ticks%purgeEvery == 1 {
		a.purge(ctx, at)
	}
}

// handOver hands the notices that wait to who tells people.
func (a *Alerting) handOver(ctx context.Context) {
	a.mu.RLock()
	waiting := slices.Clone(a.waiting)
	a.mu.RUnlock()
	var failed error
	done := 0
	for _, n := range waiting {
		if a.options.Notifier == nil {
			break
		}
		if failed = a.options.Notifier.Deliver(ctx, n); failed != nil {
			break // The order is kept: an end is not told before its beginning.
		}
		done++
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if done > 0 {
		a.wrote(a.file.handedOver(ctx, waiting[:done]))
		a.waiting = a.waiting[done:]
	}
	if failed != nil && a.status.untold == nil {
		a.log.Error("a notice cannot be handed to the channels; it is tried again", "err", failed)
	}
	a.status.untold = failed
}

// tell is what is to be told of an alert now, nil for nothing.
func (a *Alerting) tell(t *tracked, at time.Time) *notify.Notice {
	silenced := len(a.silencedBy(t.Labels, at)) > 0
	if t.Flapping {
		if !t.calmed(at) {
			return nil
		}
		t.Flapping, t.dirty = false, true
		flaps := t.Flaps
		t.Flaps = 0
		switch {
		case t.State == Resolved:
			return a.notice(t, notify.Resolved, flaps, at)
		case t.fires() && !silenced:
			return a.notice(t, notify.Firing, flaps, at)
		}
		return nil
	}
	switch {
	case t.State == Resolved && t.Told:
		return a.notice(t, notify.Resolved, 0, at)
	case t.State == Firing && !t.Told && !silenced:
		if t.flaps() {
			t.Flapping, t.Flaps = true, 0
			return a.notice(t, notify.Flapping, len(t.Changes), at)
		}
		return a.notice(t, notify.Firing, 0, at)
	case t.State == NoData && t.Told && !t.NoDataTold && !silenced && at.Sub(t.NoDataSince) >= noDataPatience:
		return a.notice(t, notify.NoData, 0, at)
	case t.fires() && t.Told && t.Remind > 0 && !silenced && at.Sub(t.ToldAt) >= t.untilReminder():
		t.Reminders++
		return a.notice(t, notify.Reminder, 0, at)
	}
	return nil
}

// untilReminder is how long after the last message the next reminder comes: each
// after twice as long as the one before.
func (t *tracked) untilReminder() time.Duration {
	longest := max(longestReminder, t.Remind)
	if t.Reminders > 16 {
		return longest
	}
	return min(t.Remind<<t.Reminders, longest)
}

// notice makes the next notice of an alert.
func (a *Alerting) notice(t *tracked, state notify.State, changes int, at time.Time) *notify.Notice {
	t.dirty = true
	t.Sequence++
	t.Count++
	switch state {
	case notify.Resolved:
		t.Told = false
	case notify.NoData:
		t.NoDataTold = true
	default:
		t.Told, t.ToldAt = true, at
	}
	n := &notify.Notice{
		ID:          fmt.Sprintf("%s-%d-%s-%d", t.Fingerprint, t.FiredAt.Unix(), state, t.Sequence),
		Fingerprint: t.Fingerprint, Rule: t.Rule, Host: t.Labels["host_name"], State: state, Severity: t.severity(), Channels: t.Channels,
		Value: t.Value, Threshold: t.Limit, Unit: t.Unit, Summary: t.summary(), Description: t.Annotations[annotationDescription],
		Since: t.ActiveAt, At: at, Ended: t.EndedAt, Changes: changes, Labels: t.Labels, Annotations: t.Annotations,
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

// aboutMemory tells whether the greediest in memory are to blame, and not those in CPU.
func aboutMemory(t *tracked) bool {
	about := strings.ToLower(t.Rule + " " + t.Element[model.MetricNameLabel])
	return strings.Contains(about, "memory") || strings.Contains(about, "swap") || strings.Contains(about, "oom")
}

// linkMargin is what a link shows before the beginning and after the end.
const linkMargin = 10 * time.Minute

// link leads to the dashboard at the time of an alert.
func (a *Alerting) link(t *tracked, at time.Time) string {
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
