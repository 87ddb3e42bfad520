package alerting

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
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
type oneValue struct {
	queried []time.Time
	texts   map[string][]time.Time // by expression
	asked   func(at time.Time)
}

func (*oneValue) Parse(text string) (parser.Expr, error)                             { return query.NewParser().ParseExpr(text) }
func (*oneValue) RuleQueryable(query.OwnSeries) storage.Queryable                    { return nil }
func (*oneValue) LookBack() time.Duration                                            { return 3 * time.Second }
func (*oneValue) Scraped(ctx context.Context, _ parser.Expr, _ bool) context.Context { return ctx }
func (*oneValue) Extents() []query.Extent                                            { return nil }
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

func (o *oneValue) EvalRule(_ context.Context, text string, at time.Time, _ storage.Queryable) (promql.Vector, error) {
	if o.asked != nil {
		o.asked(at)
	}
	if o.texts == nil {
		o.texts = map[string][]time.Time{}
	}
	o.queried, o.texts[text] = append(o.queried, at), append(o.texts[text], at)
	return promql.Vector{{Metric: labels.FromStrings("host_name", "h"), F: 1}}, nil
}

// runRules runs rules, with an interval of 15 s, until stop is called.
func runRules(t *testing.T, rules string, q *oneValue, newest func() time.Time) (a *Alerting, stop func()) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "rules.yml")
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	judge := clock.New(clock.Options{Boot: func() time.Duration { return time.Since(began) }})
	a, err := Open(t.Context(), Options{Config: Config{Rules: []string{path}, Interval: 15 * time.Second}, Dir: dir, Host: "h", Querier: q, Newest: newest, Clock: judge})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	return a, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestRun: rules are evaluated at multiples of the interval, first when there are
// readings, and not after the agent stops.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(12 * time.Second) // Midnight was a multiple.
		q := &oneValue{}
		a, stop := runRules(t, "groups: [{name: g, rules: [{alert: A, expr: up}, {alert: Slow, expr: slow}]}, {name: s, interval: 1m, rules: [{alert: B, expr: up}]}]", q, nil)
		start := time.Now()
		time.Sleep(2*time.Minute + time.Second)
		stop()
		first := q.queried[0].Sub(start.Truncate(time.Minute))
		if first != 30*time.Second {
			t.Errorf("the first evaluation is at second %s, want 30s: at 15s there may be no reading", first)
		}
		// 7 evaluations of the two rules; the first of the one that is due each minute, and 2.
		if len(q.queried) != 7*2+3 {
			t.Errorf("there were %d queries, want 17", len(q.queried))
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

// TestRunAGroupOfItsOwn: a group is evaluated at multiples of its own interval, also if
// that is shorter than that of the others or does not fit it.
func TestRunAGroupOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &oneValue{}
		began := time.Now() // Midnight.
		a, stop := runRules(t, "groups: [{name: g, rules: [{alert: A, expr: up}]}, {name: s, interval: 20s, rules: [{alert: B, expr: slow}]}, {name: f, interval: 4s, rules: [{record: r, expr: fast}]}]", q, nil)
		time.Sleep(2*time.Minute + time.Second)
		stop()
		for text, every := range map[string]int{"up": 15, "slow": 20, "fast": 4} {
			want := []time.Time{began.Add(8 * time.Second).UTC()} // All, when there are readings.
			for second := every; second <= 120; second += every {
				if second > 8 {
					want = append(want, began.Add(time.Duration(second)*time.Second).UTC())
				}
			}
			if got := q.texts[text]; !slices.Equal(got, want) {
				t.Errorf("%s was evaluated at %v, want %v", text, got, want)
			}
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestRunAwaitsTheReading: a rule is evaluated when the reading of its second is there, and
// without it before the second is over.
func TestRunAwaitsTheReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &oneValue{}
		var late atomic.Int64
		late.Store(int64(310 * time.Millisecond))
		newest := func() time.Time { return time.Now().Add(-time.Duration(late.Load())).Truncate(time.Second) }
		var after []time.Duration
		q.asked = func(at time.Time) { after = append(after, time.Since(at)) }
		a, stop := runRules(t, "groups: [{name: g, rules: [{alert: A, expr: up}]}]", q, newest)
		time.Sleep(20 * time.Second)
		late.Store(int64(time.Hour))
		time.Sleep(15 * time.Second)
		stop()
		want := []time.Duration{320 * time.Millisecond, maxAwait} // It is looked for every 20 ms.
		if !slices.Equal(after, want) {
			t.Errorf("evaluated %v after the second, want %v", after, want)
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

// TestInvalidThreshold: a threshold from the API whose channel was removed is evaluated
// all the same, which Health reports until the channel is back.
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
		if got := len(p.alerts.Rules()); got != 2 || strings.Contains(reason, "Gone") != (len(channels) == 1) {
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
