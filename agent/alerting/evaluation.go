package alerting

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
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
	at, mono := a.options.Now().UTC().Truncate(time.Second), a.options.Mono()
	if reason := a.unsteady(at); reason != "" {
		// The newest readings are not in the store. Alerts keep their state.
		a.setPaused(reason)
		a.deliver(ctx)
		return
	}
	a.setPaused("")
	a.shift(at, mono)
	for _, r := range a.rules {
		if r.evaluated.IsZero() || at.Sub(r.evaluated) >= r.interval-a.interval/2 {
			a.evaluate(ctx, r, at)
		}
	}
	a.lastAt, a.lastMono, a.observed = at, mono, true
	a.ticks++
	a.save(ctx, at)
	a.mu.Lock()
	a.status.evaluations++
	a.status.at, a.status.took = at, time.Since(start)
	a.mu.Unlock()
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

// evaluate evaluates one rule.
func (a *Alerting) evaluate(ctx context.Context, r *rule, at time.Time) {
	start := time.Now()
	e := &evaluation{a: a, rule: r, at: at}
	result, err := r.Eval(ctx, r.offset, at, e.query, nil, r.limit)
	if ctx.Err() != nil {
		return // The agent stops; the rule has not failed.
	}
	r.SetEvaluationDuration(time.Since(start))
	r.SetEvaluationTimestamp(at)
	if before := r.LastError(); err != nil && (before == nil || before.Error() != err.Error()) {
		a.log.Warn("cannot evaluate a rule", "rule", r.Name(), "err", err)
	}
	r.SetLastError(err)
	if err != nil {
		r.SetHealth(rules.HealthBad)
		return
	}
	r.SetHealth(rules.HealthGood)
	r.evaluated = at
	if r.alerting == nil {
		r.recorded = result
		return
	}
	e.keep()
	a.reconcile(r, at)
}

// evaluation is one evaluation of a rule. It filters the query result on its way
// from the store to the rules library.
type evaluation struct {
	a    *Alerting
	rule *rule
	at   time.Time
	// queried is set once the expression was queried; later queries are those of
	// templates.
	queried bool
	// accepted is the filtered result.
	accepted map[uint64]element
}

// query implements rules.QueryFunc.
func (v *evaluation) query(ctx context.Context, text string, at time.Time) (promql.Vector, error) {
	result, err := v.a.options.Querier.EvalRule(ctx, text, at, v.a.present(ctx))
	if err != nil || v.queried || v.rule.alerting == nil {
		return result, err
	}
	v.queried = true
	return v.filter(ctx, result, at)
}

// filter removes new elements whose windows are not filled yet, and adds elements
// that vanished only because their input is missing.
func (v *evaluation) filter(ctx context.Context, result promql.Vector, at time.Time) (promql.Vector, error) {
	r := v.rule
	v.accepted = make(map[uint64]element, len(result))
	kept := result[:0]
	for _, sample := range result {
		if sample.H != nil {
			return nil, errors.New("the expression returns a histogram; rules need floats")
		}
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
		v.accepted[h] = element{sample.Metric, sample.F}
		delete(r.holds, h)
		kept = append(kept, sample)
	}
	for h, e := range r.last {
		if _, still := v.accepted[h]; still {
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
		kept = append(kept, promql.Sample{Metric: e.labels, T: at.UnixMilli(), F: e.value})
	}
	return kept, nil
}

// keep stores the result for comparison with the next one, and keeps pending alerts
// that are held from aging.
func (v *evaluation) keep() {
	r := v.rule
	r.last = v.accepted
	if len(r.holds) == 0 {
		return
	}
	r.alerting.ForEachActiveAlert(func(alert *rules.Alert) {
		if alert.State != rules.StatePending {
			return
		}
		for h := range r.holds {
			if e, ok := r.last[h]; ok && r.isOf(alert.Labels, e.labels) {
				alert.ActiveAt = alert.ActiveAt.Add(r.interval)
				return
			}
		}
	})
}

// isOf reports whether an alert was created from an element: all labels but those that
// the rule sets are equal.
func (r *rule) isOf(alert, e labels.Labels) bool {
	same := true
	e.Range(func(l labels.Label) {
		if l.Name != model.MetricNameLabel && l.Name != model.AlertNameLabel && !r.Labels().Has(l.Name) && alert.Get(l.Name) != l.Value {
			same = false
		}
	})
	return same
}
