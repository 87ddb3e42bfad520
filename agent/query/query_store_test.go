package query_test

import (
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"sysotel/agent/query"
	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
)

// TestQueriesOnTheStore runs queries on a real store: after twenty minutes at 1 s
// every tier but that of an hour has data, and they agree.
func TestQueriesOnTheStore(t *testing.T) {
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	clock := storetest.NewClock(noon)
	s := storetest.OpenStore(t, store.Options{Dir: t.TempDir(), Tiers: store.Defaults().Tiers, Labels: labels.FromStrings("host_name", "h"), Clock: clock.Judge()})
	g := &store.Series{Labels: labels.FromStrings(model.MetricNameLabel, "load"), MinName: "load_min", MaxName: "load_max"}
	c := &store.Series{Labels: labels.FromStrings(model.MetricNameLabel, "io_total"), Kind: store.Counter, MinName: "io_rate_min", MaxName: "io_rate_max"}
	total, spike := 5e9, noon.Add(607*time.Second)
	for range 20*60 + 3 {
		now := clock.Now().Add(time.Second)
		clock.Set(now)
		v := 1.0
		if now.Equal(spike) {
			v = 1000
		}
		total += 100 * v
		disk := store.CollectorReading{Collector: "disk", Taken: now, Samples: []store.Sample{{Series: g, Value: v}, {Series: c, Value: total}}}
		if err := s.Append(store.Reading{Time: now, Collectors: []store.CollectorReading{disk}}); err != nil {
			t.Fatal(err)
		}
	}
	q := query.NewQuerier(query.Config{
		Tiers: func() []query.Source { return query.Sources(s.Tiers()) }, Names: s.Rollups(), Interval: time.Second, Limits: query.DefaultLimits(),
	})
	end := noon.Add(20 * time.Minute)
	// PromQL: the seconds are there, so they answer at every step.
	for _, step := range []time.Duration{time.Second, time.Minute, 5 * time.Minute} {
		for expr, want := range map[string][2]float64{
			"max_over_time(load[%s])": {1, 1000}, "max_over_time(load_max[%s])": {1, 1000}, "max_over_time(io_rate_max[%s])": {100, 100_000},
			"count_over_time(load[%s])": {step.Seconds(), step.Seconds()},
		} {
			expr = fmt.Sprintf(expr, store.TierName(step))
			a, err := q.Range(t.Context(), expr, noon.Add(10*time.Minute).Add(step), end, step)
			if err != nil {
				t.Fatalf("%s: %v", expr, err)
			}
			minimum, maximum := math.Inf(1), math.Inf(-1)
			for _, series := range a.Value.(promql.Matrix) {
				for _, p := range series.Floats {
					minimum, maximum = min(minimum, p.F), max(maximum, p.F)
				}
			}
			if got := [2]float64{minimum, maximum}; got != want || len(a.Tiers) != 1 || a.Tiers[0].Tier != "1s" || len(a.Warnings) > 0 {
				t.Errorf("%s by %s: %v from %v, %v; want %v from 1s", expr, step, got, a.Tiers, a.Warnings, want)
			}
			a.Close()
		}
	}
	named := func(name string) []*labels.Matcher {
		return []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)}
	}
	// REST: exact rates, and averages weighted by readings, from two tiers.
	ask := func(query query.SeriesQuery) query.SelectedSeries {
		t.Helper()
		query.Start, query.End, query.Avg, query.Min, query.Max = noon.Add(10*time.Minute), end, true, true, true
		r, err := q.Select(t.Context(), query)
		if err != nil || len(r.Series) != 1 {
			t.Fatalf("%d series, %v; want 1", len(r.Series), err)
		}
		return r.Series[0]
	}
	last := func(s query.SelectedSeries) [3]float64 {
		n := len(s.T) - 2 // The point of the spike: (12:05, 12:10] is first, (12:10, 12:15] second.
		return [3]float64{s.Avg[n], s.Min[n], s.Max[n]}
	}
	if got, want := last(ask(query.SeriesQuery{Matchers: named("load"), Step: 5 * time.Minute})), [3]float64{1299. / 300, 1, 1000}; !nearly(got, want) {
		t.Errorf("the gauge is %v, want %v", got, want)
	}
	if got, want := last(ask(query.SeriesQuery{Matchers: named("io_total"), Step: 5 * time.Minute, AsRate: true})), [3]float64{129_900. / 300, 100, 100_000}; got != want {
		t.Errorf("the rate is %v, want exactly %v", got, want)
	}
	// Lookups see every tier, and roll-ups by their name only.
	sets, err := q.Matchers(t.Context(), []string{`{__name__=~"load.*"}`})
	if err != nil {
		t.Fatal(err)
	}
	found, _, err := q.Series(t.Context(), sets, noon, end, 0)
	if err != nil || len(found) != 1 {
		t.Errorf("%d series %v, %v; want load", len(found), found, err)
	}
	if sets, err = q.Matchers(t.Context(), []string{"load_max"}); err != nil {
		t.Fatal(err)
	}
	if found, _, err = q.Series(t.Context(), sets, noon, end, 0); err != nil || len(found) != 1 {
		t.Errorf("%d series %v, %v; want load_max", len(found), found, err)
	}
}

