package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"sysotel/agent/query"
	"sysotel/agent/store"
)

// table implements query.Names.
type table struct{}

var _ query.Names = table{}

// Lookup implements query.Names.
func (table) Lookup(name string) (store.Rollup, bool) {
	r, ok := map[string]store.Rollup{
		"g_min": {Raw: "g", Extreme: store.Min}, "g_max": {Raw: "g", Extreme: store.Max},
		"io_rate_min": {Raw: "io_total", Extreme: store.Min, Rate: true}, "io_rate_max": {Raw: "io_total", Extreme: store.Max, Rate: true},
	}[name]
	return r, ok
}

// Names implements query.Names.
func (table) Names(raw string) (minName, maxName string, kind store.Kind, ok bool) {
	switch raw {
	case "g":
		return "g_min", "g_max", store.Gauge, true
	case "io_total":
		return "io_rate_min", "io_rate_max", store.Counter, true
	}
	return "", "", store.Gauge, false
}

// Brief implements query.Names.
func (table) Brief(string) bool { return false }

// Collector implements query.Names.
func (table) Collector(string) string { return "" }

// querier returns a Querier of one tier: the finest, or one after an empty finest.
func (s *subject) querier(source query.Source) *query.Querier {
	sources := []query.Source{source}
	if s.tier.Resolution > finest {
		sources = []query.Source{s.empty, source}
	}
	return query.NewQuerier(query.Config{
		Tiers: func() []query.Source { return sources }, Names: table{}, Interval: s.tier.Resolution, Limits: query.DefaultLimits(),
	})
}

// agree compares the results of the tier and the reference.
func (s *subject) agree(ctx context.Context, text string, from, to, step int) error {
	var results [2]found
	for i, source := range []query.Source{s.source, s.reference} {
		a, err := s.querier(source).Range(ctx, text, time.UnixMilli(s.at(from)), time.UnixMilli(s.at(to)), time.Duration(step)*s.tier.Resolution)
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		results[i] = matrix(a.Value)
		if len(a.Tiers) > 0 && (len(a.Tiers) != 1 || a.Tiers[0].Tier != s.source.Name()) {
			err = fmt.Errorf("%s was evaluated on %v", text, a.Tiers)
		}
		if a.Close(); err != nil {
			return err
		}
	}
	if err := compare(results[0], results[1]); err != nil {
		return fmt.Errorf("%s by %d steps: %w", text, step, err)
	}
	return nil
}

// matrix copies a result, whose memory is reused once it is closed.
func matrix(v parser.Value) found {
	f := found{}
	m, _ := v.(promql.Matrix)
	for _, series := range m {
		for _, p := range series.Floats {
			f[series.Metric.String()] = append(f[series.Metric.String()], Sample{p.T, p.F})
		}
	}
	return f
}

func minMax(ctx context.Context, s *subject) error {
	for _, text := range []string{
		"g_max", `g_min{i="a"}`, "io_rate_max", "io_rate_min",
		"max_over_time(g_max[W])", "min_over_time(g_min[W])", "max_over_time(io_rate_max[W])", "avg_over_time(io_rate_min[W])",
		"max_over_time(g_max[W]) or max_over_time(g[W])",
	} {
		for _, step := range []int{1, 7} {
			if err := s.agree(ctx, s.windows(text), 20, steps, step); err != nil {
				return err
			}
		}
	}
	// Two empty results would agree.
	a, err := s.querier(s.source).Instant(ctx, s.windows(`max_over_time(g_max{i="a"}[W])`), time.UnixMilli(s.at(steps)))
	if err != nil {
		return err
	}
	defer a.Close()
	if v, ok := a.Value.(promql.Vector); !ok || len(v) != 1 {
		return fmt.Errorf("the maximum of g is %v, want one series", a.Value)
	}
	return nil
}

// windows replaces W by a range of five steps.
func (s *subject) windows(text string) string {
	return strings.ReplaceAll(text, "[W", "["+model.Duration(5*s.tier.Resolution).String())
}

