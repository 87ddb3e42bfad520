package alerting

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"

	"sysotel/agent/query"
)

// stepped is the difference of the two clocks between two evaluations from which
// on the wall clock was set, or the machine slept.
const stepped = 2 * time.Second

// late is how far a time may lie back and still be a small step of the clock;
// readings of that time are not taken either.
const late = time.Minute

// Evaluate evaluates every rule that is due, now.
func (a *Alerting) Evaluate(ctx context.Context) {
	a.turn.Lock()
	defer a.turn.Unlock()
	begun := time.Now()
	at, mono := a.options.Now().UTC().Truncate(time.Second), a.options.Mono()
	if reason := a.unsteady(at); reason != "" {
		// Readings wait or are not taken: what the tiers say is of another time. The
		// alerts keep their state.
		a.setUnsteady(reason)
		a.handOver(ctx)
		return
	}
	a.setUnsteady("")
	a.shift(at, mono)
	for _, r := range a.rules {
		if r.evaluated.IsZero() || at.Sub(r.evaluated) >= r.interval-a.interval/2 {
			a.evaluate(ctx, r, at)
		}
	}
	a.lastAt, a.lastMono, a.observed = at, mono, true
	a.ticks++
	a.settle(ctx, at)
	a.mu.Lock()
	a.status.rounds++
	a.status.at, a.status.took = at, time.Since(begun)
	a.mu.Unlock()
}

// unsteady tells why the rules cannot be evaluated at a time.
func (a *Alerting) unsteady(at time.Time) string {
	if a.options.Unsteady != nil {
		if reason := a.options.Unsteady(); reason != "" {
			return reason
		}
	}
	if !at.After(a.lastAt) && a.lastAt.Sub(at) <= late {
		return "the clock was set back"
	}
	return ""
}

func (a *Alerting) setUnsteady(reason string) {
	a.mu.Lock()
	changed := a.status.unsteady != reason
	a.status.unsteady = reason
	a.mu.Unlock()
	switch {
	case changed && reason != "":
		a.log.Warn("the rules are not evaluated", "reason", reason)
	case changed:
		a.log.Info("the rules are evaluated")
	}
}

// shift moves what is pending over a time in which nobody looked: the agent did
// not run, the machine slept, or its clock was set. What held before and holds
// after need not have held in between, and a set clock makes nothing longer.
func (a *Alerting) shift(at time.Time, mono time.Duration) {
	if a.lastAt.IsZero() {
		return
	}
	interval := a.interval
	wall := at.Sub(a.lastAt)
	passed := interval
	if a.observed {
		passed = min(mono-a.lastMono, interval)
		if difference := wall - (mono - a.lastMono); difference.Abs() <= stepped && wall <= interval*5/2 {
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
	a.log.Info("there was a time in which no rule was evaluated; what is pending waits for as long again", "from", a.lastAt.UTC(), "to", at.UTC())
}

// evaluate evaluates one rule.
func (a *Alerting) evaluate(ctx context.Context, r *rule, at time.Time) {
	begun := time.Now()
	j := &judge{a: a, rule: r, at: at}
	result, err := r.Eval(ctx, r.offset, at, j.query, nil, r.limit)
	if ctx.Err() != nil {
		return // The agent stops: that is no failure of the rule.
	}
	r.SetEvaluationDuration(time.Since(begun))
	r.SetEvaluationTimestamp(at)
	if before := r.LastError(); err != nil && (before == nil || before.Error() != err.Error()) {
		a.log.Warn("a rule cannot be evaluated", "rule", r.Name(), "err", err)
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
	j.keep()
	a.track(r, at)
}

// judge stands between a rule and the store while the rule is evaluated.
type judge struct {
	a    *Alerting
	rule *rule
	at   time.Time
	// asked tells that the expression itself was asked; what comes after are the
	// queries of templates.
	asked bool
	// believed is the result that the rule got.
	believed map[uint64]element
}

// query implements rules.QueryFunc.
func (j *judge) query(ctx context.Context, text string, at time.Time) (promql.Vector, error) {
	result, err := j.a.options.Querier.Judge(ctx, text, at, j.a.present(ctx))
	if err != nil || j.asked || j.rule.alerting == nil {
		return result, err
	}
	j.asked = true
	return j.believe(ctx, result, at)
}

// believe takes out of a result what cannot be believed yet, and puts in what
// is gone only because nobody measured.
func (j *judge) believe(ctx context.Context, result promql.Vector, at time.Time) (promql.Vector, error) {
	r := j.rule
	j.believed = make(map[uint64]element, len(result))
	kept := result[:0]
	for _, sample := range result {
		if sample.H != nil {
			return nil, errors.New("the expression yields a histogram, a rule needs numbers")
		}
		h := sample.Metric.Hash()
		if _, before := r.last[h]; !before {
			filled, err := j.filled(ctx, sample.Metric, at)
			if err != nil {
				return nil, err
			}
			if !filled {
				continue
			}
		}
		j.believed[h] = element{sample.Metric, sample.F}
		delete(r.holds, h)
		kept = append(kept, sample)
	}
	for h, e := range r.last {
		if _, still := j.believed[h]; still {
			continue
		}
		held, err := j.hold(ctx, h, e, at)
		if err != nil {
			return nil, err
		}
		if !held {
			delete(r.holds, h)
			continue
		}
		j.believed[h] = e
		kept = append(kept, promql.Sample{Metric: e.labels, T: at.UnixMilli(), F: e.value})
	}
	return kept, nil
}

// keep makes what the rule got the result that the next one is held against, and
// keeps what is held from growing older: that it is still so, nobody knows.
func (j *judge) keep() {
	r := j.rule
	r.last = j.believed
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

// isOf tells whether an alert was made of an element: it has its labels, but for
// those that the rule sets.
func (r *rule) isOf(alert, e labels.Labels) bool {
	same := true
	e.Range(func(l labels.Label) {
		if l.Name != model.MetricNameLabel && l.Name != model.AlertNameLabel && !r.Labels().Has(l.Name) && alert.Get(l.Name) != l.Value {
			same = false
		}
	})
	return same
}

var _ query.Own = (*Alerting)(nil).own(context.Background())
