package app

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestPrometheusStatus: the agent describes its configuration without secrets, itself and
// its storage on Prometheus' paths.
func TestPrometheusStatus(t *testing.T) {
	a := run(t, configure(t, "--otlp.headers=authorization=hush"))
	select {
	case <-a.history.store.Opened():
	case <-time.After(patience):
		t.Fatal("the store does not open")
	}
	status := func(path string, to any) string {
		t.Helper()
		body := get(t, a.socket, "/prometheus/api/v1/"+path)
		answer := struct{ Data any }{to}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatalf("%s: %v in %s", path, err, body)
		}
		return string(body)
	}
	var settings struct{ YAML string }
	var flags map[string]string
	for _, body := range []string{status("status/config", &settings), status("status/flags", &flags)} {
		if strings.Contains(body, "hush") {
			t.Errorf("a secret is told: %s", body)
		}
	}
	if !strings.Contains(settings.YAML, "sampling:\n    interval: 1s\n") || flags["sampling.interval"] != "1s" {
		t.Errorf("%s\n%v", settings.YAML, flags)
	}
	var program struct {
		StartTime, LastConfigTime time.Time
		ReloadConfigSuccess       bool
		StorageRetention          string
	}
	status("status/runtimeinfo", &program)
	if age := time.Since(program.StartTime); age < 0 || age > patience || program.LastConfigTime.IsZero() || !program.ReloadConfigSuccess || !strings.Contains(program.StorageRetention, " of 1s, ") {
		t.Errorf("%+v", program)
	}
	for deadline := time.Now().Add(patience); ; a.tick() {
		var storage struct {
			HeadStats               struct{ NumSeries uint64 }
			SeriesCountByMetricName []struct{ Name string }
		}
		if status("status/tsdb?limit=3", &storage); storage.HeadStats.NumSeries > 50 && len(storage.SeriesCountByMetricName) == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", storage)
		}
	}
	var blocks struct{ Blocks []any }
	if status("status/tsdb/blocks", &blocks); blocks.Blocks == nil {
		t.Error("the blocks are no list")
	}
	var features map[string]map[string]bool
	if status("features", &features); !features["promql"]["duration_expr"] || !features["promql_functions"]["mad_over_time"] || !features["templating_functions"]["humanize"] {
		t.Errorf("%v", features)
	}
}
