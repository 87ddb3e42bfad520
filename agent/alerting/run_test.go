package alerting

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"sysotel/agent/clock"
	"sysotel/agent/health"
	"sysotel/agent/query"
	"sysotel/agent/store"
)

// oneValue is a querier that returns one value for everything.
type oneValue struct{ queried []time.Time }

func (*oneValue) Parse(text string) (parser.Expr, error)          { return query.NewParser().ParseExpr(text) }
func (*oneValue) RuleQueryable(query.OwnSeries) storage.Queryable { return nil }
func (*oneValue) LookBack() time.Duration                         { return 3 * time.Second }
func (*oneValue) Extents() []query.Extent                         { return nil }
func (*oneValue) Range(context.Context, string, time.Time, time.Time, time.Duration) (*query.Result, error) {
	return nil, store.ErrOpening
}

func (*oneValue) Matched(_ context.Context, selections []query.Selection, _ time.Time) ([]bool, error) {
	return slices.Repeat([]bool{true}, len(selections)), nil
}

func (*oneValue) Series(context.Context, [][]*labels.Matcher, time.Time, time.Time, int) ([]labels.Labels, annotations.Annotations, error) {
	return nil, nil, store.ErrOpening
}

func (*oneValue) LabelValues(context.Context, string, [][]*labels.Matcher, time.Time, time.Time, int) ([]string, annotations.Annotations, error) {
	return nil, nil, store.ErrOpening
}

func (o *oneValue) EvalRule(_ context.Context, _ string, at time.Time, _ storage.Queryable) (promql.Vector, error) {
	o.queried = append(o.queried, at)
	return promql.Vector{{Metric: labels.FromStrings("host_name", "h"), F: 1}}, nil
}

