package programs

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// startTimeout is how long a program may take to be ready on a busy machine.
const startTimeout = time.Minute

// TestCollectorPassesMetricsOn sends one metric over OTLP/gRPC into a real
// Collector and sees it come out as OTLP/HTTP with JSON.
func TestCollectorPassesMetricsOn(t *testing.T) {
	bodies := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/metrics" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %s with Content-Type %q, %v", r.URL.Path, r.Header.Get("Content-Type"), err)
		}
		bodies <- string(body)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "{}")
	}))
	defer server.Close()

	receiver := fmt.Sprintf("127.0.0.1:%d", FreePort(t))
	health := fmt.Sprintf("127.0.0.1:%d", FreePort(t))
	file := filepath.Join(t.TempDir(), "collector.yaml")
	write(t, file, fmt.Sprintf(`
extensions:
  health_check: {endpoint: "%s"}
receivers:
  otlp: {protocols: {grpc: {endpoint: "%s"}}}
exporters:
  otlp_http: {endpoint: "%s", encoding: json, compression: none}
service:
  extensions: [health_check]
  telemetry: {metrics: {level: none}}
  pipelines:
    metrics: {receivers: [otlp], exporters: [otlp_http]}
`, health, receiver, server.URL))

	p := Start(t, Command(t, "otelcol", "--config="+file))
	p.WaitHTTP("http://"+health, startTimeout)

	connection, err := grpc.NewClient(receiver, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := connection.Close(); err != nil {
			t.Error(err)
		}
	}()
	_, err = collectormetrics.NewMetricsServiceClient(connection).Export(t.Context(), oneMetric("system.smoke"))
	if err != nil {
		t.Fatalf("export: %v", err)
	}
	select {
	case body := <-bodies:
		if !strings.Contains(body, `"name":"system.smoke"`) || !strings.Contains(body, `"asInt":"42"`) {
			t.Errorf("the Collector passed on %s", body)
		}
	case <-p.Exited():
		t.Fatalf("the Collector ended: %v", p.Err())
	case <-time.After(startTimeout):
		t.Fatal("the Collector passed nothing on")
	}
	if err := p.Stop(); err != nil {
		t.Errorf("the Collector ended with %v", err)
	}
}

// TestCollectorHasItsComponents compares the built program with the components
// that the configurations of the stack use.
func TestCollectorHasItsComponents(t *testing.T) {
	output, err := Command(t, "otelcol", "components").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, name := range []string{
		"otlp", "memory_limiter", "resource", "routing", "otlp_http", "debug",
		"file_storage", "health_check", "pprof",
	} {
		if !strings.Contains(string(output), "- name: "+name+"\n") {
			t.Errorf("no component %s in\n%s", name, output)
		}
	}
	version, err := Command(t, "otelcol", "--version").CombinedOutput()
	if err != nil || strings.TrimSpace(string(version)) != "otelcol-tiers version 0.149.0" {
		t.Errorf("otelcol --version: %s, %v", version, err)
	}
}

func TestPrometheusIsReady(t *testing.T) {
	folder := t.TempDir()
	config := filepath.Join(folder, "prometheus.yml")
	write(t, config, "")
	address := fmt.Sprintf("127.0.0.1:%d", FreePort(t))
	p := Start(t, Command(t, "prometheus",
		"--config.file="+config,
		"--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--web.listen-address="+address))
	p.WaitHTTP("http://"+address+"/-/ready", startTimeout)
	if err := p.Stop(); err != nil {
		t.Errorf("Prometheus ended with %v", err)
	}
}

func TestPromtoolVersion(t *testing.T) {
	output, err := Command(t, "promtool", "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(output), "version 3.15.0") {
		t.Errorf("promtool --version: %v\n%s", err, output)
	}
}

// oneMetric is a request with one gauge of the value 42.
func oneMetric(name string) *collectormetrics.ExportMetricsServiceRequest {
	point := &metrics.NumberDataPoint{
		TimeUnixNano: uint64(time.Now().UnixNano()),
		Value:        &metrics.NumberDataPoint_AsInt{AsInt: 42},
	}
	metric := &metrics.Metric{
		Name: name,
		Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: []*metrics.NumberDataPoint{point}}},
	}
	return &collectormetrics.ExportMetricsServiceRequest{
		ResourceMetrics: []*metrics.ResourceMetrics{{
			ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: []*metrics.Metric{metric}}},
		}},
	}
}
