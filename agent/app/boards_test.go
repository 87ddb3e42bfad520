//go:build linux

package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sysotel/agent/store"
	"sysotel/dashboards/grafana"
)

// mayBeEmpty has the panels and queries that are empty on some machines, with the
// reason. If the agent has a result, the other backends must have one too.
var mayBeEmpty = map[string]string{
	"cpu_frequency":                        "the processor reports no frequency, as in some virtual machines",
	"pressure":                             "the kernel has no pressure stall information",
	"pressure_cpu":                         "the kernel has no pressure stall information",
	"pressure_memory":                      "the kernel has no pressure stall information",
	"pressure_io":                          "the kernel has no pressure stall information",
	"cgroup_cpu":                           "the agent has no CPU limit of its own",
	"cgroup_memory":                        "the agent has no memory limit of its own",
	"disk_latency":                         "the disk is idle",
	"inodes":                               "the file systems have no fixed number of inodes",
	"collector_points/{{exporter}} failed": "the Collector creates the counter with the first loss",
}

// someDiffer matches panels whose series come and go, such as the top ten programs.
var someDiffer = regexp.MustCompile(`\{\{process_executable_name\}\}|^connections/|^disk_latency/`)

// backend answers the boards' queries.
type backend struct {
	name string
	*prometheusServer
}

// TestBoards runs every query of every panel on the agent, on a real Prometheus that
// scrapes it, on a real VictoriaMetrics behind a real Collector, and on an agent that
// queries VictoriaMetrics. All must return the same series, by their legends.
func TestBoards(t *testing.T) {
	t.Parallel()
	s := newStack(t, "1s", "1m", "5m", "1h")
	a := run(t, configure(t, "--otlp.endpoint=http://"+s.grpc, "--otlp.tiered=true"))
	p := startPrometheus(t, boardsConfig(t, a, s))
	c := configure(t)
	c.Store.Backend, c.Store.VictoriaMetrics = store.VictoriaMetrics, map[string]string{}
	for _, n := range s.nodes {
		c.Store.VictoriaMetrics[n.tier] = n.url
	}
	front := run(t, c)
	backends := []backend{
		{"the agent", &prometheusServer{tb: t, client: a.socket, url: "http://localhost/prometheus"}},
		{"Prometheus", p},
		{"VictoriaMetrics", &prometheusServer{tb: t, client: http.DefaultClient, url: s.nodes[0].url}},
		{"the agent before VictoriaMetrics", &prometheusServer{tb: t, client: front.socket, url: "http://localhost/prometheus"}},
	}
	list, err := grafana.Read("../../dashboards/panels.json")
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	values := grafana.Values{Host: host, Device: ".*", Interface: ".*", Mountpoint: ".*", Window: "10s", RateWindow: "15s"}

	// Queries without a result are repeated until all have one.
	t.Run("queries", func(t *testing.T) {
		open := boardQueries(t, list, values)
		poll(t, func() error {
			var wrong []error
			open = slices.DeleteFunc(open, func(q boardQuery) bool {
				asked := backends
				if q.prometheus {
					asked = backends[1:2]
				}
				err := compare(asked, q.id, q.expr, q.legend)
				if err != nil {
					wrong = append(wrong, err)
				}
				return err == nil
			})
			return errors.Join(wrong...)
		})
	})
	t.Run("variables and annotations", func(t *testing.T) {
		boards, err := grafana.Boards(list)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range boards {
			poll(t, func() error { return compareRest(t, backends, host, name, text) })
		}
	})
	// Stop it before its receiver stops.
	if err := a.Stop(); err != nil {
		t.Errorf("stop the agent: %v", err)
	}
}

// boardQuery is one query of a panel.
type boardQuery struct {
	id, legend, expr string
	// prometheus is set if only Prometheus has the data.
	prometheus bool
}

// boardQueries returns the queries of the panel list and those that only Grafana's
// boards have.
func boardQueries(t *testing.T, list *grafana.List, values grafana.Values) (all []boardQuery) {
	t.Helper()
	ids, known := map[string]string{}, map[string]bool{}
	for _, panel := range list.Panels {
		ids[panel.Title] = panel.ID
		for _, q := range panel.Queries {
			for _, expr := range []string{q.Expr, q.Min, q.Max} {
				if expr != "" {
					expr = grafana.Fill(expr, values)
					known[expr] = true
					all = append(all, boardQuery{panel.ID + "/" + q.Name, q.Name, expr, panel.Source == grafana.Prometheus})
				}
			}
		}
	}
	boards, err := grafana.Boards(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range boards {
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct {
					Expr, LegendFormat string
					Datasource         struct{ UID string }
				}
			}
		}
		decode(t, text, &board)
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				expr := strings.NewReplacer("$__interval", values.Window, "$__rate_interval", values.RateWindow).Replace(target.Expr)
				expr = grafana.Fill(expr, values)
				if !known[expr] {
					known[expr] = true
					all = append(all, boardQuery{ids[panel.Title] + "/" + target.LegendFormat, target.LegendFormat, expr, target.Datasource.UID == "prometheus"})
				}
			}
		}
	}
	return all
}

