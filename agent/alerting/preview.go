package alerting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"sysotel/agent/query"
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
	Step    float64         `json:"step" doc:"Seconds between two evaluations of the running rule; the preview has the same where seconds are stored, else those in tiers."`
	Tiers   []PreviewTier   `json:"tiers" nullable:"false" doc:"Tier used for each part of the time range. Coarse tiers hold averages, which hide short peaks."`
	Count   int             `json:"count" doc:"How often it would have fired."`
	Seconds float64         `json:"seconds" doc:"Total firing time in seconds."`
	Firings []PreviewFiring `json:"firings" nullable:"false" doc:"Firing periods, newest first; at most 1000."`
	// MeasuredFrom distinguishes "never fired" from "no data".
	MeasuredFrom time.Time  `json:"measured_from,omitzero" doc:"First evaluation for which there is data; absent if there is none. Nothing is said of the time before."`
	NoSeries     []NoSeries `json:"no_series,omitempty" nullable:"false" doc:"Selectors that match no series in the time range and without which the rule has no result, with the reason."`
}

// PreviewTier is a part of the time range that one tier served.
type PreviewTier struct {
	Tier string    `json:"tier" doc:"Resolution of the tier."`
	Step float64   `json:"step" doc:"Seconds between two evaluations: those of running rules, but at least the resolution of the tier."`
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
	// previewSteps is the number of evaluations at once.
	previewSteps = 10_000
	// maxFirings bounds the result.
	maxFirings = 1000
)

// part is a part of a preview: evaluations after from, up to end.
type part struct {
	from, end time.Time
	step      time.Duration
	finest    bool
}

// parts divides a time range by the finest tier that has it, oldest first. Each is
// evaluated as often as the running rule, but not more often than the tier has points.
func (a *Alerting) parts(start, end time.Time) (all []part) {
	for i, e := range a.options.Querier.Extents() {
		if e.From.IsZero() || !e.From.Before(end) {
			continue
		}
		p := part{from: e.From, end: end, step: max(a.interval, e.Resolution), finest: i == 0}
		if p.from.Before(start) {
			p.from = start
		}
		if !p.from.Before(p.end) {
			break
		}
		all = append(all, p)
		end = p.from
	}
	slices.Reverse(all)
	return all
}

// Preview returns how often and when a rule would have fired. It evaluates like the
// running rules, except for their state: recovery thresholds are applied here, and a
// firing alert is held while there is no data.
func (a *Alerting) Preview(ctx context.Context, q PreviewQuery) (*Preview, error) {
	p := &Preview{
		Expr: q.Expr, Start: q.Start.UTC(), End: q.End.UTC(), Step: a.interval.Seconds(), Tiers: []PreviewTier{}, Firings: []PreviewFiring{},
	}
	f := &previewed{preview: p, hold: q.For, series: map[uint64]*follower{}}
	condition := q.Expr
	value := func(time.Duration, bool) string { return condition }
	if q.Threshold != nil {
		if q.Threshold.Name == "" {
			q.Threshold.Name = "preview"
		}
		if err := a.checkThreshold(*q.Threshold); err != nil {
			return nil, under("threshold", err)
		}
		f.threshold = q.Threshold
		c, _ := q.Threshold.check(a.options.Metrics, a.channelNames(), a.interval)
		value, f.hold, condition, p.Expr = c.over, c.hold, c.value, c.rule().Expr
		// The worst second of == and != is there only where the condition holds.
		if ordered(c.Op) || c.Reduce == Last {
			f.limit = &c
		}
	}
	p.For = model.Duration(f.hold).String()
	expr, err := a.options.Querier.Parse(condition)
	if err != nil {
		return nil, ValidationErrors{{Field: "expr", Value: shown(condition), Rule: err.Error()}}
	}
	for _, name := range []string{silentName, lateName} {
		if selects(expr, name) {
			return nil, ValidationErrors{{Field: "expr", Value: shown(condition), Rule: "selects " + name + ", which has no history"}}
		}
	}
	parts := a.parts(q.Start, q.End)
	if len(parts) > 0 {
		parts[0].from = parts[0].from.Add(a.unfilled(expr, parts[0].from))
	}
	for _, one := range parts {
		if err := a.previewPart(ctx, f, value(one.step, one.finest), one); err != nil {
			return nil, err
		}
	}
	f.finish()
	from := q.End
	if len(parts) > 0 {
		from = parts[0].from
	}
	return p, a.previewSeries(ctx, f, expr, from)
}

