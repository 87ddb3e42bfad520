package app

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
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

// TestPrometheusNames: metrics are found by OpenTelemetry's names too, and metadata tell
// what custom metrics are and what minimum and maximum are of.
func TestPrometheusNames(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "b2.prom"), []byte("# TYPE b2_rst counter\nb2_rst_total 10\n# HELP b2_level Level.\n# TYPE b2_level gauge\nb2_level 3\nb2_odd 4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := run(t, configure(t, "--custom.textfile="+dir))
	select {
	case <-a.history.store.Opened():
	case <-time.After(patience):
		t.Fatal("the store does not open")
	}
	type series struct{ Metric map[string]string }
	for deadline := time.Now().Add(patience); ; a.tick() {
		var found struct{ Data struct{ Result []series } }
		body := get(t, a.socket, "/prometheus/api/v1/query?query="+url.QueryEscape(`{"system.memory.usage"} or b2_rst_total`))
		if err := json.Unmarshal(body, &found); err != nil {
			t.Fatal(err)
		}
		named := func(name string) bool {
			return slices.ContainsFunc(found.Data.Result, func(s series) bool { return s.Metric["__name__"] == name })
		}
		if named("system_memory_usage_bytes") && named("b2_rst_total") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s", body)
		}
	}
	var listed struct{ Data []map[string]string }
	if body := get(t, a.socket, "/prometheus/api/v1/series?match[]="+url.QueryEscape(`{"system.cpu.time"}`)); json.Unmarshal(body, &listed) != nil || len(listed.Data) == 0 || listed.Data[0]["__name__"] != "system_cpu_time_seconds_total" {
		t.Errorf("%s", body)
	}
	var metadata struct {
		Data map[string][]struct{ Type, Unit, Help string }
	}
	if err := json.Unmarshal(get(t, a.socket, "/prometheus/api/v1/metadata"), &metadata); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"system_cpu_time_seconds_total": "counter", "b2_rst_total": "counter", "b2_level": "gauge", "b2_odd": "unknown", "b2_level_max": "gauge",
		"b2_rst_rate_max_per_second": "gauge", "system_memory_usage_min_bytes": "gauge",
	} {
		if got := metadata.Data[name]; len(got) != 1 || got[0].Type != want {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	// A text file can have no name of these, but any other, whatever it begins with.
	text := "node_md_state 1\nprocess_exporter_up 1\n"
	own := 0
	for name := range metadata.Data {
		if !strings.HasPrefix(name, "sysotel_") && !strings.HasPrefix(name, "b2_") {
			text += name + " 12345.5\n"
			own++
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "own.prom"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	poll(t, func() error {
		page := string(get(t, a.socket, "/metrics"))
		if !strings.Contains(page, "node_md_state{") || !strings.Contains(page, "process_exporter_up{") {
			return errors.New("the page has no names of other programs")
		}
		for line := range strings.Lines(page) {
			if strings.HasSuffix(line, " 12345.5\n") {
				t.Errorf("a text file gives a metric of the agent's: %s", line)
			}
		}
		return nil
	})
	if own < 50 {
		t.Errorf("only %d names were tried", own)
	}
	if got := metadata.Data["b2_level_max"]; len(got) == 1 && got[0].Help != "Maximum of b2_level since the point before. Level." {
		t.Errorf("%+v", got)
	}
}
