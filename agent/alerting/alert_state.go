package alerting

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"

	"sysotel/agent/records"
)

// alertState is the state of one alert, from the time it is pending until it has been
// resolved for a while. It is stored as JSON; the rules library's alert is restored
// from it after a restart.
type alertState struct {
	// Fingerprint is unique: the hash of the labels, or of the labels and the rule if
	// another rule has an alert with the same ones.
	Fingerprint string `json:"fingerprint"`
	Rule        string `json:"rule"`
	// Owner is the key of the rule, Group its group.
	Owner       string            `json:"owner,omitempty"`
	Group       string            `json:"group,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	// Element and Value are those of the query result that caused it.
	Element map[string]string `json:"element"`
	Value   *float64          `json:"value"`
	State   State             `json:"state"`
	// ActiveAt, FiredAt and KeepFiringSince are those of the rules library.
	ActiveAt        time.Time `json:"active_at"`
	FiredAt         time.Time `json:"fired_at,omitzero"`
	KeepFiringSince time.Time `json:"keep_firing_since,omitzero"`
	NoDataSince     time.Time `json:"no_data_since,omitzero"`
	EndedAt         time.Time `json:"ended_at,omitzero"`
	Why             string    `json:"why,omitempty"`
	// FiredValue is the value when it started firing, EndValue the one that ended it, nil
	// if unknown, and EndTexts its annotations at that value.
	FiredValue *float64          `json:"fired_value,omitempty"`
	EndValue   *float64          `json:"end_value,omitempty"`
	EndTexts   map[string]string `json:"end_texts,omitempty"`
	// The following are copied from the rule, for the notification of the end when
	// the rule no longer exists.
	Channels []string      `json:"channels,omitempty"`
	Remind   time.Duration `json:"remind,omitempty"`
	Limit    string        `json:"limit,omitempty"`
	Unit     string        `json:"unit,omitempty"`
	// Episode is its row in the history, 0 before it fires.
	Episode int64 `json:"episode,omitempty"`
	Count   int   `json:"count,omitempty"` // notifications of this episode
	// Notified is whether a notification that it fires was sent, NotifiedAt when the
	// last one was, NoDataNotified whether one about missing data was. Reminders
	// counts the reminders.
	Notified       bool      `json:"told,omitempty"`
	NotifiedAt     time.Time `json:"told_at,omitzero"`
	NoDataNotified bool      `json:"no_data_told,omitempty"`
	Reminders      int       `json:"reminders,omitempty"`
	// Changes are the recent times at which it started or stopped firing. Flapping is
	// set when they are too many, Flaps counts them since then.
	Changes  []time.Time `json:"changes,omitempty"`
	Flapping bool        `json:"flapping,omitempty"`
	Flaps    int         `json:"flaps,omitempty"`
	Sequence int         `json:"sequence,omitempty"`

	dirty bool // whether it must be saved
	isNew bool // whether its row in the history must be added
}

// fires reports whether it fires, with or without data.
func (t *alertState) fires() bool { return t.State == Firing || t.State == NoData }

func (t *alertState) severity() string { return t.Labels[severityLabel] }

// reconcile updates the stored states of a rule from its active alerts.
func (a *Alerting) reconcile(r *rule, at time.Time, recoveries map[string]recovery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	current := map[string]bool{}
	elements := r.elements()
	for _, alert := range r.alerting.ActiveAlerts() {
		if alert.State != rules.StatePending && alert.State != rules.StateFiring {
			continue
		}
		t := a.stateOf(r, alert.Labels)
		current[t.Fingerprint] = true
		a.update(t, r, alert, elements, at)
	}
	for fingerprint, t := range a.states {
		if t.Owner == r.key && !current[fingerprint] {
			if one, ok := recoveries[fingerprint]; ok {
				t.EndValue, t.EndTexts = &one.value, one.texts
			}
			a.end(t, at, "")
		}
	}
}

// stateOf returns the state of an alert of a rule, a new one if there is none.
func (a *Alerting) stateOf(r *rule, alert labels.Labels) *alertState {
	plain, own := fmt.Sprintf("%016x", alert.Hash()), fmt.Sprintf("%016x", labels.NewBuilder(alert).Set("", r.key).Labels().Hash())
	for _, fingerprint := range []string{plain, own} {
		if t := a.states[fingerprint]; t != nil && t.Owner == r.key {
			return t
		}
	}
	fingerprint := plain
	if a.states[plain] != nil {
		fingerprint = own
	}
	t := &alertState{Fingerprint: fingerprint, Rule: r.Name(), Owner: r.key, Group: r.group, Labels: alert.Map(), State: Inactive}
	a.states[fingerprint] = t
	return t
}

// update updates t from a pending or firing alert of the rules library.
func (a *Alerting) update(t *alertState, r *rule, alert *rules.Alert, elements map[uint64]uint64, at time.Time) {
	t.Annotations, t.Channels, t.Remind, t.Limit, t.Unit = alert.Annotations.Map(), r.channels, r.remind, r.limits.text, r.limits.unit
	if !t.ActiveAt.Equal(alert.ActiveAt) || !t.FiredAt.Equal(alert.FiredAt) || !t.KeepFiringSince.Equal(alert.KeepFiringSince) {
		t.dirty = true
	}
	t.ActiveAt, t.FiredAt, t.KeepFiringSince, t.EndedAt, t.Why = alert.ActiveAt, alert.FiredAt, alert.KeepFiringSince, time.Time{}, ""
	t.Value, t.EndValue, t.EndTexts = nil, nil, nil
	if finite(alert.Value) {
		t.Value = &alert.Value
	}
	held := false
	if h, ok := elements[alert.Labels.Hash()]; ok {
		t.Element = r.last[h].labels.Map()
		_, held = r.holds[h]
	}
	switch {
	case alert.State == rules.StatePending:
		if t.fires() { // The rule has a longer "for" now.
			a.end(t, at, "the rule was changed")
			t.EndedAt = time.Time{}
		}
		if t.State != Pending {
			t.State, t.Episode, t.dirty = Pending, 0, true
		}
		t.NoDataSince = time.Time{}
	case held:
		if t.State != NoData {
			if !t.fires() {
				a.begin(t, at)
			}
			t.State, t.NoDataSince, t.dirty = NoData, at, true
			a.event(t, at, "no data")
		}
	default:
		if t.State == NoData {
			t.dirty = true
			a.event(t, at, "data is back, still firing")
		}
		if !t.fires() {
			a.begin(t, at)
		}
		t.State, t.NoDataSince, t.NoDataNotified = Firing, time.Time{}, false
	}
}

// begin starts an episode.
func (a *Alerting) begin(t *alertState, at time.Time) {
	t.dirty = true
	t.FiredValue = t.Value
	t.State, t.Episode, t.Count, t.Reminders, t.NoDataNotified, t.isNew = Firing, 0, 0, 0, false, true
	t.change(at)
	a.event(t, at, "firing")
	a.log.Warn("alert firing", "rule", t.Rule, "labels", t.Labels)
}

// end resolves an alert. why is empty if its condition no longer holds.
func (a *Alerting) end(t *alertState, at time.Time, why string) {
	switch {
	case t.State == Pending && (t.Notified || len(t.Changes) > 0): // It fired before; its changes still count as flapping.
		t.State, t.EndedAt, t.dirty = Resolved, at, true
	case t.State == Pending:
		delete(a.states, t.Fingerprint)
		a.removed = append(a.removed, t)
	case t.fires():
		t.dirty = true
		t.State, t.EndedAt, t.Why, t.NoDataSince = Resolved, at, why, time.Time{}
		t.change(at)
		a.event(t, at, "resolved")
		a.log.Info("alert resolved", "rule", t.Rule, "labels", t.Labels, "why", why)
	}
}

// event records a change of an alert as an event, unless it flaps.
func (a *Alerting) event(t *alertState, at time.Time, cause string) {
	if a.options.Events == nil || t.Flapping {
		return
	}
	e := records.Event{Time: at, Kind: records.Alert, Cause: cause, Subject: t.Rule, Detail: map[string]string{"fingerprint": t.Fingerprint}}
	for name, value := range t.Labels {
		if name != model.AlertNameLabel {
			e.Detail["label_"+name] = value
		}
	}
	if _, texts := t.told(); texts[annotationSummary] != "" {
		e.Detail["summary"] = texts[annotationSummary]
	}
	if err := a.options.Events(e); err != nil {
		a.log.Warn("cannot record alert event", "err", err)
	}
}

// episode is the row in the history.
func (t *alertState) episode() Episode {
	return Episode{
		ID: t.Episode, Fingerprint: t.Fingerprint, Rule: t.Rule, State: t.State, Severity: t.severity(), Host: t.Labels["host_name"], Labels: t.Labels,
		Summary: summary(t.Rule, t.Annotations), Since: t.ActiveAt, FiredAt: t.FiredAt, EndedAt: t.EndedAt, Value: t.FiredValue, EndValue: t.EndValue, Threshold: t.Limit, Unit: t.Unit, Notifications: t.Count, Why: t.Why,
	}
}

// told are the value and the annotations as of now: once it has ended, those that ended
// it. The value is nil if it is not known.
func (t *alertState) told() (value *float64, texts map[string]string) {
	switch {
	case t.State != Resolved:
		return t.Value, t.Annotations
	case t.EndTexts == nil:
		return t.EndValue, t.Annotations
	}
	return t.EndValue, t.EndTexts
}

// summary is the summary annotation, or else the name of the rule.
func summary(rule string, texts map[string]string) string {
	if s := texts[annotationSummary]; s != "" {
		return s
	}
	return rule
}

// noteSaved records whether the state could be saved, and logs changes.
func (a *Alerting) noteSaved(err error) {
	if err != nil && a.status.saveErr == nil {
		a.log.Error("cannot save the alert state; will retry", "err", err)
	} else if err == nil && a.status.saveErr != nil {
		a.log.Info("the alert state is saved again")
	}
	a.status.saveErr = err
}

// resolveStale resolves the alerts of a run that ended longer than maxOutage ago.
func (a *Alerting) resolveStale(at time.Time) {
	for fingerprint, t := range a.states {
		switch {
		case t.State == Pending:
			delete(a.states, fingerprint)
			a.removed = append(a.removed, t)
		case t.fires():
			t.State, t.EndedAt, t.dirty = Resolved, at, true
			t.Why = "the agent was down for more than " + model.Duration(maxOutage).String()
		}
	}
}

// adopt gives the alerts of rules that no longer exist to those that took their place:
// new rules of the same name whose labels fit, best in the same group.
func (a *Alerting) adopt(active, fresh []*rule) {
	known := map[string]bool{}
	for _, r := range active {
		known[r.key] = true
	}
	for _, t := range a.states {
		if known[t.Owner] {
			continue
		}
		var heir *rule
		for _, r := range fresh {
			if r.fits(t) && (heir == nil || heir.group != t.Group && r.group == t.Group) {
				heir = r
			}
		}
		if heir != nil {
			t.Owner, t.Group, t.dirty = heir.key, heir.group, true
		}
	}
}

// rebuild restores a rule's alerts from the stored states: it passes their labels to
// the rules library as a query result, then sets the times.
func (a *Alerting) rebuild(ctx context.Context, r *rule) {
	if r.alerting == nil {
		return
	}
	byHash := map[uint64]*alertState{}
	var elements []element
	var result promql.Vector
	for _, t := range a.states {
		if t.Owner != r.key || t.State == Resolved {
			continue
		}
		alert := labels.FromMap(t.Labels)
		if byHash[alert.Hash()] != nil {
			continue
		}
		byHash[alert.Hash()] = t
		e := element{labels: labels.FromMap(t.Element), alert: alert, texts: labels.FromMap(t.Annotations)}
		if t.Value != nil {
			e.value = *t.Value
		}
		elements = append(elements, e)
		result = append(result, promql.Sample{Metric: alert, T: a.lastAt.UnixMilli(), F: e.value})
	}
	if len(elements) == 0 {
		return
	}
	replay := func(context.Context, string, time.Time) (promql.Vector, error) { return result, nil }
	if _, err := r.alerting.Eval(ctx, 0, a.lastAt, replay, &url.URL{}, 0); err != nil {
		a.log.Warn("cannot restore the alerts of a rule; they start over", "rule", r.Name(), "err", err)
		return
	}
	r.alerting.ForEachActiveAlert(func(alert *rules.Alert) {
		t := byHash[alert.Labels.Hash()]
		if t == nil {
			return
		}
		alert.ActiveAt, alert.State, alert.Annotations = t.ActiveAt, rules.StatePending, labels.FromMap(t.Annotations)
		if t.fires() {
			alert.State, alert.FiredAt, alert.KeepFiringSince = rules.StateFiring, t.FiredAt, t.KeepFiringSince
		}
	})
	for _, e := range elements {
		r.last[e.labels.Hash()] = e
	}
	for _, t := range byHash {
		if t.State == NoData {
			r.holds[labels.FromMap(t.Element).Hash()] = &hold{since: t.NoDataSince}
		}
	}
	r.evaluated = a.lastAt
	r.record(r.alertSeries(), time.Time{})
}
