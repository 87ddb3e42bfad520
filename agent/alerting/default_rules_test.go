package alerting

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sysotel/agent/query"
	"sysotel/otel-collector/programs"
)

// TestDefaultRules: promtool accepts the built-in rules, and they pass its tests.
func TestDefaultRules(t *testing.T) {
	promtool(t, "check", "rules", "sysotel_alerts.yml")
	promtool(t, "test", "rules", "testdata/sysotel_alerts.test.yml")
	promtool(t, "test", "rules", "testdata/sysotel_alerts_week.test.yml")
}

// TestPressureOfProcessorsIsNoLoad: it counts waiting for a quota, on a machine that is
// idle, so no built-in rule takes it for a busy machine.
func TestPressureOfProcessorsIsNoLoad(t *testing.T) {
	for _, file := range []string{"sysotel_alerts.yml", "../../otel-collector/prometheus/system_alerts.yml", "../../otel-collector/prometheus/stack_alerts.yml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "pressure_") && !regexp.MustCompile(`pressure_\w+\{[^}]*resource="(memory|io|irq)"`).Match(text) {
			t.Errorf("%s has a rule on the pressure of processors", file)
		}
		if bytes.Contains(text, []byte(`resource="cpu"`)) {
			t.Errorf("%s has a rule on the pressure of processors", file)
		}
	}
}

// TestExport: the export is a rule file, with thresholds as ordinary rules.
func TestExport(t *testing.T) {
	p := newPlay(t, "groups: []\n")
	p.config.Defaults = true
	if err := p.alerts.Reload(t.Context(), p.config); err != nil {
		t.Fatal(err)
	}
	back := 70.0
	for _, threshold := range []Threshold{
		{Name: `Odd "name" \ {{ 1 }}`, Metric: "cpu_usage", Op: ">", Threshold: 80, Recover: &back, For: "5m", Remind: "4h", Channels: []string{"mail", "pager"}, Enabled: true},
		{Name: "Dotted", Metric: "cpu.usage", Match: map[string]string{"core": "!~cpu[01]", "device": `a"b`}, Op: "<=", Threshold: -1e9, Enabled: true},
		{Name: "Asleep", Expr: "up", Op: "!=", Threshold: 1},
	} {
		if _, err := p.alerts.AddThreshold(t.Context(), threshold); err != nil {
			t.Errorf("%s: %v", threshold.Name, err)
		}
	}
	text, err := p.alerts.Export()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "exported.yml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
	again, err := (&loader{parser: query.NewParser(), querier: p.querier, channels: []string{"mail", "pager"}, log: discard()}).load([]document{{file: path, text: text}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(again), len(p.alerts.rules); got != want {
		t.Errorf("%d rules are exported, want the %d that are evaluated", got, want)
	}
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	if output, err := programs.Command(t, "promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, output)
	}
}
