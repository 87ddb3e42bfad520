package otelcollector

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sysotel/agent/store"
	"sysotel/otel-collector/programs"
)

// TestCollectorConfig has the Collector validate its configuration, with the defaults
// and with every variable set, as docker-compose.yml does.
func TestCollectorConfig(t *testing.T) {
	f := func(variables ...string) {
		t.Helper()
		cmd := programs.Command(t, "otelcol", "validate", "--config=collector.yaml")
		cmd.Env = append(os.Environ(), variables...)
		cmd.Env = append(cmd.Env, "COLLECTOR_QUEUE="+t.TempDir())
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("with %v: %v\n%s", variables, err, output)
		}
	}
	f()
	f("COLLECTOR_GRPC=0.0.0.0:4317", "COLLECTOR_HTTP=0.0.0.0:4318", "COLLECTOR_HEALTH=0.0.0.0:13133",
		"COLLECTOR_SELF_HOST=0.0.0.0", "COLLECTOR_SELF_PORT=8889",
		"VM_1S=http://vm-1s:8428", "VM_1M=http://vm-1m:8428", "VM_5M=http://vm-5m:8428", "VM_1H=http://vm-1h:8428")
}

// TestPrometheusConfig has promtool validate the configuration and the rule files, and
// run the tests of the rules.
func TestPrometheusConfig(t *testing.T) {
	f := func(args ...string) {
		t.Helper()
		if output, err := programs.Command(t, "promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, output)
		}
	}
	f("check", "config", "--lint=all", "--lint-fatal", "prometheus/prometheus.yml")
	// The token file of these two exists only in a container.
	f("check", "config", "--syntax-only", "prometheus/compose.yml", "prometheus/cluster.yml")
	tests, err := filepath.Glob("prometheus/testdata/*.yml")
	if err != nil || len(tests) < 2 {
		t.Fatalf("%d tests of rules, %v", len(tests), err)
	}
	f(append([]string{"test", "rules"}, tests...)...)
}

// TestNodesKeepAsLongAsTheAgent: a tier has the same retention in the agent's own store
// and in its node, so that a result does not depend on its source. A node's year has
// 365 days.
func TestNodesKeepAsLongAsTheAgent(t *testing.T) {
	retentions := map[string]string{}
	for _, tier := range store.Defaults().Tiers {
		days := int(tier.Retention / (24 * time.Hour))
		name := strings.NewReplacer("m0s", "m", "h0m0s", "h").Replace(tier.Resolution.String())
		retentions[name] = map[int]string{1: "1d", 7: "7d", 30: "30d", 365: "1y"}[days]
	}
	files, err := filepath.Glob("victoriametrics/[0-9]*.env")
	if err != nil || len(files) != len(retentions) {
		t.Errorf("%d files %v for the tiers %v, %v", len(files), files, retentions, err)
	}
	for name, retention := range retentions {
		variables, err := programs.Environment(filepath.Join("victoriametrics", name+".env"))
		if err != nil || !slices.Contains(variables, "VM_retentionPeriod="+retention) {
			t.Errorf("the node of tier %s has %v, %v; the agent keeps it for %q", name, variables, err, retention)
		}
	}
}
