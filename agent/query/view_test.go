package query

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// coreView is node_cpu_seconds_total of cpu_time: cpu0 is 0, wait is iowait.
func coreView() *View {
	return &View{
		Name: "cpu_time", Where: map[string]string{"kind": ""}, Kept: []string{"core", "state", "kind"}, Scale: 10,
		Labels: []ViewLabel{
			{Name: "cpu", Of: "core", Known: func(value string) (string, bool) { return "cpu" + value, true }},
			{Name: "mode", Of: "state", Known: func(value string) (string, bool) { return value, value != "iowait" && value != "wait" }},
			{Name: "error"},
		},
		Series: func(value func(string) string) ([]string, bool) {
			mode := value("state")
			if mode == "wait" {
				mode = "iowait"
			}
			return []string{strings.TrimPrefix(value("core"), "cpu"), mode, ""}, value("core") != ""
		},
	}
}

// TestViews: a metric is found under a name with other labels and values, in queries, rules
// and lookups, with the labels of a scrape too; and so are series that have the name
// themselves.
func TestViews(t *testing.T) {
	raw := map[int64]float64{}
	for s := range int64(60) {
		raw[s*1000] = float64(s)
	}
	tier := &fakeTier{"1s", time.Second, time.Unix(-100, 0), storageOf(t,
		samples{named("cpu_time", "core", "cpu0", "state", "idle", "host_name", "a"), raw},
		samples{named("cpu_time", "core", "cpu1", "state", "wait", "host_name", "a"), raw},
		samples{named("cpu_time", "core", "cpu1", "state", "wait", "kind", "guest", "host_name", "a"), raw},
		samples{named("cpu_time", "state", "idle", "host_name", "a"), raw}, // A total.
		samples{named("node_cpu", "cpu", "0", "mode", "idle", "host_name", "a"), map[int64]float64{30_000: 7}},
		samples{named("node_cpu", "cpu", "0", "mode", "idle", "host_name", "b"), map[int64]float64{30_000: 7}},
	)}
	q := querierOn(tier)
	q.config.Views = map[string]*View{"node_cpu": coreView()}
	q.config.Scrape = Scrape{Jobs: []string{"node"}, Instance: func(host string) string { return host + ":9100" }}
	const idle, wait, other = `{__name__="node_cpu", cpu="0", host_name="a", mode="idle"} 300`, `{__name__="node_cpu", cpu="1", host_name="a", mode="iowait"} 300`, `{__name__="node_cpu", cpu="0", host_name="b", mode="idle"} 7`
	expressions := map[string]string{
		`node_cpu`:                                           idle + "; " + other + "; " + wait,
		`node_cpu{mode="idle",host_name="a"}`:                idle,
		`node_cpu{mode=~"io.*"}`:                             wait,
		`node_cpu{mode="iowait",cpu="1"}`:                    wait,
		`node_cpu{mode="wait"}`:                              ``,
		`node_cpu{cpu!="0"}`:                                 wait,
		`node_cpu{core="cpu0"}`:                              ``,
		`node_cpu{core=""}`:                                  idle + "; " + other + "; " + wait,
		`node_cpu{error="",cpu="1"}`:                         wait,
		`node_cpu{error="x"}`:                                ``,
		`sum by (mode) (rate(node_cpu{host_name="a"}[10s]))`: `{mode="idle"} 10; {mode="iowait"} 10`,
		`count_over_time(node_cpu{cpu="1"}[5s])`:             `{cpu="1", host_name="a", mode="iowait"} 5`,
		`node_cpu{cpu="1"} offset 10s`:                       strings.Replace(wait, "300", "200", 1),
		`absent(node_cpu{mode="steal"})`:                     `{mode="steal"} 1`,
		`node_cpu{instance="b:9100",job="node"}`:             `{__name__="node_cpu", cpu="0", host_name="b", instance="b:9100", job="node", mode="idle"} 7`,
		`cpu_time{kind="guest"}`:                             `{__name__="cpu_time", core="cpu1", host_name="a", kind="guest", state="wait"} 30`,
	}
	check := func(answer func(text string) (string, error)) {
		t.Helper()
		for text, want := range expressions {
			got, err := answer(text)
			lines := strings.Split(strings.ReplaceAll(strings.TrimSpace(got), "@30000", ""), "\n")
			slices.Sort(lines)
			if err != nil || strings.Join(lines, "; ") != want {
				t.Errorf("%s: %s, %v\nwant %s", text, strings.Join(lines, "; "), err, want)
			}
		}
	}
	check(func(text string) (string, error) {
		result, err := q.Instant(t.Context(), text, time.Unix(30, 0))
		if err != nil {
			return "", err
		}
		defer result.Close()
		return written(result.Value), nil
	})
	check(func(text string) (string, error) { // As a rule, which is evaluated as it was parsed.
		expr, err := q.Parse(text)
		if err != nil {
			return "", err
		}
		v, err := q.EvalRule(t.Context(), expr.String(), time.Unix(30, 0), q.RuleQueryable(nil))
		return written(v), err
	})
	for text := range expressions {
		expr, err := q.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		own, err := NewParser().ParseExpr(text)
		if got := Shown(expr.String()); err != nil || got != strings.Replace(own.String(), "{}", "", 1) {
			t.Errorf("%s is shown as %s", text, got)
		}
	}

	sets, err := q.Matchers(t.Context(), []string{`node_cpu{job="node",instance="a:9100"}`})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"mode": "[idle iowait]", "instance": "[a:9100]", "core": "[]", "__name__": "[node_cpu]"} {
		if got, _, err := q.LabelValues(t.Context(), name, sets, time.Unix(0, 0), time.Unix(60, 0), 0); err != nil || fmt.Sprint(got) != want {
			t.Errorf("values of %s: %v, %v, want %s", name, got, err, want)
		}
	}
	if got, _, err := q.LabelNames(t.Context(), sets, time.Unix(0, 0), time.Unix(60, 0), 0); err != nil || fmt.Sprint(got) != "[__name__ cpu host_name instance job mode]" {
		t.Errorf("names: %v, %v", got, err)
	}
	found, _, err := q.Series(t.Context(), sets, time.Unix(0, 0), time.Unix(60, 0), 0)
	if err != nil || len(found) != 2 || !labels.Equal(found[1], labels.FromStrings("__name__", "node_cpu", "cpu", "1", "host_name", "a", "instance", "a:9100", "job", "node", "mode", "iowait")) {
		t.Errorf("series: %v, %v", found, err)
	}
}
