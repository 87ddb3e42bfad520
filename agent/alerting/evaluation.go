package alerting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"

	"sysotel/agent/template"
)

// clockTolerance is the difference between the two clocks from one evaluation to the
// next above which the wall clock was set or the machine was suspended.
const clockTolerance = 2 * time.Second

// maxStepBack is how far the clock can be set back so that evaluation pauses until it
// has caught up. The store rejects the readings of that time too.
const maxStepBack = time.Minute

// Evaluate evaluates every rule that is due, now.
func (a *Alerting) Evaluate(ctx context.Context) {
	a.turn.Lock()
	defer a.turn.Unlock()
	start := time.Now()
	a.followClock(ctx)
	at, mono := a.options.Clock.Now().UTC().Truncate(time.Second), a.options.Mono()
	if reason := a.unsteady(at); reason != "" {
		// The newest readings are not in the store. Alerts keep their state.
		a.setPaused(reason)
		a.deliver(ctx)
		return
	}
	a.setPaused("")
	a.shift(at, mono)
	due := a.due(at)
	for _, r := range a.rules {
		if (due[groupKey{r.file, r.group}] || r.due(at)) && a.suspects.aside(r) == nil {
			a.suspects.mark(r, at)
			a.evaluate(ctx, r, at)
			a.suspects.unmark()
		}
	}
	a.observe(ctx, at)
	a.keep(at)
	a.lastAt, a.lastMono, a.observed = at, mono, true
	a.ticks++
	a.save(ctx, at)
	a.mu.Lock()
	a.status.evaluations++
	a.status.at, a.status.took = at, time.Since(start)
	a.mu.Unlock()
}

// groupKey identifies a group of rules.
type groupKey struct{ file, name string }

// due are the groups with a rule that is due. The rules of a group are evaluated
// together, since they read each other's series; one that fails is tried again alone.
func (a *Alerting) due(at time.Time) map[groupKey]bool {
	due := map[groupKey]bool{}
	for _, r := range a.rules {
		if r.Health() != rules.HealthBad && a.suspects.aside(r) == nil && r.due(at) {
			due[groupKey{r.file, r.group}] = true
		}
	}
	return due
}

// due reports whether a multiple of its interval has come since it was evaluated.
func (r *rule) due(at time.Time) bool {
	return r.evaluated.IsZero() || at.Truncate(r.interval).After(r.evaluated)
}

// unsteady returns why the rules cannot be evaluated now, "" if they can.
func (a *Alerting) unsteady(at time.Time) string {
	if a.options.Unready != nil {
		if reason := a.options.Unready(); reason != "" {
			return reason
		}
	}
	if !at.After(a.lastAt) && a.lastAt.Sub(at) <= maxStepBack {
		return "the clock was set back"
	}
	return ""
}

func (a *Alerting) setPaused(reason string) {
	a.mu.Lock()
	changed := a.status.unsteady != reason
	a.status.unsteady = reason
	a.mu.Unlock()
	switch {
	case changed && reason != "":
		a.log.Warn("rule evaluation paused", "reason", reason)
	case changed:
		a.log.Info("rule evaluation resumed")
	}
}

// shift excludes a time without evaluations from the duration of pending alerts: the
// agent was down, the machine was suspended, or its clock was set. A condition that
// held before and after need not have held in between.
func (a *Alerting) shift(at time.Time, mono time.Duration) {
	if a.lastAt.IsZero() {
		return
	}
	interval := a.interval
	wall := at.Sub(a.lastAt)
	passed := interval
	if a.observed {
		passed = min(mono-a.lastMono, interval)
		if difference := wall - (mono - a.lastMono); difference.Abs() <= clockTolerance && wall <= interval*5/2 {
			return
		}
	} else if wall <= interval*5/2 && wall > 0 {
		return
	}
	unseen := wall - passed
	for _, r := range a.rules {
		if r.alerting == nil {
			continue
		}
		r.alerting.ForEachActiveAlert(func(alert *rules.Alert) {
			if alert.State == rules.StatePending {
				alert.ActiveAt = alert.ActiveAt.Add(unseen)
			}
			if !alert.KeepFiringSince.IsZero() {
				alert.KeepFiringSince = alert.KeepFiringSince.Add(unseen)
			}
		})
	}
	a.log.Info("rules were not evaluated for a while; pending alerts wait that much longer", "from", a.lastAt.UTC(), "to", at.UTC())
}

// turnTimeout bounds the evaluation of one rule with all its texts.
const turnTimeout = 20 * time.Second

