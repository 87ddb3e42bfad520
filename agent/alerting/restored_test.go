package alerting

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sysotel/agent/health"
)

// TestRestoredElsewhere: rules from the API come back with another configuration. One whose
// channel is configured no more is evaluated all the same; one that does not fit is listed
// with the reason, and keeps nobody from changing it or others.
func TestRestoredElsewhere(t *testing.T) {
	p := newPlay(t, "groups: []")
	threshold := func(name string, channels ...string) Threshold {
		return Threshold{Name: name, Expr: "a", Op: ">", Threshold: 5, Channels: channels, Enabled: true}
	}
	for _, one := range []Threshold{threshold("Paged", "pager"), threshold("Both", "mail", "pager"), threshold("Mailed", "mail"), threshold("Twice", "mail")} {
		if _, err := p.alerts.AddThreshold(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.alerts.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "rules.yml"), []byte("groups: [{name: g, rules: [{alert: Twice, expr: a > 7}]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.channels = []string{"mail"}
	p.open()

	listed := func() map[string]RuleStatus {
		found := map[string]RuleStatus{}
		for _, r := range p.alerts.Rules() {
			found[r.Source+" "+r.Name] = r
		}
		return found
	}
	for _, name := range []string{"api Paged", "api Both", "api Mailed", "file Twice"} {
		if r, ok := listed()[name]; !ok || !r.Enabled || r.Error != "" || r.Health == "err" {
			t.Errorf("%s is %+v", name, r)
		}
	}
	if r := listed()["api Paged"]; r.Threshold == nil || !slices.Equal(r.Threshold.Channels, []string{"pager"}) {
		t.Errorf("it has lost its channel: %+v", r.Threshold)
	}
	if r := listed()["api Twice"]; r.Health != "err" || r.Threshold == nil || r.Threshold.Name != "Twice" || !strings.Contains(r.Error, "is not evaluated") || !strings.Contains(r.Error, "duplicate rule Twice") {
		t.Errorf("what does not fit is %+v", r)
	}
	reason := func(want string) {
		t.Helper()
		if c := p.alerts.Health(); c.Status != health.Degraded || !strings.Contains(c.Reason, want) {
			t.Errorf("health says %s %q, want %q", c.Status, c.Reason, want)
		}
	}
	reason("not evaluated: Twice; change or delete them")

	// Others can be changed meanwhile, and a new one must fit.
	if _, err := p.alerts.AddThreshold(t.Context(), threshold("New", "mail")); err != nil {
		t.Error(err)
	}
	var invalid ValidationErrors
	if _, err := p.alerts.AddThreshold(t.Context(), threshold("Newer", "pager")); !errors.As(err, &invalid) || invalid[0].Field != "channels[0]" {
		t.Errorf("a new one with a channel that is not there: %v", err)
	}
	if _, err := p.alerts.AddThreshold(t.Context(), threshold("Twice", "mail")); !errors.Is(err, ErrExists) {
		t.Errorf("a new one of that name: %v", err)
	}
	if n := strings.Count(p.logged.String(), "does not fit the configuration"); n != 1 {
		t.Errorf("the log says %d times what does not fit", n)
	}
	if err := p.alerts.RemoveThreshold(t.Context(), "Twice"); err != nil {
		t.Error(err)
	}
	if _, ok := listed()["api Twice"]; ok {
		t.Error("it is listed after it was deleted")
	}
	reason("Both (pager), Paged (pager)")
	for _, name := range []string{"Paged", "Both"} {
		if _, err := p.alerts.ChangeThreshold(t.Context(), name, threshold(name, "mail")); err != nil {
			t.Error(err)
		}
	}
	if c := p.alerts.Health(); strings.Contains(c.Reason, "channels") {
		t.Errorf("health says %q", c.Reason)
	}
}
