package alerting

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"

	"sysotel/agent/query"
	"sysotel/agent/store"
)

// prometheus is the rules manager of Prometheus on its own storage and engine.
type prometheus struct {
	t      *testing.T
	db     *tsdb.DB
	engine *promql.Engine
	groups []*rules.Group
}

func newPrometheus(t *testing.T, file string) *prometheus {
	t.Helper()
	db, err := tsdb.Open(t.TempDir(), nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &prometheus{t: t, db: db, engine: promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true, Parser: query.NewParser(),
	})}
	manager := rules.NewManager(&rules.ManagerOptions{
		Context: t.Context(), Appendable: db, Queryable: db, QueryFunc: rules.EngineQueryFunc(p.engine, db), ExternalURL: &url.URL{},
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Logger: discard(), Parser: query.NewParser(),
	})
	groups, errs := manager.LoadGroups(15*time.Second, labels.EmptyLabels(), "", nil, false, file)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		for _, rule := range groups[key].AlertingRules() {
			rule.SetRestored(true)
		}
		p.groups = append(p.groups, groups[key])
	}
	return p
}

// read appends what the machine measures in a second.
func (p *prometheus) read(at time.Time, series map[string]*measured) {
	p.t.Helper()
	app := p.db.Appender(p.t.Context())
	for _, m := range series {
		v := m.value
		switch {
		case m.end:
			v = math.Float64frombits(value.StaleNaN)
		case !m.on:
			continue
		}
		if _, err := app.Append(0, m.Labels, at.UnixMilli(), v); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *prometheus) instant(expr string, at time.Time) promql.Vector {
	p.t.Helper()
	q, err := p.engine.NewInstantQuery(p.t.Context(), p.db, nil, expr, at)
	if err != nil {
		p.t.Fatal(err)
	}
	defer q.Close()
	v, err := q.Exec(p.t.Context()).Vector()
	if err != nil {
		p.t.Fatal(err)
	}
	return slices.Clone(v)
}

// instant is what the API answers.
func (p *play) instant(expr string, at time.Time) promql.Vector {
	p.t.Helper()
	found, err := p.querier.Instant(p.t.Context(), expr, at)
	if err != nil {
		p.t.Fatal(err)
	}
	defer found.Close()
	return slices.Clone(found.Value.(promql.Vector))
}

// rule is what a rule sees.
func (p *play) rule(expr string, at time.Time) promql.Vector {
	p.t.Helper()
	found, err := p.querier.EvalRule(p.t.Context(), expr, at, p.alerts.present(p.t.Context(), at))
	if err != nil {
		p.t.Fatal(err)
	}
	return found
}

// shownVector is a vector as a text that can be compared.
func shownVector(v promql.Vector) string {
	var lines []string
	for _, s := range v {
		lines = append(lines, fmt.Sprintf("%s %.9g", s.Metric, s.F))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

const recordingRules = `groups:
  - name: g
    rules:
      - {record: "cpu:twice", expr: 2 * cpu_usage}
      - {record: "cpu:busy", expr: cpu_usage > 80, labels: {team: ops}}
      - {record: "cpu:chain", expr: "avg_over_time(cpu:twice[2m]) + 1"}
      - {record: "disk:sum", expr: sum without (device) (disk_used)}
      - {alert: Mean, expr: "avg_over_time(cpu:twice[2m]) > 160"}
      - {alert: Rise, expr: "cpu:twice - (cpu:twice offset 1m) > 20", for: 30s}
      - {alert: Delta, expr: "delta(cpu:twice[2m]) > 20", keep_firing_for: 1m}
      - {alert: Often, expr: "count_over_time(cpu:busy[2m]) > 3", labels: {severity: critical}}
      - {alert: Chain, expr: "cpu:chain > 150 and cpu:chain > cpu:twice offset 2m"}
      - {alert: Disk, expr: "disk_used > 90", for: 1m}
      - {alert: Others, expr: 'count by (alertstate) (ALERTS{alertname!~"Others|Lasted"}) > 0'}
      - {alert: Lasted, expr: 'time() - ALERTS_FOR_STATE{alertname="Mean"} > 60'}
      - {alert: Flapped, expr: 'changes(ALERTS_FOR_STATE{alertname="Rise"}[5m]) > 0 or count_over_time(ALERTS{alertname="Rise",alertstate="firing"}[5m]) > 6'}
  - name: slow
    interval: 1m
    rules:
      - {record: "cpu:slow", expr: "max_over_time(cpu_usage[1m])"}
      - {alert: Slow, expr: "max_over_time(cpu:slow[3m]) > 95"}
`

// TestRecordedAsPrometheus: what rules make can be asked, ranged over and alerted on, as
// in a Prometheus with the same rules and the same seconds.
func TestRecordedAsPrometheus(t *testing.T) {
	p := newPlay(t, recordingRules)
	real := newPrometheus(t, p.config.Rules[0])
	questions := []string{
		`cpu:twice`, `cpu:chain`, `cpu:slow`, `disk:sum`, `{__name__=~".+:.+"}`, `ALERTS`, `ALERTS_FOR_STATE`, `cpu:twice offset 1m`, `avg_over_time(cpu:twice[2m])`, `cpu:busy`, `count_over_time(cpu:busy[3m])`,
		`delta(cpu:chain[3m])`, `sum by (alertname, alertstate) (count_over_time(ALERTS[5m]))`, `max_over_time(cpu:slow[4m:30s])`, `absent(cpu:busy)`,
		`cpu:twice / 2 - cpu_usage`, `timestamp(cpu:slow)`, `ALERTS{alertname="Rise"} offset 90s`, `{alertname="Disk"}`,
	}
	seen := map[string]bool{}
	second := func() {
		at := p.wall.Add(time.Second)
		real.read(at, p.series)
		p.pass(time.Second, true)
		for _, g := range real.groups {
			if r := p.alerts.find(g.Rules()[0].Name()); r.evaluated.Equal(at) {
				g.Eval(t.Context(), at)
			}
		}
		if s := p.wall.Unix() % 15; s != 0 && s != 7 {
			return
		}
		for _, expr := range questions {
			want := shownVector(real.instant(expr, p.wall))
			if want != "" {
				seen[expr] = true
			}
			if got := shownVector(p.rule(expr, p.wall)); want != got {
				t.Fatalf("for a rule %s at %s is\n%s\nwant\n%s", expr, p.clock(), got, want)
			}
			if got := shownVector(p.instant(expr, p.wall)); want != got {
				t.Fatalf("for the API %s at %s is\n%s\nwant\n%s", expr, p.clock(), got, want)
			}
		}
	}
	pass := func(d time.Duration) {
		for range int(d / time.Second) {
			second()
		}
	}
	p.command("set cpu_usage 20")
	p.command(`set disk_used{device="a"} 40`)
	p.command(`set disk_used{device="b"} 50`)
	p.pass(0, true)
	pass(6 * time.Minute)
	for i, step := range []string{
		"set cpu_usage 90", `set disk_used{device="a"} 95`, "set cpu_usage 97", `end disk_used{device="b"}`, "set cpu_usage 30", `end disk_used{device="a"}`,
		"set cpu_usage 85", "set cpu_usage 20", `set disk_used{device="a"} 99`, "set cpu_usage 96",
	} {
		p.command(step)
		pass(100 * time.Second)
		if i%3 == 2 {
			p.command("kill")
		}
	}
	p.command("set cpu_usage 5")
	pass(8 * time.Minute)
	for _, expr := range questions {
		if !seen[expr] {
			t.Errorf("%s never had an answer", expr)
		}
	}
}

// TestRecordedIsRolledUp: recorded series are in the coarser tiers too, with extremes;
// those of alerts without; and after a restart of the agent.
func TestRecordedIsRolledUp(t *testing.T) {
	p := newPlay(t, "groups: [{name: g, rules: [{record: 'cpu:twice', expr: 2 * cpu_usage}, {record: 'cpu:seconds_total', expr: cpu_seconds_total}, {alert: Busy, expr: cpu_usage > 80}]}]\n")
	p.command("set cpu_usage 90")
	p.command("set cpu_seconds_total 7")
	p.command("pass 30s")
	p.command("set cpu_usage 85")
	p.command("pass 61s")
	p.command("off 5s")
	p.command("pass 3m")
	minute := dawn.Add(time.Minute)
	for name, want := range map[string]float64{
		"cpu:twice": (180*2 + 170*2) / 4., "cpu:twice_min": 170, "cpu:twice_max": 180, "ALERTS": 1, "ALERTS_FOR_STATE": float64(dawn.Add(15 * time.Second).Unix()), "cpu:seconds_total": 7,
	} {
		if got := p.stored(1, name, minute); got != want {
			t.Errorf("%s of the first minute is %v, want %v", name, got, want)
		}
	}
	if _, _, kind, _ := p.store.Rollups().Names("cpu:seconds_total"); kind != store.Counter {
		t.Errorf("cpu:seconds_total is rolled up as kind %d, want a counter", kind)
	}
	if got := shownVector(p.instant("count_over_time(ALERTS[10m])", p.wall)); !strings.Contains(got, "} 18") {
		t.Errorf("ALERTS has %s samples over the restart, want 18", got)
	}
}

// stored is the value of a tier's only series of a name at a time, NaN if it has none.
func (p *play) stored(tier int, name string, at time.Time) float64 {
	p.t.Helper()
	q, err := p.store.Tiers()[tier].Queryable().Querier(at.UnixMilli(), at.UnixMilli())
	if err != nil {
		p.t.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // Read only.
	set := q.Select(p.t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", name))
	for set.Next() {
		if it := set.At().Iterator(nil); it.Seek(at.UnixMilli()) != 0 {
			_, v := it.At()
			return v
		}
	}
	return math.NaN()
}

// TestRecordedIsBounded: health says how many series are not kept.
func TestRecordedIsBounded(t *testing.T) {
	p := newPlay(t, "groups: [{name: g, rules: [{record: 'disk:used', expr: disk_used}]}]\n")
	for i := range maxKept + 10 {
		p.command(fmt.Sprintf(`set disk_used{device="d%d"} 1`, i))
	}
	p.command("pass 31s")
	if h := p.alerts.Health(); !strings.Contains(h.Reason, "10 series that rules make are not kept: there are more than 2000") {
		t.Errorf("health says %+v", h)
	}
	if got := shownVector(p.instant("count(disk:used)", p.wall)); !strings.HasSuffix(got, " 2000") {
		t.Errorf("kept are %s", got)
	}
	for i := range 10 {
		p.command(fmt.Sprintf(`end disk_used{device="d%d"}`, i))
	}
	p.command("pass 30s")
	if h := p.alerts.Health(); h.Reason != "" {
		t.Errorf("with room again health says %+v", h)
	}
}

// TestRecordedNames: a rule does not write into what is measured, nor two rules into one
// series; each is an error of the rule, with its place.
func TestRecordedNames(t *testing.T) {
	p := newPlay(t, `groups:
  - name: g
    rules:
      - {record: cpu_usage, expr: "2 * cpu_usage"}
      - {record: "a:b", expr: "vector(1)"}
      - {record: "a:b", expr: "vector(2)"}
      - {record: "a:b_max", expr: "vector(3)"}
`)
	p.command("set cpu_usage 1")
	p.command("pass 1m")
	var got []string
	for _, r := range p.alerts.Rules() {
		got = append(got, r.Error)
	}
	want := []string{"", "another rule makes the series {__name__=\"a:b\"} too", "", filepath.Base(p.config.Rules[0]) + " line 4: cpu_usage is the name of a measured metric (of the collector cpu); record another"}
	for i := range want {
		if i >= len(got) || !strings.HasSuffix(got[i], want[i]) || want[i] == "" && got[i] != "" {
			t.Errorf("the errors are %q, want %q", got, want)
			break
		}
	}
	if got := shownVector(p.instant(`{__name__=~"cpu_usage|a:b.*"}`, p.wall)); got != `{__name__="a:b"} 1
{__name__="a:b_max"} 3
{__name__="cpu_usage", host_name="h"} 1` {
		t.Errorf("kept are\n%s", got)
	}
}

// TestSilentHasNoHistory: what would always be empty is refused with its place.
func TestSilentHasNoHistory(t *testing.T) {
	p := newPlay(t, "groups: []\n")
	for _, expr := range []string{"max_over_time(sysotel_host_silent_seconds[5m]) > 60", "sysotel_host_silent_seconds offset 1m > 60", "max_over_time((sysotel_host_silent_seconds > 1)[5m:]) > 60"} {
		path := filepath.Join(t.TempDir(), "bad.yml")
		if err := os.WriteFile(path, []byte("groups:\n  - name: g\n    rules:\n      - {alert: A, expr: '"+expr+"'}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := p.config
		c.Rules = []string{path}
		if err := p.alerts.Reload(t.Context(), c); err == nil || !strings.Contains(err.Error(), path+" line 4") || !strings.Contains(err.Error(), "has no history") {
			t.Errorf("%s: %v", expr, err)
		}
	}
}
