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

// startTimeout is the time limit for a program to become ready on a busy machine.
const startTimeout = time.Minute

// TestCollectorForwardsMetrics sends one metric over OTLP/gRPC to a real Collector, which
// sends it on as OTLP/HTTP with JSON.
func TestCollectorForwardsMetrics(t *testing.T) {
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
			t.Errorf("the Collector sent %s", body)
		}
	case <-p.Exited():
		t.Fatalf("the Collector ended: %v", p.Err())
	case <-time.After(startTimeout):
		t.Fatal("the Collector sent nothing")
	}
	if err := p.Stop(); err != nil {
		t.Errorf("the Collector ended with %v", err)
	}
}

// TestCollectorHasItsComponents validates a configuration that uses every
// component of the manifest. The subcommand components of 0.149.0 would leave out the
// exporter otlp_http.
func TestCollectorHasItsComponents(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "collector.yaml")
	write(t, file, `
extensions:
  health_check: {}
  pprof: {}
  file_storage: {directory: "${env:FOLDER}"}
receivers:
  otlp: {protocols: {grpc: {}, http: {}}}
processors:
  memory_limiter: {check_interval: 1s, limit_mib: 200}
  resource: {attributes: [{key: tier, action: delete}]}
connectors:
  routing:
    default_pipelines: [metrics/out]
    table: [{context: resource, condition: 'attributes["tier"] == "1m"', pipelines: [metrics/out]}]
exporters:
  otlp_http: {endpoint: "http://127.0.0.1:1", sending_queue: {storage: file_storage}}
  debug: {}
service:
  extensions: [health_check, pprof, file_storage]
  pipelines:
    metrics/in: {receivers: [otlp], processors: [memory_limiter], exporters: [routing]}
    metrics/out: {receivers: [routing], processors: [resource], exporters: [otlp_http, debug]}
`)
	cmd := Command(t, "otelcol", "validate", "--config=file:"+file, "--config=yaml:service::telemetry::metrics::level: none")
	cmd.Env = append(cmd.Environ(), "FOLDER="+folder)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("otelcol validate: %v\n%s", err, output)
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

func TestVictoriaMetricsIsReady(t *testing.T) {
	version, err := Command(t, "victoria-metrics", "-version").CombinedOutput()
	if err != nil || !strings.Contains(string(version), "victoria-metrics-v1.130.0\n") {
		t.Errorf("victoria-metrics -version: %s, %v", version, err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", FreePort(t))
	p := Start(t, Command(t, "victoria-metrics", "-httpListenAddr="+address, "-storageDataPath="+t.TempDir()))
	p.WaitHTTP("http://"+address+"/health", startTimeout)
	if err := p.Stop(); err != nil {
		t.Errorf("VictoriaMetrics ended with %v", err)
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
