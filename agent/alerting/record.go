package alerting

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"

	"sysotel/agent/query"
	"sysotel/agent/store"
)

// Store keeps the series that rules make, beside the measured ones.
type Store interface {
	Append(store.Reading) error
	Rollups() *store.Rollups
	Tiers() []*store.Tier
}

var _ Store = (*store.Store)(nil)

// maxKept bounds the series of all rules that are kept: those of recording rules, and
// two of each alert.
const maxKept = 2000

// keptSeries is a series in the store, with the time of its newest sample.
type keptSeries struct {
	store.Series
	at time.Time
}

// record sets the series that a rule made at a time, the zero time before this process.
// Those that it made before and makes no more have ended.
func (r *rule) record(made promql.Vector, at time.Time) {
	r.madeAt = at
	next := make(map[uint64]promql.Sample, len(made))
	for _, s := range made {
		next[s.Metric.Hash()] = s
	}
	r.ended = nil
	for h, s := range r.made {
		if _, still := next[h]; !still {
			r.ended = append(r.ended, s.Metric)
		}
	}
	r.made = next
}

// alertSeries are the series of the pending and firing alerts of a rule, as Prometheus
// has them.
func (r *rule) alertSeries() (made promql.Vector) {
	for _, alert := range r.alerting.ActiveAlerts() {
		if alert.State != rules.StateFiring && alert.State != rules.StatePending {
			continue
		}
		b := labels.NewBuilder(alert.Labels).Set(model.AlertNameLabel, r.Name())
		since := b.Set(model.MetricNameLabel, forStateName).Labels()
		b.Set(model.MetricNameLabel, alertsName).Set("alertstate", alert.State.String())
		made = append(made, promql.Sample{Metric: b.Labels(), F: 1}, promql.Sample{Metric: since, F: float64(alert.ActiveAt.Unix())})
	}
	return made
}

// keep hands the series that rules made at a time to the store.
func (a *Alerting) keep(at time.Time) {
	if a.options.Store == nil {
		return
	}
	if at = at.Truncate(a.options.Store.Tiers()[0].Resolution()); !at.After(a.keptAt) {
		return // The store has one reading of each of its ticks.
	}
	// The first reading of a process has all series: those without a sample have ended.
	first := a.keptAt.IsZero()
	reading := store.CollectorReading{Collector: store.Rules}
	for _, r := range a.rules {
		if !first && !r.madeAt.After(a.keptAt) {
			continue
		}
		r.unkept = 0
		for h, s := range r.made {
			kept := a.keptSeries(r, h, s.Metric)
			switch {
			case kept == nil:
				r.unkept++
			case kept.at.Equal(at):
				a.noteError(r, fmt.Errorf("another rule makes the series %s too", shown(s.Metric)))
			default:
				kept.at = at
				reading.Samples = append(reading.Samples, store.Sample{Series: &kept.Series, Value: s.F})
			}
		}
		a.leaving = append(a.leaving, r.ended...)
	}
	for _, l := range a.leaving {
		kept := a.kept[l.Hash()]
		if kept == nil { // Kept by the process before, if at all.
			kept = a.newSeries(l)
		}
		if !kept.at.Equal(at) {
			reading.Ended = append(reading.Ended, &kept.Series)
			delete(a.kept, l.Hash())
		}
	}
	a.leaving = nil
	a.keptAt = at
	if err := a.options.Store.Append(store.Reading{Time: at, Collectors: []store.CollectorReading{reading}}); err != nil {
		a.log.Warn("cannot keep the series of rules", "err", err)
	}
}

// keptSeries returns the store's series of a series that a rule makes, nil if it is not
// kept.
func (a *Alerting) keptSeries(r *rule, hash uint64, l labels.Labels) *keptSeries {
	if kept := a.kept[hash]; kept != nil {
		return kept
	}
	if len(a.kept) >= maxKept {
		return nil
	}
	name := l.Get(model.MetricNameLabel)
	if err := a.takenName(name); err != nil {
		a.noteError(r, fmt.Errorf("%s: %w", r.where, err))
		return nil
	}
	kept := a.newSeries(l)
	a.kept[hash] = kept
	return kept
}

