package victoriametrics_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"sysotel/agent/query"
	"sysotel/agent/query/victoriametrics"
	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
	"sysotel/otel-collector/programs"
)

// history is the time range of the store in TestBackendsAgree.
const history = 10 * time.Hour

// TestBackendsAgree fills an embedded store, copies each of its tiers to a node,
// and compares queries on both.
func TestBackendsAgree(t *testing.T) {
	// No tier is written until then, and the series that ends is still in a minute's bucket
	// that the five minutes do not have.
	end := time.Now().Add(-time.Hour).Truncate(time.Hour).Add(37*time.Minute + 40*time.Second)
	embedded := filled(t, end)
	var local, remote []query.Source
	for _, tier := range embedded.Tiers() {
		_, url := programs.StartVictoriaMetrics(t, "-retentionPeriod=30d")
		write(t, url, all(t, tier))
		node, err := victoriametrics.New(victoriametrics.Options{URL: url, Tier: store.TierConfig{Resolution: tier.Resolution(), Retention: tier.Retention()}})
		if err != nil {
			t.Fatal(err)
		}
		local = append(local, tier)
		// Both must choose alike, and a node knows its oldest sample by the day.
		remote = append(remote, &reaching{node, tier})
	}
	limits := query.DefaultLimits()
	limits.Samples = 1 // The coarsest tier that can answer does.
	querier := func(sources []query.Source) *query.Querier {
		return query.NewQuerier(query.Config{
			Tiers: func() []query.Source { return sources }, Names: embedded.Rollups(), Interval: time.Second, Limits: limits, Views: views,
			Scrape: query.Scrape{Jobs: []string{"node"}, Instance: func(host string) string { return host + ":9100" }},
		})
	}
	one, other := querier(local), querier(remote)
	tiers := map[string]bool{}
	for _, step := range []time.Duration{time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, time.Hour} {
		start := end.Add(-min(history*4/10, 300*step)).Truncate(step)
		for _, expr := range []string{
			"g", `g{i!="a"}`, "io_total", "g_max", "io_rate_min", "sum(g)", "max_over_time(g_max[W]) or max_over_time(g[W])",
			"avg_over_time(g[W])", "min_over_time(g[W])", "max_over_time(g[W])", "rate(io_total[W])", "increase(io_total[W])",
			"sum_over_time(g[W])", "count_over_time(g[W])", `max_over_time({__name__=~"g"}[W])`, "last_over_time(io_total[W])", "resets(io_total[W])",
		} {
			expr = strings.ReplaceAll(expr, "[W]", "["+model.Duration(2*step).String()+"]")
			var texts [2]string
			for k, q := range []*query.Querier{one, other} {
				a, err := q.Range(t.Context(), expr, start, end, step)
				if err != nil {
					t.Fatalf("%s by %s: %v", expr, step, err)
				}
				m, _ := a.Value.(promql.Matrix)
				texts[k] = rounded(m)
				for _, span := range a.Tiers {
					tiers[span.Tier] = true
				}
				a.Close()
			}
			if texts[0] != texts[1] || texts[0] == "" {
				t.Errorf("%s by %s: %s", expr, step, difference(texts))
			}
		}
		sameByView(t, []*query.Querier{one, other}, start, end, step)
		for _, name := range []string{"g", "io_total"} {
			var texts [2]string
			for k, q := range []*query.Querier{one, other} {
				r, err := q.Select(t.Context(), query.SeriesQuery{
					Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", name), labels.MustNewMatcher(labels.MatchEqual, "host_name", "h")},
					Start:    start, End: end, Step: step, Avg: true, Min: true, Max: true, AsRate: name == "io_total",
				})
				if err != nil {
					t.Fatalf("%s by %s: %v", name, step, err)
				}
				for _, s := range r.Series {
					texts[k] += fmt.Sprintf("%s %v %.9g %.9g %.9g\n", s.Labels, s.T, s.Avg, s.Min, s.Max)
				}
			}
			if texts[0] != texts[1] || texts[0] == "" {
				t.Errorf("the course of %s by %s: %s", name, step, difference(texts))
			}
		}
	}
	if got := slices.Sorted(maps.Keys(tiers)); !slices.Equal(got, []string{"1h", "1m", "1s", "5m"}) {
		t.Errorf("only the tiers %v were asked", got)
	}
}

// viewScale is what the values of views are multiplied by.
const viewScale = 8

// views has both metrics under another name: i is letter there, and its values are in
// upper case.
var views = map[string]*query.View{"other_g": otherName("g"), "other_total": otherName("io_total")}

func otherName(of string) *query.View {
	return &query.View{
		Name: of, Kept: []string{"i"}, Scale: viewScale,
		Labels: []query.ViewLabel{{Name: "letter", Of: "i", Known: func(value string) (string, bool) { return strings.ToLower(value), true }}},
		Series: func(value func(string) string) ([]string, bool) {
			i := value("i")
			return []string{strings.ToUpper(i)}, i != ""
		},
	}
}

