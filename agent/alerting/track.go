package alerting

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"

	"sysotel/agent/records"
)

// tracked is what is known of one alert from its beginning until it has been over
// for a while. It is kept as JSON, and an alert is made again from it after a
// restart.
type tracked struct {
	Fingerprint string            `json:"fingerprint"`
	Rule        string            `json:"rule"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	// Element and Value are the element of the result that it was made of.
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
	// What follows is copied from the rule, so that the end can be told when the
	// rule is gone.
	Channels []string      `json:"channels,omitempty"`
	Remind   time.Duration `json:"remind,omitempty"`
	Limit    string        `json:"limit,omitempty"`
	Unit     string        `json:"unit,omitempty"`
	// Episode is its row of the history, 0 while it never fired.
	Episode int64 `json:"episode,omitempty"`
	Count   int   `json:"count,omitempty"` // notices of this episode
	// Told tells that people know that it fires, ToldAt when they last heard of it,
	// NoDataTold that nothing is measured. Reminders is how often they were reminded.
	Told       bool      `json:"told,omitempty"`
	ToldAt     time.Time `json:"told_at,omitzero"`
	NoDataTold bool      `json:"no_data_told,omitempty"`
	Reminders  int       `json:"reminders,omitempty"`
	// Changes are when it last began or ended to fire; Flapping that it does so too
	// often, Flaps how often since that was told.
	Changes  []time.Time `json:"changes,omitempty"`
	Flapping bool        `json:"flapping,omitempty"`
	Flaps    int         `json:"flaps,omitempty"`
	Sequence int         `json:"sequence,omitempty"`

	dirty bool // whether the file has an older one
	begun bool // whether its row of the history is still to be made
}

// fires tells whether it fires, measured or held.
func (t *tracked) fires() bool { return t.State == Firing || t.State == NoData }

// severity is how grave it is.
func (t *tracked) severity() string { return t.Labels[severityLabel] }

// track holds what a rule found against what was known.
func (a *Alerting) track(r *rule, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	current := map[string]bool{}
	for _, alert := range r.alerting.ActiveAlerts() {
		if alert.State != rules.StatePending && alert.State != rules.StateFiring {
			continue
		}
		fingerprint := fmt.Sprintf("%016x", alert.Labels.Hash())
		current[fingerprint] = true
		t := a.tracked[fingerprint]
		if t == nil || t.Rule != r.Name() {
			t = &tracked{Fingerprint: fingerprint, Rule: r.Name(), Labels: alert.Labels.Map(), State: Inactive}
			a.tracked[fingerprint] = t
		}
		a.update(t, r, alert, at)
	}
	for fingerprint, t := range a.tracked {
		if t.Rule == r.Name() && !current[fingerprint] && r.owns(t) {
			a.end(t, at, "")
		}
	}
}

// owns tells whether a tracked alert is one of this rule; several may have one
// name, with other labels.
func (r *rule) owns(t *tracked) bool {
	if r.templated {
		return true
	}
	same := true
	r.Labels().Range(func(l labels.Label) {
		if t.Labels[l.Name] != l.Value {
			same = false
		}
	})
	return same
}

// update takes over what a rule says of an alert that is pending or fires.
func (a *Alerting) update(t *tracked, r *rule, alert *rules.Alert, at time.Time) {
	t.Annotations, t.Channels, t.Remind, t.Limit, t.Unit = alert.Annotations.Map(), r.channels, r.remind, r.limits.text, r.limits.unit
	if !t.ActiveAt.Equal(alert.ActiveAt) || !t.FiredAt.Equal(alert.FiredAt) || !t.KeepFiringSince.Equal(alert.KeepFiringSince) {
		t.dirty = true
	}
	t.ActiveAt, t.FiredAt, t.KeepFiringSince, t.EndedAt, t.Why = alert.ActiveAt, alert.FiredAt, alert.KeepFiringSince, time.Time{}, ""
	t.Value = nil
	if finite(alert.Value) {
		t.Value = &alert.Value
	}
	held := false
	for h, e := range r.last {
		if r.isOf(alert.Labels, e.labels) {
			t.Element = e.labels.Map()
			_, held = r.holds[h]
			break
		}
	}
	switch {
	case alert.State == rules.StatePending:
		if t.fires() { // The rule asks for a longer time now.
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
			a.event(t, at, "nothing is measured")
		}
	default:
		if t.State == NoData {
			t.dirty = true
			a.event(t, at, "it is measured again and still fires")
		}
		if !t.fires() {
			a.begin(t, at)
		}
		t.State, t.NoDataSince, t.NoDataTold = Firing, time.Time{}, false
	}
}

// begin is an alert that begins to fire.
func (a *Alerting) begin(t *tracked, at time.Time) {
	t.dirty = true
	t.State, t.Episode, t.Count, t.Reminders, t.NoDataTold, t.begun = Firing, 0, 0, 0, false, true
	t.change(at)
	a.event(t, at, "firing")
	a.log.Warn("an alert fires", "rule", t.Rule, "labels", t.Labels)
}

// end is an alert whose condition does not hold any more.
func (a *Alerting) end(t *tracked, at time.Time, why string) {
	switch {
	case t.State == Pending && (t.Told || len(t.Changes) > 0): // It fired before, and its changes still count.
		t.State, t.EndedAt, t.dirty = Resolved, at, true
	case t.State == Pending:
		delete(a.tracked, t.Fingerprint)
		a.gone = append(a.gone, t)
	case t.fires():
		t.dirty = true
		t.State, t.EndedAt, t.Why, t.NoDataSince = Resolved, at, why, time.Time{}
		t.change(at)
		a.event(t, at, "resolved")
		a.log.Info("an alert is resolved", "rule", t.Rule, "labels", t.Labels, "why", why)
	}
}

// event tells what became of an alert to the chronicle. One that flaps would fill it.
func (a *Alerting) event(t *tracked, at time.Time, cause string) {
	if a.options.Events == nil || t.Flapping {
		return
	}
	e := records.Event{Time: at, Kind: records.Alert, Cause: cause, Subject: t.Rule, Detail: map[string]string{"fingerprint": t.Fingerprint}}
	for name, value := range t.Labels {
		if name != model.AlertNameLabel {
			e.Detail["label_"+name] = value
		}
	}
	if summary := t.Annotations[annotationSummary]; summary != "" {
		e.Detail["summary"] = summary
	}
	if err := a.options.Events(e); err != nil {
		a.log.Warn("an alert is not among the events", "err", err)
	}
}

// episode is its row of the history.
func (t *tracked) episode() Episode {
	return Episode{
		ID: t.Episode, Fingerprint: t.Fingerprint, Rule: t.Rule, State: t.State, Severity: t.severity(), Host: t.Labels["host_name"], Labels: t.Labels,
		Summary: t.summary(), Since: t.ActiveAt, FiredAt: t.FiredAt, EndedAt: t.EndedAt, Value: t.Value, Threshold: t.Limit, Unit: t.Unit, Told: t.Count, Why: t.Why,
	}
}

// summary is what is wrong in a sentence.
func (t *tracked) summary() string {
	if s := t.Annotations[annotationSummary]; s != "" {
		return s
	}
	return t.Rule
}

// wrote notes whether the state could be written.
func (a *Alerting) wrote(err error) {
	if err != nil && a.status.broken == nil {
		a.log.Error("the state of the alerts is not written", "err", err)
	} else if err == nil && a.status.broken != nil {
		a.log.Info("the state of the alerts is written again")
	}
	a.status.broken = err
}

// giveUpAll ends the alerts of an earlier run that is too long ago.
func (a *Alerting) giveUpAll(at time.Time) {
	for _, t := range a.tracked {
		if t.fires() {
			t.State, t.EndedAt, t.dirty = Resolved, at, true
			t.Why = "the agent did not run for more than " + model.Duration(outageTolerance).String()
		}
	}
}

// rebuild makes a rule's alerts again of what is tracked: the library is given the
// elements as if it had just evaluated them, and then the times.
func (a *Alerting) rebuild(ctx context.Context, r *rule) {
	if r.alerting == nil {
		return
	}
	byHash := map[uint64]*tracked{}
	var elements []element
	for _, t := range a.tracked {
		if t.Rule != r.Name() || t.State == Resolved || !r.owns(t) {
			continue
		}
		byHash[labels.FromMap(t.Labels).Hash()] = t
		e := element{labels: labels.FromMap(t.Element)}
		if t.Value != nil {
			e.value = *t.Value
		}
		elements = append(elements, e)
	}
	if len(elements) == 0 {
		return
	}
	if _, err := r.Eval(ctx, 0, a.lastAt, replay(elements), nil, 0); err != nil {
		a.log.Warn("the alerts of a rule begin anew", "rule", r.Name(), "err", err)
		return
	}
	r.alerting.ForEachActiveAlert(func(alert *rules.Alert) {
		t := byHash[alert.Labels.Hash()]
		if t == nil {
			return
		}
		alert.ActiveAt, alert.State = t.ActiveAt, rules.StatePending
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
}
