package alerting

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// PreviewQuery selects a rule and a past time. Either Threshold or Expr is set.
type PreviewQuery struct {
	Threshold *Threshold
	Expr      string
	For       time.Duration
	Start     time.Time
	End       time.Time
}

// Preview is how often and when a rule would have fired.
type Preview struct {
	Expr    string          `json:"expr" doc:"PromQL expression that was evaluated."`
	For     string          `json:"for" doc:"How long the condition had to hold before it fired."`
	Start   time.Time       `json:"start" doc:"Start of the time range."`
	End     time.Time       `json:"end" doc:"End of the time range."`
	Step    float64         `json:"step" doc:"Seconds between two evaluations. For long time ranges it exceeds the 15 s of running rules, and shorter events can be missed."`
	Tiers   []PreviewTier   `json:"tiers" nullable:"false" doc:"Tier used for each part of the time range. Coarse tiers hold averages, which hide short peaks."`
	Count   int             `json:"count" doc:"How often it would have fired."`
	Seconds float64         `json:"seconds" doc:"Total firing time in seconds."`
	Firings []PreviewFiring `json:"firings" nullable:"false" doc:"Firing periods, newest first; at most 1000."`
	// MeasuredFrom distinguishes "never fired" from "no data".
	MeasuredFrom time.Time `json:"measured_from,omitzero" doc:"First evaluation with data; absent if there was none, and for an expr, where it is unknown."`
}

// PreviewTier is a part of the time range that one tier served.
type PreviewTier struct {
	Tier string    `json:"tier" doc:"Resolution of the tier."`
	From time.Time `json:"from" doc:"First step."`
	To   time.Time `json:"to" doc:"Last step."`
}

// PreviewFiring is a period in which the rule would have fired.
type PreviewFiring struct {
	Labels map[string]string `json:"labels" doc:"Labels of the alert."`
	Since  time.Time         `json:"since" doc:"When the condition began to hold."`
	From   time.Time         `json:"from" doc:"When it would have started firing."`
	To     time.Time         `json:"to,omitzero" doc:"When it would have ended; absent if it would still fire at the end of the range."`
	Value  *float64          `json:"value" doc:"Maximum value in that period, or the minimum if lower is worse."`
}

const (
	// minStep is the default evaluation interval of running rules.
	minStep = 15 * time.Second
	// previewSteps is the maximum number of evaluations.
	previewSteps = 10_000
	// maxFirings bounds the result.
	maxFirings = 1000
)

// Preview returns how often and when a rule would have fired. It evaluates like the
// running rules, except for their state: recovery thresholds are applied here, and a
// firing alert is held while there is no data.
func (a *Alerting) Preview(ctx context.Context, q PreviewQuery) (*Preview, error) {
	p := &Preview{Expr: q.Expr, Start: q.Start.UTC(), End: q.End.UTC(), Tiers: []PreviewTier{}, Firings: []PreviewFiring{}}
	hold, expression := q.For, q.Expr
	var limit *checked
	if q.Threshold != nil {
		if q.Threshold.Name == "" {
			q.Threshold.Name = "preview"
		}
		if err := a.checkThreshold(*q.Threshold); err != nil {
			return nil, under("threshold", err)
		}
		c, _ := q.Threshold.check(a.options.Metrics, a.channels)
		limit, hold, expression, p.Expr = &c, c.hold, c.value, c.rule().Expr
	}
	expr, err := a.options.Querier.Parse(expression)
	if err != nil {
		return nil, ValidationErrors{{Field: "expr", Value: shown(expression), Rule: err.Error()}}
	}
	if selectsOwn(expr) {
		return nil, ValidationErrors{{Field: "expr", Value: shown(expression), Rule: "selects series without history, such as ALERTS; pass the threshold instead"}}
	}
	step := max(minStep, q.End.Sub(q.Start)/previewSteps)
	step = (step + minStep - 1).Truncate(minStep)
	p.For, p.Step = model.Duration(hold).String(), step.Seconds()
	answer, err := a.options.Querier.Range(ctx, expression, q.Start.Truncate(step), q.End, step)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	for _, t := range answer.Tiers {
		p.Tiers = append(p.Tiers, PreviewTier{Tier: t.Tier, From: t.From.UTC(), To: t.To.UTC()})
	}
	matrix, ok := answer.Value.(promql.Matrix)
	if !ok {
		return nil, ValidationErrors{{Field: "expr", Value: shown(expression), Rule: "must return an instant vector or a scalar"}}
	}
	for _, series := range matrix {
		f := follower{preview: p, limit: limit, hold: hold, step: step, labels: series.Metric.DropReserved(func(n string) bool { return n == model.MetricNameLabel }).Map()}
		f.follow(series.Floats)
		if limit != nil && len(series.Floats) > 0 {
			first := time.UnixMilli(series.Floats[0].T).UTC()
			if p.MeasuredFrom.IsZero() || first.Before(p.MeasuredFrom) {
				p.MeasuredFrom = first
			}
		}
	}
	slices.SortStableFunc(p.Firings, func(a, b PreviewFiring) int { return b.From.Compare(a.From) })
	p.Count = len(p.Firings)
	p.Firings = p.Firings[:min(len(p.Firings), maxFirings)]
	return p, nil
}