// newSeries describes a series to the store. One that is recorded has extremes, unless
// their names are taken.
func (a *Alerting) newSeries(l labels.Labels) *keptSeries {
	kept := &keptSeries{Series: store.Series{Labels: l}}
	name := l.Get(model.MetricNameLabel)
	if name == alertsName || name == forStateName {
		return kept
	}
	kept.Kind = recordedKind(name)
	least, most := name+"_min", name+"_max"
	if a.takenName(least) == nil && a.takenName(most) == nil && a.byName[least] == nil && a.byName[most] == nil {
		kept.MinName, kept.MaxName = least, most
	}
	return kept
}

// takenName returns why a rule cannot record a name: it is measured.
func (a *Alerting) takenName(name string) error {
	known := a.options.Store.Rollups()
	if collector := known.Collector(name); collector != "" && collector != store.Rules {
		return fmt.Errorf("%s is the name of a measured metric (of the collector %s); record another", shown(name), collector)
	}
	if rollup, ok := known.Lookup(name); ok && known.Collector(rollup.Raw) != store.Rules {
		return fmt.Errorf("%s is the name of a roll-up of %s; record another", shown(name), shown(rollup.Raw))
	}
	return nil
}

// recordedKind is how a recorded series is rolled up: its name says whether it counts.
func recordedKind(name string) store.Kind {
	for _, suffix := range []string{"_total", "_sum", "_count", "_bucket"} {
		if strings.HasSuffix(name, suffix) {
			return store.Counter
		}
	}
	return store.Gauge
}

// own are the series that rules made when they were evaluated last, as of a time, which
// the store does not have yet.
func (a *Alerting) own(ctx context.Context, now time.Time) query.OwnSeries {
	return func(hints *storage.SelectHints, matchers []*labels.Matcher) ([]promql.Sample, bool, error) {
		from, to := hints.Start, hints.End
		name := nameOf(matchers, model.MetricNameLabel)
		if isSilence(name) {
			samples, err := a.silence(ctx, to, name, matchers)
			return samples, true, err
		}
		var found []promql.Sample
		add := func(l labels.Labels, t int64, v float64) {
			if from <= t && t <= to && matches(l, matchers) {
				found = append(found, promql.Sample{Metric: l, T: t, F: v})
			}
		}
		for _, r := range a.makers(name, matchers) {
			t := r.madeAt.UnixMilli()
			for _, l := range r.ended {
				add(l, t, math.Float64frombits(value.StaleNaN))
			}
			// An alert lasts although its rule was not evaluated for a while.
			if r.alerting != nil && t < from && to >= now.UnixMilli() && hints.Range == 0 {
				t = to
			}
			for _, s := range r.made {
				add(s.Metric, t, s.F)
			}
		}
		return newest(found), false, nil
	}
}

// newest keeps the newest sample of each series.
func newest(samples []promql.Sample) []promql.Sample {
	slices.SortFunc(samples, func(a, b promql.Sample) int {
		if c := labels.Compare(a.Metric, b.Metric); c != 0 {
			return c
		}
		if a.T != b.T {
			return int(b.T - a.T)
		}
		if value.IsStaleNaN(a.F) { // Another rule makes it.
			return 1
		}
		return -1
	})
	return slices.CompactFunc(samples, func(a, b promql.Sample) bool { return labels.Equal(a.Metric, b.Metric) })
}

// makers are the rules that may make series of a name, all if it is not known.
func (a *Alerting) makers(name string, matchers []*labels.Matcher) []*rule {
	switch name {
	case "":
		return a.rules
	case alertsName, forStateName:
		if alert := nameOf(matchers, model.AlertNameLabel); alert != "" {
			return a.byName[alert]
		}
		return a.rules
	}
	return a.byName[name]
}
