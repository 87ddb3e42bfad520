package grafana

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/otlptranslator"
	"github.com/prometheus/prometheus/promql/parser"
)

var (
	identifier = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	color      = regexp.MustCompile(`^#[0-9A-F]{6}$`)
	legend     = regexp.MustCompile(`\{\{([^}]*)\}\}`)
)

// filled are variables for expressions that are only parsed.
var filled = Values{Host: "host", Device: ".*", Interface: ".*", Mountpoint: ".*", Window: "1m", RateWindow: "5m"}

// checker finds errors in a list.
type checker struct {
	list *List
	// metrics are the labels of our metrics by Prometheus name, roll-ups included.
	metrics  map[string][]string
	problems []string
}

func (c *checker) complain(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// check returns all errors in a list.
func check(list *List, metrics map[string][]string) []string {
	c := &checker{list: list, metrics: metrics}
	for word, value := range list.Palette {
		if !color.MatchString(value) {
			c.complain("the color of %s is %q, not like #0072B2", word, value)
		}
	}
	known, placed := map[string]bool{}, map[string]bool{}
	for i := range list.Panels {
		p := &list.Panels[i]
		if known[p.ID] {
			c.complain("panel %s is in the list twice", p.ID)
		}
		known[p.ID] = true
		c.panel(p)
	}
	boards := map[string]bool{}
	for _, b := range list.Boards {
		if boards[b.ID] {
			c.complain("board %s is in the list twice", b.ID)
		}
		boards[b.ID] = true
		if !identifier.MatchString(b.ID) || b.Title == "" {
			c.complain("board %q needs an ID of small letters, and a title", b.ID)
		}
		for i, id := range b.Panels {
			if !known[id] {
				c.complain("board %s has panel %s, which is not in the list", b.ID, id)
			}
			if slices.Contains(b.Panels[:i], id) {
				c.complain("board %s has panel %s twice", b.ID, id)
			}
			placed[id] = true
		}
	}
	for id := range known {
		if !placed[id] {
			c.complain("panel %s is on no board", id)
		}
	}
	slices.Sort(c.problems)
	return c.problems
}

func (c *checker) panel(p *Panel) {
	if !identifier.MatchString(p.ID) {
		c.complain("panel %q: an ID is small letters, digits and underscores", p.ID)
	}
	if p.Title == "" || !strings.HasSuffix(p.Explain, ".") {
		c.complain("panel %s needs a title, and an explanation that ends with a full stop", p.ID)
	}
	if !slices.Contains(units, p.Unit) {
		c.complain("panel %s has unit %q, which is none of %q", p.ID, p.Unit, units)
	}
	if !slices.Contains(draws, p.Draw) {
		c.complain("panel %s is drawn as %q, which is none of %q", p.ID, p.Draw, draws)
	}
	if !slices.Contains(sources, p.Source) {
		c.complain("panel %s has source %q, which is none of %q", p.ID, p.Source, sources)
	}
	if n := len(p.Thresholds); n != 0 && (n != 2 || p.Thresholds[0] >= p.Thresholds[1]) {
		c.complain("panel %s has thresholds %v; want two, warning below critical", p.ID, p.Thresholds)
	}
	if len(p.Queries) == 0 {
		c.complain("panel %s has no query", p.ID)
	}
	for i := range p.Queries {
		c.query(p, &p.Queries[i])
	}
}

func (c *checker) query(p *Panel, q *Query) {
	at := p.ID + ", query " + q.Name
	if q.Name == "" {
		c.complain("panel %s has a query without a name", p.ID)
	}
	if q.Below && p.Draw != Mirror {
		c.complain("%s is below zero, which only a mirror has", at)
	}
	if q.Band && (p.Draw.Newest() || p.Draw == Stack) {
		c.complain("%s has a band, which a %s cannot show", at, p.Draw)
	}
	labels := legend.FindAllStringSubmatch(q.Name, -1)
	if q.Color != "" && (len(labels) > 0 || len(q.Values) > 0) {
		c.complain("%s has one color, but several series", at)
	}
	if len(q.Values) > 0 && (len(labels) != 1 || labels[0][0] != q.Name) {
		c.complain("%s has values, so its name is one label", at)
	}
	for _, word := range slices.Concat(q.Values, []string{cmp.Or(q.Color, "busy")}) {
		if c.list.Palette[word] == "" {
			c.complain("%s uses the color %q, which is not in the palette", at, word)
		}
	}
	for _, expr := range []string{q.Expr, q.Min, q.Max} {
		if expr != "" || expr == q.Expr {
			c.expr(at, p, expr)
		}
	}
	if p.Source != Host {
		return
	}
	for _, l := range labels {
		if !slices.ContainsFunc(c.selected(q.Expr), func(metric string) bool { return slices.Contains(c.metrics[metric], l[1]) }) {
			c.complain("%s: no metric of the query has the label %s of its name", at, l[1])
		}
	}
}

// selected returns the metrics of an expression.
func (c *checker) selected(expr string) (names []string) {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(Fill(expr, filled))
	if err != nil {
		return nil
	}
	for _, s := range parser.ExtractSelectors(parsed) {
		for _, m := range s {
			if m.Name == model.MetricNameLabel {
				names = append(names, m.Value)
			}
		}
	}
	return names
}

// expr checks one expression of a query.
func (c *checker) expr(at string, p *Panel, expr string) {
	text := Fill(expr, filled)
	if strings.Contains(text, "$") {
		c.complain("%s: %s has an unknown variable", at, expr)
	}
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		c.complain("%s: %s: %v", at, expr, err)
		return
	}
	if p.Draw.Newest() && p.Source == Host && strings.Contains(expr, "indow]") {
		c.complain("%s: %s looks back, but a %s shows the newest value", at, expr, p.Draw)
	}
	parser.Inspect(parsed, func(node parser.Node, path []parser.Node) error {
		matrix, ok := node.(*parser.MatrixSelector)
		if !ok || len(path) == 0 {
			return nil
		}
		call, ok := path[len(path)-1].(*parser.Call)
		if !ok {
			return nil
		}
		want := map[bool]string{true: filled.RateWindow, false: filled.Window}[call.Func.Name == "rate"]
		if model.Duration(matrix.Range).String() != want {
			c.complain("%s: %s: the window of rate is $rate_window, that of others $window", at, expr)
		}
		return nil
	})
	if p.Source != Host {
		return
	}
	for _, selector := range parser.ExtractSelectors(parsed) {
		var metric, host string
		for _, m := range selector {
			switch m.Name {
			case model.MetricNameLabel:
				metric = m.Value
			case "host_name":
				host = m.Value
			}
		}
		labels, known := c.metrics[metric]
		if !known {
			c.complain("%s: unknown metric %s", at, metric)
			continue
		}
		if host != filled.Host {
			c.complain("%s: %s has no host; it needs host_name=\"$host\"", at, metric)
		}
		for _, m := range selector {
			if m.Name != model.MetricNameLabel && m.Name != "host_name" && !slices.Contains(labels, m.Name) {
				c.complain("%s: %s has no label %s, only %q", at, metric, m.Name, labels)
			}
		}
	}
}

