package alerting

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// The series that this package makes beside those of recording rules.
const (
	alertsName   = "ALERTS"
	forStateName = "ALERTS_FOR_STATE"
	// silentName is the number of seconds that each known machine has sent no data while
	// data of others arrived, lateName the number of seconds since data arrived of any.
	// They are known at the current time only.
	silentName = "sysotel_host_silent_seconds"
	lateName   = "sysotel_pipeline_silent_seconds"
)

// isSilence reports whether a metric is about machines that send no data.
func isSilence(name string) bool { return name == silentName || name == lateName }

// nameOf is the value that matchers require of a label by equality, or "".
func nameOf(matchers []*labels.Matcher, label string) string {
	for _, m := range matchers {
		if m.Name == label && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// isOwn reports whether a selector is of series that nothing measures.
func isOwn(matchers []*labels.Matcher) bool {
	switch nameOf(matchers, model.MetricNameLabel) {
	case alertsName, forStateName, silentName, lateName:
		return true
	}
	return false
}

// present resolves the selectors of rules at a time.
func (a *Alerting) present(ctx context.Context, at time.Time) storage.Queryable {
	return a.options.Querier.RuleQueryable(a.own(ctx, at))
}

// hostsTimeout bounds the listing of machines, which delays all rules.
const hostsTimeout = 3 * time.Second

// silence are the series of silentName or lateName.
func (a *Alerting) silence(ctx context.Context, at int64, name string, matchers []*labels.Matcher) (samples []promql.Sample, err error) {
	if a.options.Hosts == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, hostsTimeout)
	defer cancel()
	hosts, err := a.options.Hosts(ctx)
	if err != nil || len(hosts) == 0 {
		return nil, err
	}
	delivered, back := a.pipeline.observe(hosts, time.UnixMilli(at))
	add := func(series labels.Labels, silent time.Duration) {
		if matches(series, matchers) {
			samples = append(samples, promql.Sample{Metric: series, T: at, F: max(0, silent.Seconds())})
		}
	}
	if name == lateName {
		add(labels.FromStrings(model.MetricNameLabel, lateName), time.UnixMilli(at).Sub(delivered))
		return samples, nil
	}
	for _, h := range hosts {
		from := h.LastSeen
		if back.After(from) {
			from = back
		}
		add(labels.FromStrings(model.MetricNameLabel, silentName, "host_name", h.Name), delivered.Sub(from))
	}
	return samples, nil
}

// pipeline is what is on the way from the machines to this agent: while it delivers
// nothing, that a machine is silent says nothing about the machine.
type pipeline struct {
	mu sync.Mutex
	// at is when it was last observed, delivered until when it had delivered, and back
	// when it began to deliver again; mu protects these.
	at, delivered, back time.Time
}

const (
	// longestGap is between two deliveries if all is well: agents push at least every
	// minute, and it takes some seconds. The default rules have the same bound.
	longestGap = 75 * time.Second
	// activeFor is how long before the newest machine others were active with it.
	activeFor = time.Hour
	// fewest is the share of the active machines, one at least, whose data shows that the
	// pipeline delivers: one in this many.
	fewest = 10
)

// observe returns until when the pipeline has delivered, and when it began to after the
// last time it did not, zero if that was not seen. Then machines have as long to connect
// again as they may be silent.
func (p *pipeline) observe(hosts []Host, at time.Time) (delivered, back time.Time) {
	times := make([]time.Time, 0, len(hosts))
	for _, h := range hosts {
		times = append(times, h.LastSeen)
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	active := slices.IndexFunc(times, func(t time.Time) bool { return times[0].Sub(t) > activeFor })
	if active < 0 {
		active = len(times)
	}
	delivered = times[active/fewest]
	p.mu.Lock()
	defer p.mu.Unlock()
	if at.After(p.at) {
		if !p.delivered.IsZero() && delivered.Sub(p.delivered) > longestGap && at.Sub(p.at) < longestGap {
			p.back = delivered
		}
		p.at, p.delivered = at, delivered
	}
	return delivered, p.back
}

// matches reports whether labels satisfy all matchers.
func matches(series labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(series.Get(m.Name)) {
			return false
		}
	}
	return true
}