// maxProbes bounds the selectors whose first sample is looked for, probes the
// evaluations of each.
const maxProbes, probes = 10, 1000

// previewSeries adds the selectors of an expression that match nothing, and from when on
// the others do: an expression that is a condition has no result where it does not hold.
func (a *Alerting) previewSeries(ctx context.Context, f *previewed, expr parser.Expr, from time.Time) error {
	p := f.preview
	found := map[string]*sighting{}
	metric := ""
	if f.threshold != nil {
		metric = f.threshold.Metric
	}
	a.mu.RLock()
	needed := a.needs(expr, maxChain, func(v *parser.VectorSelector) *sighting { return sightingOf(v, metric, nil, found) })
	back := time.Duration(0)
	for _, s := range a.inputs(expr, maxChain) {
		back = max(back, s.window+s.offset)
	}
	a.mu.RUnlock()
	var all []*sighting
	var selections []query.Selection
	for _, text := range slices.Sorted(maps.Keys(found)) {
		if s := found[text]; !isOwn(s.matchers) {
			all = append(all, s)
			selections = append(selections, query.Selection{Matchers: s.matchers, Start: p.Start.Add(-back)})
		}
	}
	seen, err := a.options.Querier.Matched(ctx, selections, p.End)
	if err != nil {
		return err
	}
	for i, s := range all {
		s.seen = seen[i]
	}
	if missing := needed.missing(); len(missing) > 0 {
		p.MeasuredFrom = time.Time{}
		for _, s := range missing {
			why, err := a.explain(ctx, s, p.Start.Add(-back), p.End)
			if err != nil {
				return err
			}
			p.NoSeries = append(p.NoSeries, *why)
		}
		return nil
	}
	if f.limit != nil || p.MeasuredFrom.IsZero() || len(all) > maxProbes {
		return nil
	}
	first := map[*sighting]time.Time{}
	for _, s := range all {
		if !s.seen {
			continue
		}
		if first[s], err = a.firstSample(ctx, s, from, p.End); err != nil {
			return err
		}
	}
	if at := needed.measuredFrom(first); at.After(p.MeasuredFrom) {
		p.MeasuredFrom = at.UTC()
	}
	return nil
}

// firstSample is the first evaluation from start to end at which a selector has a sample;
// start if there is none. It comes near in probes steps, and then looks at each
// evaluation.
func (a *Alerting) firstSample(ctx context.Context, s *sighting, start, end time.Time) (time.Time, error) {
	text := "group(" + s.text + ")"
	start = start.Truncate(a.interval)
	for step := max(a.interval, (end.Sub(start) / probes).Truncate(a.interval)); ; step = a.interval {
		answer, err := a.options.Querier.Range(ctx, text, start, end, step)
		if err != nil {
			return start, err
		}
		at := start
		if matrix, ok := answer.Value.(promql.Matrix); ok && len(matrix) > 0 && len(matrix[0].Floats) > 0 {
			at = time.UnixMilli(matrix[0].Floats[0].T)
		}
		answer.Close()
		if step == a.interval || !at.After(start) {
			return at, nil
		}
		start, end = at.Add(-step), at
	}
}

// measuredFrom is when an expression can have its first result, by the first samples of
// its selectors.
func (n *need) measuredFrom(first map[*sighting]time.Time) (from time.Time) {
	if n.selector != nil {
		return first[n.selector]
	}
	for _, part := range n.parts {
		at := part.measuredFrom(first)
		switch {
		case at.IsZero() && n.either: // It matches nothing.
		case from.IsZero(), n.either && at.Before(from), !n.either && at.After(from):
			from = at
		}
	}
	return from
}