func expressions(ctx context.Context, s *subject) error {
	for _, text := range []string{
		"g", `g{i!="c"}`, `{storetest="yes",i="a"}`, "g offset 1h", "g @ end()", "g - g @ start()",
		"rate(io_total[W])", "increase(io_total[W])", "irate(io_total[W])", "resets(io_total[W])", "delta(g[W])",
		"avg_over_time(g[W])", "min_over_time(g[W])", "max_over_time(g[W])", "last_over_time(g[W])", "count_over_time(g[W])", "sum_over_time(g[W])",
		"sum(alike)", "topk(3, alike)", `sum by (n) (alike{n=~"00.*"})`, "count(alike) / count(g)", `absent(g{i="b"})`, `absent_over_time(g{i="b"}[W])`,
		"time() - timestamp(g)", "max_over_time(sum(g)[W:])", `label_replace(g_odd, "j", "$1", "i", "(?s)(.).*")`, "g_odd",
	} {
		// Around the gap, the end and the reset, and over everything.
		for _, r := range [][3]int{{380, 520, 1}, {590, 810, 1}, {1, steps, 9}} {
			if err := s.agree(ctx, s.windows(text), r[0], r[1], r[2]); err != nil {
				return err
			}
		}
	}
	return nil
}

func seriesQueries(ctx context.Context, s *subject) error {
	for _, name := range []string{"g", "io_total", "alike"} {
		for _, step := range []int{1, 4, 12} {
			sq := query.SeriesQuery{
				Matchers: []*labels.Matcher{equal(model.MetricNameLabel, name), marked()},
				Start:    time.UnixMilli(s.at(10)), End: time.UnixMilli(s.at(steps)), Step: time.Duration(step) * s.tier.Resolution,
				Avg: true, Min: name != "alike", Max: name != "alike", AsRate: name == "io_total",
			}
			var results [2]found
			for i, source := range []query.Source{s.source, s.reference} {
				r, err := s.querier(source).Select(ctx, sq)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				if len(r.Series) == 0 || len(r.Tiers) != 1 || r.Tiers[0].Tier != s.source.Name() {
					return fmt.Errorf("%s: %d series from %v", name, len(r.Series), r.Tiers)
				}
				results[i] = columns(r)
			}
			if err := compare(results[0], results[1]); err != nil {
				return fmt.Errorf("%s by %d steps: %w", name, step, err)
			}
		}
	}
	return nil
}

// columns returns the values of series, each column as a series of its own.
func columns(r query.SeriesResult) found {
	f := found{}
	for _, one := range r.Series {
		for what, column := range map[string][]float64{"avg": one.Avg, "min": one.Min, "max": one.Max} {
			for k, v := range column {
				f[one.Labels.String()+" "+what] = append(f[one.Labels.String()+" "+what], Sample{one.T[k], v})
			}
		}
	}
	return f
}

func limits(ctx context.Context, s *subject) error {
	few := query.DefaultLimits()
	few.Memory = many * steps * 4 // A quarter of the samples, 16 bytes each.
	q := query.NewQuerier(query.Config{
		Tiers: func() []query.Source { return []query.Source{s.source} }, Names: table{}, Interval: s.tier.Resolution, Limits: few,
	})
	from, to := time.UnixMilli(s.at(1)), time.UnixMilli(s.at(steps))
	_, ranged := q.Range(ctx, "alike", from, to, s.tier.Resolution)
	_, selected := q.Select(ctx, query.SeriesQuery{Matchers: []*labels.Matcher{equal(model.MetricNameLabel, "alike")}, Start: from, End: to, Step: s.tier.Resolution, Avg: true})
	for _, err := range []error{ranged, selected} {
		if err == nil {
			return fmt.Errorf("a query beyond the limits has no error, want %s", query.Execution)
		}
		if known := (*query.Error)(nil); !errors.As(err, &known) || known.Type != query.Execution {
			return fmt.Errorf("a query beyond the limits must fail with %s: %w", query.Execution, err)
		}
	}
	found, _, err := q.Series(ctx, [][]*labels.Matcher{{equal(model.MetricNameLabel, "alike")}}, from, to, 7)
	if err == nil && len(found) != 7 {
		err = fmt.Errorf("%d series, want 7", len(found))
	}
	return err
}
