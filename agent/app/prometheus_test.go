package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sysotel/otel-collector/programs"
)

// prometheusServer is a real Prometheus that scrapes one agent each second.
type prometheusServer struct {
	tb      testing.TB
	client  *http.Client
	url     string
	process *programs.Process
}

// newPrometheus starts one; more are additional lines of its scrape configuration.
func newPrometheus(tb testing.TB, target string, more ...string) *prometheusServer {
	tb.Helper()
	return startPrometheus(tb, fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: sysotel
    static_configs: [{targets: ["%s"]}]
    %s
`, target, strings.Join(more, "\n    ")))
}

// startPrometheus starts one with a complete configuration, in which <self> is its own
// address.
func startPrometheus(tb testing.TB, text string) *prometheusServer {
	tb.Helper()
	folder := tb.TempDir()
	file := filepath.Join(folder, "prometheus.yml")
	address := fmt.Sprintf("127.0.0.1:%d", programs.FreePort(tb))
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "<self>", address)), 0o600); err != nil {
		tb.Fatal(err)
	}
	p := &prometheusServer{tb: tb, client: http.DefaultClient, url: "http://" + address}
	p.process = programs.Start(tb, programs.Command(tb, "prometheus",
		"--config.file="+file, "--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address="+address,
		"--log.level=debug"))
	p.process.WaitHTTP(p.url+"/-/ready", patience)
	return p
}

// sampleOf is one sample of a query result.
type sampleOf struct {
	Metric map[string]string
	Value  [2]any
}

// query evaluates an expression now, and returns the warnings too.
func (p *prometheusServer) query(expression string) (samples []sampleOf, warnings []string, err error) {
	var answer struct {
		Data     struct{ Result []sampleOf }
		Warnings []string
	}
	if err := p.get("/api/v1/query?query="+url.QueryEscape(expression), &answer); err != nil {
		return nil, nil, err
	}
	return answer.Data.Result, answer.Warnings, nil
}

func (p *prometheusServer) get(path string, to any) error {
	body, err := fetch(context.Background(), p.client, p.url+path)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, to)
}

// seedQueries are the queries of the first version's documentation.
var seedQueries = []string{
	"node_cpu_usage_percent",
	"node_memory_usage_percent",
	"rate(node_disk_io_read_bytes_total[5m])",
	"rate(node_network_receive_bytes_total[1m]) * 8 / 1000000",
}

// TestPrometheusScrapes has a real Prometheus scrape the page, and queries it as users
// do.
func TestPrometheusScrapes(t *testing.T) {
	t.Parallel()
	a := run(t, configure(t))
	p := newPrometheus(t, a.ScrapeAddr().String())
	for _, expression := range seedQueries {
		poll(t, func() error {
			samples, warnings, err := p.query(expression)
			if err == nil && (len(samples) == 0 || len(warnings) > 0) {
				err = fmt.Errorf("%s returns %d samples and the warnings %q", expression, len(samples), warnings)
			}
			return err
		})
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	expect := func(expression, want string) {
		t.Helper()
		samples, warnings, err := p.query(expression)
		if err != nil || len(samples) != 1 || len(warnings) > 0 || samples[0].Value[1] != want {
			t.Errorf("%s returns %v, %q, %v; want one sample of %s", expression, samples, warnings, err, want)
		}
	}
	expect("up", "1")
	expect("scrape_samples_scraped - scrape_samples_post_metric_relabeling", "0")
	expect(fmt.Sprintf("target_info{host_name=%q,service_name=%q}", name, "sysotel"), "1")
	expect(fmt.Sprintf("sysotel_agent_info{host_name=%q,version=%q}", name, "test"), "1")
	// Each of our series has the label host_name.
	expect(fmt.Sprintf(`count({__name__=~".+",__name__!~"up|scrape_.*",host_name!=%q}) or vector(0)`, name), "0")

	for metric, labels := range promisedSeries() {
		samples, _, err := p.query(metric)
		if err != nil || len(samples) == 0 {
			t.Errorf("%s returns %d samples, %v", metric, len(samples), err)
			continue
		}
		for _, label := range labels {
			if samples[0].Metric[label] == "" {
				t.Errorf("%s has no label %s: %v", metric, label, samples[0].Metric)
			}
		}
	}
	p.checkLog()
}

// promisedSeries are the documented metrics by their names on the page, with the labels
// that distinguish their series.
func promisedSeries() map[string][]string {
	return map[string][]string{
		"sysotel_cpu_usage_ratio": nil, "sysotel_cpu_core_usage_ratio": {"cpu"}, "system_cpu_logical_count": nil,
		"system_cpu_frequency_hertz": {"cpu"}, "system_cpu_load_average_1m": nil, "system_cpu_load_average_5m": nil, "system_cpu_load_average_15m": nil,
		"system_memory_limit_bytes": nil, "system_linux_memory_available_bytes": nil,
		`system_memory_usage_bytes{state="used"}`: nil, `system_memory_utilization_ratio{state="used"}`: nil,
		"sysotel_swap_limit_bytes": nil, "sysotel_swap_usage_bytes": nil,
		`sysotel_disk_limit_bytes{mountpoint=""}`: nil, `sysotel_disk_usage_bytes{mountpoint=""}`: nil,
		`sysotel_disk_free_bytes{mountpoint=""}`: nil, `sysotel_disk_utilization_ratio{mountpoint=""}`: nil,
		`sysotel_disk_io_rate_bytes_per_second{device=""}`: {"direction"}, `sysotel_disk_operations_rate_per_second{device=""}`: {"direction"},
		`sysotel_network_io_rate_bytes_per_second{device=""}`: {"direction"}, `sysotel_network_packets_rate_per_second{device=""}`: {"direction"},
		`sysotel_network_errors_rate_per_second{device=""}`: {"direction"}, `sysotel_network_dropped_rate_per_second{device=""}`: {"direction"},
		"process_cpu_utilization_ratio": {"process_executable_name", "state"}, "process_memory_utilization_ratio": {"process_executable_name"},
		"process_memory_usage_bytes": {"process_executable_name"}, "process_threads": {"process_executable_name"},
		"system_processes_count": {"status"},
	}
}

// checkLog: Prometheus logged no scrape errors, such as duplicate or out-of-order
// samples.
func (p *prometheusServer) checkLog() {
	p.tb.Helper()
	var targets struct {
		Data struct {
			ActiveTargets []struct{ Health, LastError string }
		}
	}
	if err := p.get("/api/v1/targets", &targets); err != nil {
		p.tb.Fatal(err)
	}
	for _, target := range targets.Data.ActiveTargets {
		if target.Health != "up" || target.LastError != "" {
			p.tb.Errorf("the target is %+v", target)
		}
	}
	lines := slices.Collect(strings.Lines(p.process.Output()))
	for _, line := range lines {
		if strings.Contains(line, "scrape_pool=") || strings.Contains(line, "level=WARN") && strings.Contains(line, "scrape") {
			p.tb.Errorf("Prometheus logged: %s", line)
		}
	}
}
