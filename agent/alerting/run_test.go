package alerting

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"sysotel/agent/health"
	"sysotel/agent/query"
	"sysotel/agent/store"
)

// oneValue is a querier to which everything has one value.
type oneValue struct{ asked []time.Time }

func (*oneValue) Parse(text string) (parser.Expr, error) { return newParser().ParseExpr(text) }
func (*oneValue) Present(query.Own) storage.Queryable    { return nil }
func (*oneValue) LookBack() time.Duration                { return 3 * time.Second }
func (*oneValue) Range(context.Context, string, time.Time, time.Time, time.Duration) (*query.Answer, error) {
	return nil, store.ErrOpening
}

func (o *oneValue) Judge(_ context.Context, _ string, at time.Time, _ storage.Queryable) (promql.Vector, error) {
	o.asked = append(o.asked, at)
	return promql.Vector{{Metric: labels.FromStrings("host_name", "h"), F: 1}}, nil
}

// TestRun: rules are evaluated on whole multiples of the interval, the first when
// there are readings, and no more when the agent stops.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		rules := filepath.Join(dir, "rules.yml")
		if err := os.WriteFile(rules, []byte("groups: [{name: g, rules: [{alert: A, expr: up}, {alert: Slow, expr: slow}]}, {name: s, interval: 1m, rules: [{alert: B, expr: up}]}]"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second) // Midnight was a multiple.
		q := &oneValue{}
		a, err := Open(t.Context(), Options{Config: Config{Rules: []string{rules}, Interval: 15 * time.Second}, Dir: dir, Host: "h", Querier: q})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- a.Run(ctx) }()
		begun := time.Now()
		time.Sleep(2*time.Minute + time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		first := q.asked[0].Sub(begun.Truncate(time.Minute))
		if first != 30*time.Second {
			t.Errorf("the first evaluation is at second %s, want 30s: at 15s there may be no reading", first)
		}
		// 7 evaluations of the two rules, and 2 of the one that is due each minute.
		if len(q.asked) != 7*2+2 {
			t.Errorf("%d questions were asked, want 16", len(q.asked))
		}
		if c := a.Health(); c.Status != health.OK {
			t.Errorf("it is %s: %s", c.Status, c.Reason)
		}
		if err := a.Judging(); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Minute)
		if err := a.Judging(); err == nil {
			t.Error("nobody judges, and nobody says so")
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestReloadRefuses: a configuration with anything wrong in it changes nothing.
func TestReloadRefuses(t *testing.T) {
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
	if len(alerts) != 1 || alerts[0].State != Firing || len(p.told) != 1 {
		t.Errorf("the running rules did not go on: %+v, %v", alerts, p.told)
	}
}

// TestUnfitThreshold: a threshold of the API whose channel is gone keeps no agent
// from starting, and comes to life again with the channel.
func TestUnfitThreshold(t *testing.T) {
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