// boardsConfig has Prometheus scrape everything that the boards show, with one alert
// firing and one pending.
func boardsConfig(t *testing.T, a *agent, s *stack) string {
	t.Helper()
	rules := filepath.Join(t.TempDir(), "rules.yml")
	text := `
groups:
  - name: test
    rules:
      - {alert: Always, expr: "sysotel_agent_info", labels: {severity: info}}
      - {alert: Patient, expr: "sysotel_agent_info", for: 1h}
`
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var nodes strings.Builder
	for _, n := range s.nodes {
		fmt.Fprintf(&nodes, "\n      - {targets: [%q], labels: {tier: %q}}", n.address, n.tier)
	}
	i := slices.IndexFunc(s.env, func(v string) bool { return strings.HasPrefix(v, "COLLECTOR_SELF_PORT=") })
	_, port, _ := strings.Cut(s.env[i], "=")
	return fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: sysotel
    static_configs: [{targets: [%q]}]
  - job_name: prometheus
    static_configs: [{targets: ["<self>"]}]
  - job_name: collector
    static_configs: [{targets: ["127.0.0.1:%s"]}]
  - job_name: victoriametrics
    static_configs:%s
`, rules, a.ScrapeAddr().String(), port, nodes.String())
}

// compare evaluates an expression on several backends. A query that may be empty is
// skipped if the first backend has no result.
func compare(backends []backend, id, expr, legend string) error {
	var first []string
	for i, b := range backends {
		samples, warnings, err := b.query(expr)
		if err != nil {
			return fmt.Errorf("%s: %s: query %s: %w", id, b.name, expr, err)
		}
		if len(warnings) > 0 {
			return fmt.Errorf("%s: %s returns warnings for %s: %q", id, b.name, expr, warnings)
		}
		var series []string
		for _, s := range samples {
			series = append(series, legendOf(legend, s.Metric))
		}
		slices.Sort(series)
		if distinct := slices.Compact(slices.Clone(series)); len(distinct) < len(series) && legend != "{{alertname}}" {
			return fmt.Errorf("%s: %s has several series of one name for %s: %q", id, b.name, expr, series)
		}
		panel, _, _ := strings.Cut(id, "/")
		switch {
		case i == 0 && len(series) == 0 && (mayBeEmpty[panel] != "" || mayBeEmpty[id] != ""):
			return nil
		case len(series) == 0:
			return fmt.Errorf("%s: %s has no result for %s", id, b.name, expr)
		case i == 0:
			first = series
		case someDiffer.MatchString(id):
			if !slices.ContainsFunc(series, func(name string) bool { return slices.Contains(first, name) }) {
				return fmt.Errorf("%s: %s has %q for %s, none of the series of %s: %q", id, b.name, series, expr, backends[0].name, first)
			}
		case !slices.Equal(series, first):
			return fmt.Errorf("%s: %s has %q for %s, %s has %q", id, b.name, series, expr, backends[0].name, first)
		}
	}
	return nil
}

// legendOf returns the legend of a series.
func legendOf(legend string, labels map[string]string) string {
	return regexp.MustCompile(`\{\{([^}]*)\}\}`).ReplaceAllStringFunc(legend, func(label string) string {
		return labels[strings.Trim(label, "{}")]
	})
}

// compareRest compares what a board queries besides its panels: the values of its
// variables and its annotations.
func compareRest(t *testing.T, backends []backend, host, name string, text []byte) error {
	t.Helper()
	var board struct {
		Templating struct {
			List []struct {
				Type  string
				Query json.RawMessage
			}
		}
		Annotations struct {
			List []struct {
				Datasource struct{ UID string }
				Target     struct{ Expr string }
			}
		}
	}
	decode(t, text, &board)
	// Grafana queries values within the board's time range.
	within := fmt.Sprintf("&start=%d&end=%d", time.Now().Add(-time.Hour).Unix(), time.Now().Unix())
	for _, v := range board.Templating.List {
		if v.Type != "query" {
			continue
		}
		var query struct{ Query string }
		decode(t, v.Query, &query)
		m := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(query.Query)
		if m == nil {
			t.Fatalf("%s queries %s, which this test does not understand", name, query.Query)
		}
		selector := strings.ReplaceAll(m[1], "$host", host)
		var first []string
		for i, b := range backends {
			var answer struct{ Data []string }
			if err := b.get("/api/v1/label/"+m[2]+"/values?match[]="+url.QueryEscape(selector)+within, &answer); err != nil {
				return fmt.Errorf("%s: %s: query %s: %w", name, b.name, query.Query, err)
			}
			if i == 0 {
				first = answer.Data
			}
			// Only some backends know a disk that was removed before the first scrape.
			if !slices.ContainsFunc(answer.Data, func(value string) bool { return slices.Contains(first, value) }) {
				return fmt.Errorf("%s: %s has the values %q for %s, %s has %q", name, b.name, answer.Data, query.Query, backends[0].name, first)
			}
		}
	}
	for _, mark := range board.Annotations.List {
		expr := strings.ReplaceAll(mark.Target.Expr, "$host", host)
		asked := backends
		switch {
		case expr == "":
			continue
		case mark.Datasource.UID == "prometheus":
			asked = backends[1:2]
		}
		if err := compare(asked, name, expr, "{{alertname}}"); err != nil {
			return err
		}
	}
	return nil
}