// unfilled is how long after a time the windows of an expression are not filled yet, so
// that no rule fires: until then from the beginning of the history.
func (a *Alerting) unfilled(expr parser.Expr, from time.Time) (longest time.Duration) {
	oldest := from
	for _, e := range a.options.Querier.Extents() {
		if !e.From.IsZero() && e.From.Before(oldest) {
			oldest = e.From
		}
	}
	a.mu.RLock() // It protects the rules that record what the expression selects.
	defer a.mu.RUnlock()
	for _, s := range a.inputs(expr, maxChain) {
		if s.window > a.interval {
			longest = max(longest, s.offset+s.window-s.window/maxGapShare)
		}
	}
	return max(0, longest-from.Sub(oldest))
}

// previewPart evaluates one part.
func (a *Alerting) previewPart(ctx context.Context, f *previewed, text string, one part) error {
	f.step = one.step
	first := one.from.Truncate(one.step)
	if first.Before(one.from) {
		first = first.Add(one.step)
	}
	for !first.After(one.end) {
		last := first.Add((previewSteps - 1) * one.step)
		if last.After(one.end) {
			last = first.Add(one.end.Sub(first).Truncate(one.step))
		}
		answer, err := a.options.Querier.Range(ctx, text, first, last, one.step)
		if err != nil {
			return err
		}
		err = f.take(answer)
		answer.Close()
		if err != nil {
			return err
		}
		first = last.Add(one.step)
	}
	return nil
}

// previewed follows all series of a preview.
type previewed struct {
	preview *Preview
	// threshold is nil for an expression, limit if that is the condition itself.
	threshold *Threshold
	limit     *checked
	hold      time.Duration
	step      time.Duration // of the present part
	series    map[uint64]*follower
}

// take follows the series of a result.
func (f *previewed) take(answer *query.Result) error {
	matrix, ok := answer.Value.(promql.Matrix)
	if !ok {
		return ValidationErrors{{Field: "expr", Value: shown(f.preview.Expr), Rule: "must return an instant vector or a scalar"}}
	}
	for _, t := range answer.Tiers {
		f.note(PreviewTier{Tier: t.Tier, Step: f.step.Seconds(), From: t.From.UTC(), To: t.To.UTC()})
	}
	for _, series := range matrix {
		labels := series.Metric.DropReserved(func(n string) bool { return n == model.MetricNameLabel })
		one := f.series[series.Metric.Hash()]
		if one == nil {
			one = &follower{previewed: f, labels: labels.Map()}
			f.series[series.Metric.Hash()] = one
		}
		if len(series.Floats) > 0 && f.limit != nil {
			f.measured(time.UnixMilli(series.Floats[0].T))
		}
		one.follow(series.Floats)
	}
	return nil
}

// note adds a part to the list of tiers.
func (f *previewed) note(t PreviewTier) {
	all := f.preview.Tiers
	if n := len(all); n > 0 && all[n-1].Tier == t.Tier && all[n-1].Step == t.Step {
		all[n-1].To = t.To
	} else {
		f.preview.Tiers = append(all, t)
	}
	if f.limit == nil { // Where a condition is false there is no result.
		f.measured(t.From)
	}
}

// measured notes that there is data at a time.
func (f *previewed) measured(at time.Time) {
	if p := f.preview; p.MeasuredFrom.IsZero() || at.Before(p.MeasuredFrom) {
		p.MeasuredFrom = at.UTC()
	}
}

// finish ends all series, and sums up.
func (f *previewed) finish() {
	for _, one := range f.series {
		one.finish()
	}
	p := f.preview
	slices.SortStableFunc(p.Firings, func(a, b PreviewFiring) int {
		return cmp.Or(b.From.Compare(a.From), cmp.Compare(fmt.Sprint(a.Labels), fmt.Sprint(b.Labels)))
	})
	p.Count = len(p.Firings)
	p.Firings = p.Firings[:min(len(p.Firings), maxFirings)]
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

// selects reports whether an expression selects a metric by its name.
func selects(expr parser.Expr, metric string) (found bool) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok && nameOf(s.LabelMatchers, model.MetricNameLabel) == metric {
			found = true
		}
		return nil
	})
	return found
}

// follower evaluates one series as a rule would have.
type follower struct {
	*previewed
	labels map[string]string

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
}

// finish ends the series at the end of the time range.
func (f *follower) finish() {
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