// measured reads METRICS.md: the labels of each metric of the default conventions by
// Prometheus name, and by the names of its roll-ups.
func measured(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../instruments/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	namer := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	quoted := regexp.MustCompile("`([^`]+)`")
	key := regexp.MustCompile("(?:^ *|<br>)`([^`]+)`")
	metrics := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| `") || len(cells) < 6 || strings.Contains(cells[0], "semconv only") {
			continue
		}
		var labels []string
		for _, m := range key.FindAllStringSubmatch(cells[3], -1) {
			labels = append(labels, strings.ReplaceAll(m[1], ".", "_"))
		}
		name, unit := quoted.FindStringSubmatch(cells[0])[1], ""
		kind, quotedUnit, _ := strings.Cut(cells[2], ", ")
		if m := quoted.FindStringSubmatch(quotedUnit); m != nil {
			unit = m[1]
		}
		metrics[quoted.FindStringSubmatch(cells[1])[1]] = labels
		if kind == "counter" {
			name, unit = name+".rate", unit+"/s"
		}
		for _, suffix := range []string{".min", ".max"} {
			rollup, err := namer.Build(otlptranslator.Metric{Name: name + suffix, Unit: unit, Type: otlptranslator.MetricTypeGauge})
			if err != nil {
				t.Fatal(err)
			}
			metrics[rollup] = labels
		}
	}
	if len(metrics) < 100 {
		t.Fatalf("METRICS.md has only %d names: its format has changed", len(metrics))
	}
	return metrics
}

func TestPanels(t *testing.T) {
	list, err := Read(panelsFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range check(list, measured(t)) {
		t.Error(problem)
	}
	used := map[string]bool{}
	for _, p := range list.Panels {
		for _, q := range p.Queries {
			used[q.Color] = true
			for _, v := range q.Values {
				used[v] = true
			}
		}
	}
	for word := range maps.Keys(list.Palette) {
		if !used[word] {
			t.Errorf("no query uses the word %s of the palette", word)
		}
	}
}

// TestErrors: each kind of error is found.
func TestErrors(t *testing.T) {
	metrics := map[string][]string{"cpu_ratio": {"cpu"}, "cpu_max_ratio": {"cpu"}, "cpu_min_ratio": {"cpu"}}
	good := func() *List {
		return &List{
			Palette: map[string]string{"busy": "#0072B2"},
			Boards:  []Board{{ID: "one", Title: "One", Panels: []string{"cpu"}}},
			Panels: []Panel{{
				ID: "cpu", Title: "CPU", Explain: "Busy.", Unit: Ratio, Draw: Line, Source: Host, Max: 1, Thresholds: []float64{0.8, 0.9},
				Queries: []Query{{
					Name: "{{cpu}}", Values: []string{"busy"}, Band: true, Expr: `avg_over_time(cpu_ratio{host_name="$host"}[$window])`,
					Min: `min_over_time(cpu_min_ratio{host_name="$host"}[$window])`, Max: `max_over_time(cpu_max_ratio{host_name="$host"}[$window])`,
				}},
			}},
		}
	}
	if found := check(good(), metrics); len(found) > 0 {
		t.Fatalf("a good list has problems: %q", found)
	}
	f := func(want string, spoil func(l *List, p *Panel, q *Query)) {
		t.Helper()
		list := good()
		spoil(list, &list.Panels[0], &list.Panels[0].Queries[0])
		if found := check(list, metrics); !strings.Contains(strings.Join(found, "\n"), want) {
			t.Errorf("found %q, nothing like %q", found, want)
		}
	}
	f("not like #0072B2", func(l *List, _ *Panel, _ *Query) { l.Palette["busy"] = "blue" })
	f("panel cpu is in the list twice", func(l *List, p *Panel, _ *Query) { l.Panels = append(l.Panels, *p) })
	f("board one is in the list twice", func(l *List, _ *Panel, _ *Query) { l.Boards = append(l.Boards, l.Boards[0]) })
	f("board \"One\" needs", func(l *List, _ *Panel, _ *Query) { l.Boards[0].ID = "One" })
	f("has panel gone, which is not in the list", func(l *List, _ *Panel, _ *Query) { l.Boards[0].Panels = []string{"cpu", "gone"} })
	f("has panel cpu twice", func(l *List, _ *Panel, _ *Query) { l.Boards[0].Panels = []string{"cpu", "cpu"} })
	f("panel cpu is on no board", func(l *List, _ *Panel, _ *Query) { l.Boards[0].Panels = nil })
	f("an ID is small letters", func(_ *List, p *Panel, _ *Query) { p.ID = "cpu-1" })
	f("needs a title", func(_ *List, p *Panel, _ *Query) { p.Title = "" })
	f("full stop", func(_ *List, p *Panel, _ *Query) { p.Explain = "Busy" })
	f(`has unit "percent"`, func(_ *List, p *Panel, _ *Query) { p.Unit = "percent" })
	f(`drawn as "pie"`, func(_ *List, p *Panel, _ *Query) { p.Draw = "pie" })
	f(`has source "graphite"`, func(_ *List, p *Panel, _ *Query) { p.Source = "graphite" })
	f("warning below critical", func(_ *List, p *Panel, _ *Query) { p.Thresholds = []float64{0.9, 0.8} })
	f("has no query", func(_ *List, p *Panel, _ *Query) { p.Queries = nil })
	f("without a name", func(_ *List, _ *Panel, q *Query) { q.Name = "" })
	f("only a mirror has", func(_ *List, _ *Panel, q *Query) { q.Below = true })
	f("which a stack cannot show", func(_ *List, p *Panel, _ *Query) { p.Draw = Stack })
	f("but several series", func(_ *List, _ *Panel, q *Query) { q.Color = "busy" })
	f("its name is one label", func(_ *List, _ *Panel, q *Query) { q.Name = "of {{cpu}}" })
	f("not in the palette", func(_ *List, _ *Panel, q *Query) { q.Values = []string{"mauve"} })
	f("no metric of the query has the label core", func(_ *List, _ *Panel, q *Query) { q.Name = "{{core}}" })
	f("parse error", func(_ *List, _ *Panel, q *Query) { q.Expr = "avg(" })
	f("parse error", func(_ *List, _ *Panel, q *Query) { q.Expr = "" })
	f("unknown variable", func(_ *List, _ *Panel, q *Query) { q.Expr = `cpu_ratio{host_name="$host",cpu="$core"}` })
	f("shows the newest value", func(_ *List, p *Panel, q *Query) { p.Draw, q.Band, q.Min, q.Max = Stat, false, "", "" })
	f("the window of rate is", func(_ *List, _ *Panel, q *Query) { q.Expr = `rate(cpu_ratio{host_name="$host"}[$window])` })
	f("the window of rate is", func(_ *List, _ *Panel, q *Query) {
		q.Expr = `avg_over_time(cpu_ratio{host_name="$host"}[$rate_window])`
	})
	f("unknown metric gpu_ratio", func(_ *List, _ *Panel, q *Query) { q.Max = `gpu_ratio{host_name="$host"}` })
	f("has no host", func(_ *List, _ *Panel, q *Query) { q.Expr = `cpu_ratio` })
	f("has no label core", func(_ *List, _ *Panel, q *Query) { q.Expr = `cpu_ratio{host_name="$host",core="1"}` })
}

func TestDecode(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if _, err := decode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives the error %v, want one with %q", text, err, want)
		}
	}
	f(`{`, "decode panels.json")
	f(`{"panels": [{"id": "cpu", "colour": "red"}]}`, `unknown field "colour"`)
	f(`{"panels": [{"id": "cpu", "queries": [{"name": "a", "expr": "a", "min": "b"}]}]}`, "panel cpu, query a: min and max are derived")
	f(`{"panels": [{"id": "cpu", "queries": [{"name": "a", "expr": "sum(a)", "band": true}]}]}`, "panel cpu, query a: no band can be derived from sum(a)")
}

func TestBand(t *testing.T) {
	f := func(expr, low string) {
		t.Helper()
		gotLow, gotHigh, err := band(expr)
		if err != nil {
			t.Fatal(err)
		}
		high := strings.NewReplacer("min_over_time", "max_over_time", "_min", "_max").Replace(low)
		if gotLow != low || gotHigh != high {
			t.Errorf("%s has the edges\n%s\n%s, want\n%s\n%s", expr, gotLow, gotHigh, low, high)
		}
	}
	f(`avg_over_time(a_ratio{b="c"}[$window])`, `min_over_time(a_min_ratio{b="c"}[$window]) or min_over_time(a_ratio{b="c"}[$window])`)
	f(`avg_over_time(a_rate_bytes_per_second{b="c"}[$window])`, `min_over_time(a_rate_min_bytes_per_second{b="c"}[$window]) or min_over_time(a_rate_bytes_per_second{b="c"}[$window])`)
	f(`avg_over_time(load_1m{b="c"}[$window])`, `min_over_time(load_1m_min{b="c"}[$window]) or min_over_time(load_1m{b="c"}[$window])`)
	f(`rate(a_total{b="c"}[$rate_window])`, `min_over_time(a_rate_min_per_second{b="c"}[$window]) or rate(a_total{b="c"}[$rate_window])`)
	f(`rate(a_bytes_total{b="c"}[$rate_window])`, `min_over_time(a_rate_min_bytes_per_second{b="c"}[$window]) or rate(a_bytes_total{b="c"}[$rate_window])`)
	for _, bad := range []string{"", "a", `a{b="c"}`, `avg_over_time(a{b="c"}[5m])`, `rate(a{b="c"}[$rate_window])`, `topk(10, avg_over_time(a{b="c"}[$window]))`} {
		if _, _, err := band(bad); err == nil {
			t.Errorf("%q has a band", bad)
		}
	}
}

// TestGoldenTypeScript: the web app's list of panels is up to date.
func TestGoldenTypeScript(t *testing.T) {
	list, err := Read(panelsFile)
	if err != nil {
		t.Fatal(err)
	}
	want, err := TypeScript(list)
	if err != nil {
		t.Fatal(err)
	}
	const path = "../web/src/panels.generated.ts"
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is out of date (%v); run `make golden`", path, err)
	}
}