// sameByView evaluates expressions by a metric and by its view, as measured and as scraped:
// they are the same but for names and scale.
func sameByView(t *testing.T, queriers []*query.Querier, start, end time.Time, step time.Duration) {
	t.Helper()
	for _, c := range []struct {
		by, of string
		scale  float64
	}{
		{"other_g", "g", viewScale},
		{`other_g{letter="A"}`, `g{i="a"}`, viewScale},
		{`other_g{letter!="A"}`, `g{i!="a"}`, viewScale},
		{`other_g{letter=~"A|C"}`, `g{i=~"a|c"}`, viewScale},
		{"other_total", "io_total", viewScale},
		{"avg_over_time(other_g[W])", "avg_over_time(g[W])", viewScale},
		{"min_over_time(other_g[W])", "min_over_time(g[W])", viewScale},
		{"max_over_time(other_g[W])", "max_over_time(g[W])", viewScale},
		{"sum_over_time(other_g[W])", "sum_over_time(g[W])", viewScale},
		{"count_over_time(other_g[W])", "count_over_time(g[W])", 1},
		{"last_over_time(other_total[W])", "last_over_time(io_total[W])", viewScale},
		{"rate(other_total[W])", "rate(io_total[W])", viewScale},
		{"increase(other_total[W])", "increase(io_total[W])", viewScale},
		{"resets(other_total[W])", "resets(io_total[W])", 1},
		{`max_over_time(other_g{letter="B",job="node",instance="h:9100"}[W])`, `max_over_time(g{i="b",job="node",instance="h:9100"}[W])`, viewScale},
		{`sum by (letter, job) (rate(other_total[W]))`, `sum by (i, job) (rate(io_total[W]))`, viewScale},
	} {
		for k, q := range queriers {
			var texts [2]string
			for side, text := range []string{c.of, c.by} {
				a, err := q.Range(t.Context(), strings.ReplaceAll(text, "[W]", "["+model.Duration(2*step).String()+"]"), start, end, step)
				if err != nil {
					t.Fatalf("%s by %s: %v", text, step, err)
				}
				m, _ := a.Value.(promql.Matrix)
				for i := range m {
					b := labels.NewBuilder(m[i].Metric)
					b.Del("letter")
					if letter := m[i].Metric.Get("letter"); letter != "" {
						b.Set("i", strings.ToLower(letter))
					}
					if v := views[m[i].Metric.Get("__name__")]; v != nil {
						b.Set("__name__", v.Name)
					}
					m[i].Metric = b.Labels()
					for p := range m[i].Floats {
						if side == 0 {
							m[i].Floats[p].F *= c.scale
						}
					}
				}
				slices.SortFunc(m, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
				texts[side] = rounded(m)
				a.Close()
			}
			if texts[0] != texts[1] || texts[0] == "" {
				t.Errorf("source %d: %s by %s is not %s: %s", k, c.by, step, c.of, difference(texts))
			}
		}
	}
}

// difference shows where two texts differ.
func difference(texts [2]string) string {
	at := 0
	for at < len(texts[0]) && at < len(texts[1]) && texts[0][at] == texts[1][at] {
		at++
	}
	from := max(0, at-100)
	return fmt.Sprintf("after %d bytes embedded says\n%.200s\nVictoriaMetrics says\n%.200s", at, texts[0][from:], texts[1][from:])
}

// rounded formats a result to nine digits, because not every last one is preserved.
func rounded(m promql.Matrix) string {
	text := ""
	for _, series := range m {
		text += series.Metric.String()
		for _, p := range series.Floats {
			text += fmt.Sprintf(" %d=%.9g", p.T, p.F)
		}
		text += "\n"
	}
	return text
}

// reaching is a node with the oldest and newest samples of a tier.
type reaching struct {
	*victoriametrics.Node
	tier *store.Tier
}

func (r *reaching) Oldest() time.Time { return r.tier.Oldest() }
func (r *reaching) Newest() time.Time { return r.tier.Newest() }

// filled is a store with two gauges, one of which ends, and a counter with one
// reset.
func filled(t *testing.T, end time.Time) *store.Store {
	t.Helper()
	clock := storetest.NewClock(end.Add(-history))
	s, err := store.Open(store.Options{
		Dir: t.TempDir(), Tiers: store.Defaults().Tiers, Labels: labels.FromStrings("host_name", "h"), Clock: clock.Judge(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	<-s.Opened()
	named := func(kind store.Kind, name, minimum, maximum, i string) *store.Series {
		return &store.Series{Labels: labels.FromStrings("__name__", name, "host_name", "h", "i", i), Kind: kind, MinName: minimum, MaxName: maximum}
	}
	a, b := named(store.Gauge, "g", "g_min", "g_max", "a"), named(store.Gauge, "g", "g_min", "g_max", "b")
	io := named(store.Counter, "io_total", "io_rate_min", "io_rate_max", "a")
	total := 1e6
	for k := range int(history / time.Second) {
		at := end.Add(-history + time.Duration(k+1)*time.Second)
		clock.Set(at)
		if total += float64(k * k % 311); k == 30_000 {
			total = 3
		}
		f := store.CollectorReading{Collector: "f", Samples: []store.Sample{{Series: a, Value: float64(k*k%997) / 8}, {Series: io, Value: total}}}
		switch {
		case k < 35_800:
			f.Samples = append(f.Samples, store.Sample{Series: b, Value: -1 - float64(k%13)})
		case k == 35_800:
			f.Ended = []*store.Series{b}
		}
		if err := s.Append(store.Reading{Time: at, Collectors: []store.CollectorReading{f}}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// all reads all samples of a tier.
func all(t *testing.T, tier *store.Tier) (found []storetest.Series) {
	t.Helper()
	q, err := tier.Querier(math.MinInt64/2, math.MaxInt64/2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }() // It was only read.
	set := q.Select(t.Context(), true, &storage.SelectHints{Start: 0, End: math.MaxInt64 / 2}, labels.MustNewMatcher(labels.MatchNotEqual, "__name__", ""))
	for set.Next() {
		one := storetest.Series{Labels: set.At().Labels().Copy()}
		for it := set.At().Iterator(nil); it.Next() != chunkenc.ValNone; {
			at, v := it.At()
			one.Samples = append(one.Samples, storetest.Sample{T: at, V: v})
		}
		found = append(found, one)
	}
	if err := set.Err(); err != nil || len(found) == 0 {
		t.Fatalf("%d series of the tier %s, %v", len(found), tier.Name(), err)
	}
	return found
}