// under prefixes the fields of validation errors.
func under(field string, err error) error {
	var errs ValidationErrors
	if !errors.As(err, &errs) {
		return err
	}
	deeper := slices.Clone(errs)
	for i := range deeper {
		deeper[i].Field = field + "." + deeper[i].Field
	}
	return deeper
}

// selectsOwn reports whether an expression selects series that this package holds.
func selectsOwn(expr parser.Expr) (found bool) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok && isOwn(s.LabelMatchers) {
			found = true
		}
		return nil
	})
	return found
}

// follower evaluates one series as a rule would have.
type follower struct {
	preview *Preview
	limit   *checked // nil if the expression is the condition itself
	hold    time.Duration
	step    time.Duration
	labels  map[string]string

	since   time.Time // when the condition began to hold; zero while it does not
	firing  *PreviewFiring
	last    time.Time
	greater bool
}

// follow evaluates the points of the series.
func (f *follower) follow(points []promql.FPoint) {
	f.greater = f.limit == nil || !strings.HasPrefix(f.limit.Op, "<")
	for _, p := range points {
		at := time.UnixMilli(p.T).UTC()
		if missed := at.Sub(f.last) - f.step; !f.last.IsZero() && missed > 0 {
			if f.limit == nil {
				f.end(f.last.Add(f.step)) // No result means that the condition is false.
			} else if f.firing == nil && !f.since.IsZero() {
				f.since = f.since.Add(missed) // The state in between is unknown.
			}
		}
		f.last = at
		if !f.holds(p.F) {
			f.end(at)
			continue
		}
		if f.since.IsZero() {
			f.since = at
		}
		if f.firing == nil && at.Sub(f.since) >= f.hold {
			f.firing = &PreviewFiring{Labels: f.labels, Since: f.since, From: at}
		}
		if f.firing != nil && finite(p.F) && (f.firing.Value == nil || f.greater == (p.F > *f.firing.Value)) {
			v := p.F
			f.firing.Value = &v
		}
	}
	if f.limit == nil && !f.last.IsZero() && f.preview.End.Sub(f.last) > f.step {
		f.end(f.last.Add(f.step))
	}
	if f.firing != nil {
		f.preview.Seconds += f.preview.End.Sub(f.firing.From).Seconds()
		f.preview.Firings = append(f.preview.Firings, *f.firing)
	}
}

// holds reports whether the condition holds for a value.
func (f *follower) holds(v float64) bool {
	if f.limit == nil {
		return true
	}
	limit := f.limit.Threshold.Threshold
	if f.firing != nil && f.limit.Recover != nil {
		limit = *f.limit.Recover
	}
	switch f.limit.Op {
	case ">":
		return v > limit
	case ">=":
		return v >= limit
	case "<":
		return v < limit
	case "<=":
		return v <= limit
	case "==":
		return v == limit
	}
	return v != limit
}

// end ends the condition.
func (f *follower) end(at time.Time) {
	f.since = time.Time{}
	if f.firing == nil {
		return
	}
	f.firing.To = at
	f.preview.Seconds += at.Sub(f.firing.From).Seconds()
	f.preview.Firings = append(f.preview.Firings, *f.firing)
	f.firing = nil
}
