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

// PreviewQuery asks how a rule would have fared. Either Threshold or Expr is set.
type PreviewQuery struct {
	Threshold *Threshold
	Expr      string
	For       time.Duration
	Start     time.Time
	End       time.Time
}

// Preview is how often and when a rule would have fired.
type Preview struct {
	Expr    string          `json:"expr" doc:"PromQL that was evaluated."`
	For     string          `json:"for" doc:"How long the condition had to hold."`
	Start   time.Time       `json:"start" doc:"Start of the time asked for."`
	End     time.Time       `json:"end" doc:"End of the time asked for."`
	Step    float64         `json:"step" doc:"Seconds between two evaluations. Where the time is long it is longer than the 15 s of the running rules; then what was shorter than a step can be missed."`
	Tiers   []PreviewTier   `json:"tiers" nullable:"false" doc:"Which tier answered for which part of the time. A coarse tier has averages: a short excess shows only in a finer one."`
	Count   int             `json:"count" doc:"How often it would have fired."`
	Seconds float64         `json:"seconds" doc:"For how long in all."`
	Firings []PreviewFiring `json:"firings" nullable:"false" doc:"When, the newest first; at most 1000."`
	// MeasuredFrom tells "never" from "not known": a young history has no week.
	MeasuredFrom time.Time `json:"measured_from,omitzero" doc:"The first evaluation that had something to hold against the threshold; absent where none had, and for an expr, which does not tell."`
}

// PreviewTier is a part of the time that one tier answered for.
type PreviewTier struct {
	Tier string    `json:"tier" doc:"Resolution of the tier."`
	From time.Time `json:"from" doc:"Its first step."`
	To   time.Time `json:"to" doc:"Its last step."`
}

// PreviewFiring is a time in which the rule would have fired.
type PreviewFiring struct {
	Labels map[string]string `json:"labels" doc:"What it would have been about."`
	Since  time.Time         `json:"since" doc:"When the condition began to hold."`
	From   time.Time         `json:"from" doc:"When it would have fired."`
	To     time.Time         `json:"to,omitzero" doc:"When it would have been over; absent where it would still fire at the end."`
	Value  *float64          `json:"value" doc:"The greatest value in that time, or the least where less is worse."`
}

const (
	// leastStep is the time between two evaluations of the running rules.
	leastStep = 15 * time.Second
	// previewSteps is how many evaluations a preview has at most.
	previewSteps = 10_000
	// maxFirings bounds an answer.
	maxFirings = 1000
)

// Preview tells how often and when a rule would have fired. The evaluation is
// that of the running rules, but for what depends on their state: a recovery
// threshold is followed here, and where nothing was measured a firing alert is held.
func (a *Alerting) Preview(ctx context.Context, q PreviewQuery) (*Preview, error) {
	p := &Preview{Expr: q.Expr, Start: q.Start.UTC(), End: q.End.UTC(), Tiers: []PreviewTier{}, Firings: []PreviewFiring{}}
	hold, asked := q.For, q.Expr
	var limit *checked
	if q.Threshold != nil {
		if q.Threshold.Name == "" {
			q.Threshold.Name = "preview"
		}
		if err := a.checkThreshold(*q.Threshold); err != nil {
			return nil, under("threshold", err)
		}
		c, _ := q.Threshold.check(a.options.Metrics, a.channels)
		limit, hold, asked, p.Expr = &c, c.hold, c.value, c.rule().Expr
	}
	expr, err := a.options.Querier.Parse(asked)
	if err != nil {
		return nil, Mistakes{{Field: "expr", Value: shown(asked), Rule: err.Error()}}
	}
	if asksOwn(expr) {
		return nil, Mistakes{{Field: "expr", Value: shown(asked), Rule: "asks for series that the rules keep, such as ALERTS, which have no past; give the threshold instead"}}
	}
	step := max(leastStep, q.End.Sub(q.Start)/previewSteps)
	step = (step + leastStep - 1).Truncate(leastStep)
	p.For, p.Step = model.Duration(hold).String(), step.Seconds()
	answer, err := a.options.Querier.Range(ctx, asked, q.Start.Truncate(step), q.End, step)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	for _, t := range answer.Tiers {
		p.Tiers = append(p.Tiers, PreviewTier{Tier: t.Tier, From: t.From.UTC(), To: t.To.UTC()})
	}
	matrix, ok := answer.Value.(promql.Matrix)
	if !ok {
		return nil, Mistakes{{Field: "expr", Value: shown(asked), Rule: "must yield an instant vector or a scalar"}}
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

// under puts the fields of mistakes under another.
func under(field string, err error) error {
	var mistakes Mistakes
	if !errors.As(err, &mistakes) {
		return err
	}
	deeper := slices.Clone(mistakes)
	for i := range deeper {
		deeper[i].Field = field + "." + deeper[i].Field
	}
	return deeper
}

// asksOwn tells whether an expression reads what the rules keep.
func asksOwn(expr parser.Expr) (found bool) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok && isOwn(s.LabelMatchers) {
			found = true
		}
		return nil
	})
	return found
}

// follower goes along one series as a rule would have.
type follower struct {
	preview *Preview
	limit   *checked // nil where the expression is the condition itself
	hold    time.Duration
	step    time.Duration
	labels  map[string]string

	since   time.Time // when the condition began to hold; zero while it does not
	firing  *PreviewFiring
	last    time.Time
	greater bool
}

// follow goes along the points of the series.
func (f *follower) follow(points []promql.FPoint) {
	f.greater = f.limit == nil || !strings.HasPrefix(f.limit.Op, "<")
	for _, p := range points {
		at := time.UnixMilli(p.T).UTC()
		if missed := at.Sub(f.last) - f.step; !f.last.IsZero() && missed > 0 {
			if f.limit == nil {
				f.over(f.last.Add(f.step)) // No result is what an expression says when it is false.
			} else if f.firing == nil && !f.since.IsZero() {
				f.since = f.since.Add(missed) // Nobody knows how it was meanwhile.
			}
		}
		f.last = at
		if !f.holds(p.F) {
			f.over(at)
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
		f.over(f.last.Add(f.step))
	}
	if f.firing != nil {
		f.preview.Seconds += f.preview.End.Sub(f.firing.From).Seconds()
		f.preview.Firings = append(f.preview.Firings, *f.firing)
	}
}

// holds tells whether the condition holds for a value.
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

// over is the end of the condition.
func (f *follower) over(at time.Time) {
	f.since = time.Time{}
	if f.firing == nil {
		return
	}
	f.firing.To = at
	f.preview.Seconds += at.Sub(f.firing.From).Seconds()
	f.preview.Firings = append(f.preview.Firings, *f.firing)
	f.firing = nil
}