// evaluate evaluates one rule.
func (a *Alerting) evaluate(stopping context.Context, r *rule, at time.Time) {
	ctx, cancel := context.WithTimeout(stopping, turnTimeout)
	defer cancel()
	ctx = a.options.Querier.Scraped(ctx, r.expr, r.scraped)
	start := time.Now()
	e := &evaluation{a: a, rule: r, at: at}
	e.texts = a.environment(at)
	var result promql.Vector
	var err error
	if r.alerting == nil {
		result, err = r.Eval(ctx, r.offset, at, e.query, e.texts.URL, r.most())
	} else {
		// Without a limit: above it the library would forget the alerts.
		_, err = r.alerting.Eval(ctx, r.offset, at, e.query, e.texts.URL, 0)
		r.alerting.SetEvaluationTimestamp(at)
	}
	if stopping.Err() != nil {
		return // The agent stops; the rule has not failed.
	}
	r.SetEvaluationDuration(time.Since(start))
	r.SetEvaluationTimestamp(at)
	r.SetHealth(rules.HealthGood)
	if err != nil {
		r.SetHealth(rules.HealthBad)
	}
	a.noteError(r, cmp.Or(err, e.failed))
	a.strike(r, err, at)
	if err != nil {
		return
	}
	r.evaluated = at
	if r.alerting == nil {
		r.record(result, at)
		return
	}
	e.keep()
	r.record(r.alertSeries(), at)
	a.reconcile(r, at, e.recoveries(ctx))
}

// noteError sets the error of a rule and logs a new one.
func (a *Alerting) noteError(r *rule, err error) {
	if before := r.LastError(); err != nil && (before == nil || before.Error() != err.Error()) {
		a.log.Warn("cannot evaluate a rule", "rule", r.Name(), "group", r.group, "file", r.file, "err", err)
	}
	r.SetLastError(err)
}

// evaluation is one evaluation of a rule. It filters the query result on its way
// from the store to the rules library.
type evaluation struct {
	a    *Alerting
	rule *rule
	at   time.Time
	// texts is what the texts of the rule can use, failed the first error of one. An
	// alert is sent even if its text is only that error.
	texts  *template.Environment
	failed error
	// accepted is the filtered result.
	accepted map[uint64]element
	// unsure are those of accepted whose condition may hold no more, because their input
	// cannot be seen.
	unsure map[uint64]bool
}

// query implements rules.QueryFunc.
func (v *evaluation) query(ctx context.Context, text string, at time.Time) (promql.Vector, error) {
	result, err := v.a.options.Querier.EvalRule(ctx, text, at, v.a.present(ctx, at))
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(result, func(s promql.Sample) bool { return s.H != nil }) {
		return nil, errors.New("the expression returns a histogram; rules need floats")
	}
	if v.rule.alerting == nil {
		return result, nil
	}
	return v.filter(ctx, result, at)
}

// filter removes new elements whose windows are not filled yet, and adds elements
// that vanished only because their input is missing. The result has the labels of the
// alerts.
func (v *evaluation) filter(ctx context.Context, result promql.Vector, at time.Time) (promql.Vector, error) {
	r := v.rule
	if most := r.most(); len(result) > most {
		return nil, fmt.Errorf("exceeded limit of %d with %d alerts", most, len(result))
	}
	v.accepted, v.unsure = make(map[uint64]element, len(result)), map[uint64]bool{}
	kept := result[:0]
	for _, sample := range result {
		h := sample.Metric.Hash()
		if _, before := r.last[h]; !before {
			filled, err := v.filled(ctx, sample.Metric, at)
			if err != nil {
				return nil, err
			}
			if !filled {
				continue
			}
		}
		e, err := v.element(ctx, sample)
		if err != nil {
			return nil, err
		}
		v.accepted[h] = e
		delete(r.holds, h)
		sample.Metric = e.alert
		kept = append(kept, sample)
	}
	for h, e := range r.last {
		if _, still := v.accepted[h]; still {
			continue
		}
		if v.unseen(at) {
			v.accepted[h] = e
			v.unsure[h] = true
			kept = append(kept, promql.Sample{Metric: e.alert, T: at.UnixMilli(), F: e.value})
			continue
		}
		held, err := v.hold(ctx, h, e, at)
		if err != nil {
			return nil, err
		}
		if !held {
			delete(r.holds, h)
			continue
		}
		v.accepted[h] = e
		kept = append(kept, promql.Sample{Metric: e.alert, T: at.UnixMilli(), F: e.value})
	}
	return kept, nil
}

// keep stores the result for comparison with the next one, sets the texts of the
// alerts, and keeps pending alerts that are held from aging.
func (v *evaluation) keep() {
	r := v.rule
	r.last = v.accepted
	elements := r.elements()
	r.alerting.ForEachActiveAlert(func(alert *rules.Alert) {
		h, ok := elements[alert.Labels.Hash()]
		if !ok {
			return // It only keeps firing.
		}
		alert.Annotations = r.last[h].texts
		if _, held := r.holds[h]; (held || v.unsure[h]) && alert.State == rules.StatePending {
			alert.ActiveAt = alert.ActiveAt.Add(r.interval)
		}
	})
}

// elements maps the hashes of the labels of alerts to those of their elements.
func (r *rule) elements() map[uint64]uint64 {
	all := make(map[uint64]uint64, len(r.last))
	for h, e := range r.last {
		all[e.alert.Hash()] = h
	}
	return all
}
