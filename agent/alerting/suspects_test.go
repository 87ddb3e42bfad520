package alerting

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"sysotel/agent/health"
	"sysotel/agent/query"
)

// watched is a querier that counts what is evaluated, and can fail.
type watched struct {
	*query.Querier
	evaluated map[string]int
	before    func(text string)
	err       error
}

func (w *watched) EvalRule(ctx context.Context, text string, at time.Time, present storage.Queryable) (promql.Vector, error) {
	w.evaluated[text]++
	if w.before != nil {
		w.before(text)
	}
	if w.err != nil && strings.Contains(text, "poison") {
		return nil, w.err
	}
	return w.Querier.EvalRule(ctx, text, at, present)
}

// watch makes the rules use a watched querier.
func (p *play) watch() *watched {
	w := &watched{Querier: p.querier, evaluated: map[string]int{}}
	p.alerts.options.Querier = w
	return w
}

const poisonous = `groups: [{name: g, rules: [{alert: Sound, expr: cpu_usage > 80}, {alert: Poison, expr: poison_level > 1}]}]`

// checkAside checks that Poison is set aside, or is not, and that Sound goes on.
func (p *play) checkAside(when string, want bool) {
	p.t.Helper()
	w := p.watch()
	p.command("pass 30s")
	if aside := w.evaluated["poison_level > 1"] == 0; aside != want || w.evaluated["cpu_usage > 80"] != 2 {
		p.t.Errorf("%s: evaluated were %v", when, w.evaluated)
	}
	for _, r := range p.alerts.Rules() {
		wrong := strings.HasPrefix(r.Error, "set aside since ") && r.Health == "err"
		if wrong != (want && r.Name == "Poison") {
			p.t.Errorf("%s: rule %s is %s: %s", when, r.Name, r.Health, r.Error)
		}
	}
	h := p.alerts.Health()
	if (h.Status == health.Degraded && strings.Contains(h.Reason, "rule Poison of the group g is not evaluated: ")) != want {
		p.t.Errorf("%s: health says %+v", when, h)
	}
	told := strings.Count(p.output.String(), "notify firing: RuleSetAside rule=Poison rule_group=g")
	ended := strings.Count(p.output.String(), "notify resolved: RuleSetAside rule=Poison rule_group=g")
	if told != 1 && want || ended != told && !want {
		p.t.Errorf("%s: told %d times, its end %d times:\n%s", when, told, ended, p.output.String())
	}
}

// TestDeaths: a rule during whose evaluation the agent died twice is set aside, also
// after another start, until the configuration is loaded again. A second text is
// another rule.
func TestDeaths(t *testing.T) {
	p := newPlay(t, poisonous)
	p.command("set cpu_usage 90")
	p.command("set poison_level 1")
	path := filepath.Join(p.dir, "alerting", suspectsFile)
	die := func() {
		t.Helper()
		var left []byte
		p.watch().before = func(text string) {
			if strings.Contains(text, "poison") {
				var err error
				if left, err = os.ReadFile(path); err != nil {
					t.Error(err)
				}
			}
		}
		p.command("pass 15s")
		if err := p.alerts.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, left, 0o600); err != nil {
			t.Fatal(err)
		}
		p.mono = 0
		p.open()
	}
	die()
	p.checkAside("after one death", false)
	die()
	p.checkAside("after two deaths", true)
	p.command("kill")
	p.checkAside("after another start", true)
	if err := p.alerts.Reload(t.Context(), p.config); err != nil {
		t.Fatal(err)
	}
	p.checkAside("after a reload", false)
	die()
	p.checkAside("after another death", false)
	die()
	if p.alerts.suspects.aside(p.alerts.find("Poison")) == nil {
		t.Error("it is not set aside again")
	}
	changed := strings.Replace(poisonous, "poison_level > 1", "poison_level > 2", 1)
	if err := os.WriteFile(p.config.Rules[0], []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	p.command("kill")
	if r := p.alerts.find("Poison"); p.alerts.suspects.aside(r) != nil {
		t.Error("the changed rule is set aside")
	}
}

// TestStrikes: a rule that exceeds its memory again and again is set aside; one that
// fails otherwise, or now and then, is not.
func TestStrikes(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int // evaluations of an hour
	}{
		"memory":    {&query.Error{Type: query.Execution, Err: query.ErrMemory}, maxStrikes},
		"samples":   {&query.Error{Type: query.Execution, Err: promql.ErrTooManySamples("query execution")}, maxStrikes},
		"time":      {&query.Error{Type: query.Timeout, Err: context.DeadlineExceeded}, maxSlow},
		"no store":  {&query.Error{Type: query.Unavailable, Err: context.Canceled}, 60},
		"otherwise": {&query.Error{Type: query.Execution, Err: os.ErrInvalid}, 60},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, poisonous)
			w := p.watch()
			w.err = c.err
			for range 60 {
				p.wall, p.boot, p.mono = p.wall.Add(15*time.Second), p.boot+15*time.Second, p.mono+15*time.Second
				p.alerts.Evaluate(t.Context())
			}
			if got := w.evaluated["poison_level > 1"]; got != c.want {
				t.Errorf("it was evaluated %d times, want %d", got, c.want)
			}
		})
	}
}

// TestFullSuspects: more rules than are remembered, and a damaged file, are no error.
func TestFullSuspects(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerting", suspectsFile)
	s := openSuspects(path, dawn)
	for i := range 2 * maxSuspects {
		s.of(strings.Repeat("x", i+1), strings.Repeat("n", 900), "g").Aside = "a reason"
		s.write(dawn)
	}
	again := openSuspects(path, dawn)
	if n := len(again.all); n == 0 || n > maxSuspects || again.all[n-1].Content != strings.Repeat("x", 2*maxSuspects) {
		t.Errorf("%d rules are remembered", n)
	}
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s = openSuspects(path, dawn); len(s.all) != 0 {
		t.Errorf("garbage is %v", s.all)
	}
}