// TestRun: rules are evaluated at multiples of the interval, first when there are
// readings, and not after the agent stops.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		rules := filepath.Join(dir, "rules.yml")
		if err := os.WriteFile(rules, []byte("groups: [{name: g, rules: [{alert: A, expr: up}, {alert: Slow, expr: slow}]}, {name: s, interval: 1m, rules: [{alert: B, expr: up}]}]"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second) // Midnight was a multiple.
		q := &oneValue{}
		began := time.Now()
		judge := clock.New(clock.Options{Boot: func() time.Duration { return time.Since(began) }})
		a, err := Open(t.Context(), Options{Config: Config{Rules: []string{rules}, Interval: 15 * time.Second}, Dir: dir, Host: "h", Querier: q, Clock: judge})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- a.Run(ctx) }()
		start := time.Now()
		time.Sleep(2*time.Minute + time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		first := q.queried[0].Sub(start.Truncate(time.Minute))
		if first != 30*time.Second {
			t.Errorf("the first evaluation is at second %s, want 30s: at 15s there may be no reading", first)
		}
		// 7 evaluations of the two rules, and 2 of the one that is due each minute.
		if len(q.queried) != 7*2+2 {
			t.Errorf("there were %d queries, want 16", len(q.queried))
		}
		if c := a.Health(); c.Status != health.OK {
			t.Errorf("it is %s: %s", c.Status, c.Reason)
		}
		if err := a.Evaluating(); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Minute)
		if err := a.Evaluating(); err == nil {
			t.Error("evaluation stopped without an error")
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestReloadRejects: an invalid configuration changes nothing.
func TestReloadRejects(t *testing.T) {
	p := newPlay(t, "groups: [{name: g, rules: [{alert: Busy, expr: cpu_usage > 80}]}]\n")
	p.command("set cpu_usage 90")
	p.command("pass 1m")
	for name, text := range map[string]string{
		"no PromQL":          "groups: [{name: g, rules: [{alert: A, expr: 'sum('}]}]",
		"no such channel":    "groups: [{name: g, rules: [{alert: A, expr: up, annotations: {channels: fax}}]}]",
		"no duration":        "groups: [{name: g, rules: [{alert: A, expr: up, for: 5 minutes}]}]",
		"twice":              "groups: [{name: g, rules: [{alert: A, expr: up}, {alert: A, expr: up == 0}]}]",
		"a template loops":   "groups: [{name: g, rules: [{alert: A, expr: up, annotations: {summary: '{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}'}}]}]",
		"no template":        "groups: [{name: g, rules: [{alert: A, expr: up, annotations: {summary: '{{ .'}}]}]",
		"an unknown key":     "groups: [{name: g, rules: [{alert: A, exp: up}]}]",
		"a subquery so long": "groups: [{name: g, rules: [{alert: A, expr: 'max_over_time(up[1y:1s]) > 0'}]}]",
	} {
		path := filepath.Join(t.TempDir(), "bad.yml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := p.config
		c.Rules = append([]string{path}, c.Rules...)
		err := p.alerts.Reload(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error that names the file", name, err)
		}
	}
	p.command("pass 1m")
	alerts := p.alerts.Alerts()
	if len(alerts) != 1 || alerts[0].State != Firing || len(p.sent) != 1 {
		t.Errorf("the running rules did not go on: %+v, %v", alerts, p.sent)
	}
}

// TestInvalidThreshold: a threshold from the API whose channel was removed does not
// keep the agent from starting, and works again when the channel is back.
func TestInvalidThreshold(t *testing.T) {
	p := newPlay(t, "groups: []\n")
	p.command(`threshold {"name": "Good", "metric": "cpu_usage", "op": ">", "threshold": 80}`)
	p.command(`threshold {"name": "Gone", "metric": "cpu_usage", "op": ">", "threshold": 80, "channels": ["pager"]}`)
	o := p.alerts.options
	if err := p.alerts.Close(); err != nil {
		t.Fatal(err)
	}
	for _, channels := range [][]string{{"mail"}, {"mail", "pager"}} {
		p.channels = channels
		var err error
		if p.alerts, err = Open(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		reason := p.alerts.Health().Reason
		if got := len(p.alerts.Rules()); got != len(channels) || strings.Contains(reason, "Gone") != (len(channels) == 1) {
			t.Errorf("with the channels %v there are %d rules, health says %q", channels, got, reason)
		}
		if len(channels) == 1 {
			if err := p.alerts.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRenamedRule: silences, disabled rules and history queries for the former name
// of a built-in rule apply to the rule.
func TestRenamedRule(t *testing.T) {
	for _, one := range []struct {
		op, value string
		want      bool
	}{
		{"=", "KilledForWantOfMemory", true},
		{"=", "OOMKill", true},
		{"=~", "Killed.*|Other", true},
		{"=", "Other", false},
		{"!=", "KilledForWantOfMemory", false},
		{"!~", "Killed.*", false},
		{"!=", "Other", true},
	} {
		s := Silence{Matchers: []Matcher{{Name: "alertname", Op: one.op, Value: one.value}}}
		if got := s.matches(map[string]string{"alertname": "OOMKill"}); got != one.want {
			t.Errorf("alertname%s%q matches: %v", one.op, one.value, got)
		}
	}
	p := newPlay(t, "groups: []\n")
	p.config.Defaults = true
	p.alerts.fromAPI.Disabled = []string{"KilledForWantOfMemory"}
	if err := p.alerts.Reload(t.Context(), p.config); err != nil {
		t.Fatal(err)
	}
	if s, err := p.alerts.ruleStatus("OOMKill"); err != nil || s.Enabled {
		t.Errorf("the rule is enabled: %v, %v", s.Enabled, err)
	}
	if s, err := p.alerts.EnableRule(t.Context(), "OOMKill", true); err != nil || !s.Enabled || len(p.alerts.fromAPI.Disabled) > 0 {
		t.Errorf("the rule is enabled: %v, %v; disabled are %v", s.Enabled, err, p.alerts.fromAPI.Disabled)
	}
	if err := p.alerts.file.Change(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO episode (rule, fired, body) VALUES ('FamilyFailing', ?, '{"rule": "FamilyFailing"}')`, dawn.UnixMilli())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	all, err := p.alerts.History(t.Context(), HistoryQuery{Start: dawn, End: dawn.Add(time.Hour), Rule: "CollectorFailing", Limit: 10})
	if err != nil || len(all) != 1 {
		t.Errorf("the history is %v, %v", all, err)
	}
}

// TestSeen: health says from when on the rules see something, once that lasts.
func TestSeen(t *testing.T) {
	p := newPlay(t, "groups: [{name: g, rules: [{alert: Busy, expr: cpu_usage > 80}]}]\n")
	p.command("pass 15s")
	for ago, want := range map[time.Duration]string{0: "", 30 * time.Second: "", 12 * time.Minute: "the rules see what was measured since 2026-03-02T05:48:15Z only, 12m0s; longer windows fire nothing new and end nothing"} {
		p.alerts.options.SeenFrom = func() time.Time { return p.wall.Add(-ago) }
		if h := p.alerts.Health(); h.Reason != want || (h.Status == health.OK) != (want == "") {
			t.Errorf("%s ago: health says %+v", ago, h)
		}
	}
	p.alerts.options.SeenFrom = nil
}