// nearly ignores the rounding of averages in the upper tiers.
func nearly(a, b [3]float64) bool {
	for i := range a {
		if math.Abs(a[i]-b[i]) > 1e-6*math.Abs(b[i]) {
			return false
		}
	}
	return true
}

// TestQueriesWhileReadingsWait: whatever is asked, by PromQL or REST, the answer while
// readings wait to be written is the one when they are written. With a step for a coarser
// tier, PromQL finds a sample where it finds an average then.
func TestQueriesWhileReadingsWait(t *testing.T) {
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	clock := storetest.NewClock(noon)
	var free atomic.Int64
	free.Store(1 << 40)
	s := storetest.OpenStore(t, store.Options{
		Dir: t.TempDir(), Tiers: store.Defaults().Tiers, Labels: labels.FromStrings("host_name", "h"), Clock: clock.Judge(),
		Free: func(string) (int64, error) { return free.Load(), nil },
	})
	g := &store.Series{Labels: labels.FromStrings(model.MetricNameLabel, "load", "host_name", "h"), MinName: "load_min", MaxName: "load_max"}
	c := &store.Series{Labels: labels.FromStrings(model.MetricNameLabel, "io_total", "host_name", "h"), Kind: store.Counter, MinName: "io_rate_min", MaxName: "io_rate_max"}
	total := 0.0
	read := func(n int) {
		for range n {
			now := clock.Now().Add(time.Second)
			clock.Set(now)
			total += float64(now.Unix() % 7)
			disk := store.CollectorReading{Collector: "disk", Taken: now, Samples: []store.Sample{{Series: g, Value: float64(now.Unix() % 100)}, {Series: c, Value: total}}}
			if err := s.Append(store.Reading{Time: now, Collectors: []store.CollectorReading{disk}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	q := query.NewQuerier(query.Config{
		Tiers: func() []query.Source { return query.Sources(s.Tiers()) }, Names: s.Rollups(), Interval: time.Second, Limits: query.DefaultLimits(),
	})
	read(20*60 + 1) // The last minute is over and not yet written.
	free.Store(0)
	read(15*60 + 20)
	end := clock.Now()
	answers := func() map[string]string {
		t.Helper()
		all := map[string]string{}
		for _, step := range []time.Duration{time.Second, 7 * time.Second, time.Minute, 5 * time.Minute} {
			for _, expr := range []string{"load", "rate(io_total[2m])", "max_over_time(load_max[1m])", "increase(io_total[10m])", "load offset 5m", "io_rate_max", "avg_over_time(load[10m:1m])"} {
				a, err := q.Range(t.Context(), expr, end.Add(-20*time.Minute).Truncate(time.Minute), end, step)
				if err != nil {
					t.Fatalf("%s: %v", expr, err)
				}
				text := ""
				for _, series := range a.Value.(promql.Matrix) {
					text += series.Metric.String()
					for _, p := range series.Floats {
						text += fmt.Sprint(" ", p.T)
						if step < time.Minute {
							text += fmt.Sprint(":", p.F)
						}
					}
				}
				all[fmt.Sprintf("%s by %s", expr, step)] = text
				a.Close()
			}
			for _, one := range []query.SeriesQuery{{Step: step}, {Step: step, AsRate: true}} {
				name := "load"
				if one.AsRate {
					name = "io_total"
				}
				one.Matchers = []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)}
				one.Start, one.End, one.Avg, one.Min, one.Max = end.Add(-15*time.Minute), end, true, true, true
				r, err := q.Select(t.Context(), one)
				if err != nil {
					t.Fatal(err)
				}
				for _, series := range r.Series {
					all[fmt.Sprintf("REST %s by %s", name, step)] = fmt.Sprintf("%d %.4g %.4g %.4g", series.T, series.Avg, series.Min, series.Max)
				}
			}
		}
		return all
	}
	waiting := answers()
	if n := s.Stats().Waiting; n != 15*60+20 {
		t.Fatalf("%d readings wait", n)
	}
	free.Store(1 << 40)
	for s.Stats().Waiting > 0 {
		read(1)
	}
	stored := answers()
	for what, got := range waiting {
		want := stored[what]
		if got != want {
			t.Errorf("%s: while readings wait\n%.500s\nwhen they are written\n%.500s", what, got, want)
		}
		if len(got) < 20 {
			t.Errorf("%s: %q", what, got)
		}
	}
}
