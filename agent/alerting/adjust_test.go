package alerting

import (
	"errors"
	"strings"
	"testing"

	"sysotel/agent/clock"
)

// TestAdjust changes built-in rules, which survives a restart, and resets them.
func TestAdjust(t *testing.T) {
	dir := t.TempDir()
	start := func(c Config) *Alerting {
		t.Helper()
		c.Interval = Defaults().Interval
		a, err := Open(t.Context(), Options{Config: c, Dir: dir, Host: "h", Querier: &oneValue{}, Clock: clock.New(clock.Options{})})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Close() })
		return a
	}
	value := func(v float64) *float64 { return &v }
	f := func(a *Alerting, name string, by Adjustment, expr, hold, description string) {
		t.Helper()
		s, err := a.AdjustRule(t.Context(), name, by)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if s.Expr != expr || s.For != hold || s.Annotations["description"] != description || s.Builtin == nil || s.Builtin.Adjusted != (by != Adjustment{}) {
			t.Errorf("%s is %s for %s, %+v: %q", name, s.Expr, s.For, s.Builtin, s.Annotations["description"])
		}
	}
	a := start(Config{Defaults: true})
	before, err := a.ruleStatus("ProcessorsBusy")
	if err != nil || before.Builtin == nil || *before.Builtin.Threshold != 80 || *before.Builtin.Current != 80 || before.Builtin.Op != ">" || before.Builtin.For != "5m" {
		t.Fatalf("%+v, %v", before.Builtin, err)
	}
	f(a, "ProcessorsBusy", Adjustment{Threshold: value(95), For: "10m"}, `100 * avg_over_time(sysotel_cpu_usage_ratio[1m:1s]) > 95`, "10m",
		"It fires > 95 for 10m; as built in, > 80 for 5m.")
	// Each convention has the threshold; the minimum size has not.
	f(a, "FilesystemNearlyFull", Adjustment{Threshold: value(70)},
		strings.ReplaceAll(ruleExpr(t, a, "FilesystemNearlyFull"), "> 85", "> 70"), "1m", "It fires > 70 for 1m; as built in, > 85 for 1m.")
	// A rule without a threshold has a duration.
	f(a, "FilesystemReadOnly", Adjustment{For: "2m"}, ruleExpr(t, a, "FilesystemReadOnly"), "2m", "It fires for 2m; as built in, at once.")
	// What a rule says of its threshold follows.
	if s, err := a.AdjustRule(t.Context(), "FilesystemFullWithinADay", Adjustment{Threshold: value(1e9)}); err != nil || s.Annotations["threshold"] != "< 1e+09" {
		t.Errorf("%+v, %v", s.Annotations, err)
	}

	for name, by := range map[string]Adjustment{
		"no threshold": {Threshold: value(1)}, "no duration": {For: "soon"}, "too long": {For: "31d"},
	} {
		rule := "ProcessorsBusy"
		if name == "no threshold" {
			rule = "FilesystemReadOnly"
		}
		var invalid ValidationErrors
		if _, err := a.AdjustRule(t.Context(), rule, by); !errors.As(err, &invalid) || len(invalid) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := a.AdjustRule(t.Context(), "Nobody", Adjustment{For: "1m"}); !errors.Is(err, ErrUnknown) {
		t.Errorf("a rule that is not there: %v", err)
	}
	if _, err := a.AddThreshold(t.Context(), Threshold{Name: "Own", Expr: "up", Op: ">", Threshold: 1, Enabled: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.AdjustRule(t.Context(), "Own", Adjustment{For: "1m"}); !errors.Is(err, ErrFixed) {
		t.Errorf("a threshold: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}

	// Without the built-in rules they are kept, and back with them.
	a = start(Config{})
	if _, err := a.AdjustRule(t.Context(), "ProcessorsBusy", Adjustment{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("without the built-in rules: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = start(Config{Defaults: true})
	if s, err := a.ruleStatus("ProcessorsBusy"); err != nil || s.For != "10m" || *s.Builtin.Current != 95 || !s.Builtin.Adjusted {
		t.Errorf("after a restart: %+v, %v", s, err)
	}
	f(a, "ProcessorsBusy", Adjustment{}, before.Expr, "5m", before.Annotations["description"])
}

// ruleExpr is the expression of a rule.
func ruleExpr(t *testing.T, a *Alerting, name string) string {
	t.Helper()
	s, err := a.ruleStatus(name)
	if err != nil {
		t.Fatal(err)
	}
	return s.Expr
}
