// Package programs gives tests the real programs that sysotel works with, such as the
// OpenTelemetry Collector and Prometheus: it builds them from pinned sources and starts
// them for one test.
//
// It is for tests and the Makefile; the agent never imports it. It downloads nothing
// itself: everything comes through the go command and is pinned by the go.mod files
// under otel-collector/tools and by otel-collector/builder.yaml. A built program stays
// in bin/tools under a name that changes with those files, so each definition is built
// once.
//
// Read this file first for the table of programs, then build.go, which builds one, and
// process.go, which starts one for a test.
package programs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// table lists every program. To add one, pin it with a tool line in a go.mod under
// otel-collector/tools and add a row here.
func table() []program {
	return []program{
		collector("otelcol", "otel-collector/builder.yaml", "otelcol-tiers"),
		// The builder of the Collector, often called ocb.
		goTool("builder", "collector", "go.opentelemetry.io/collector/cmd/builder", nil),
		goTool("prometheus", "prometheus", "github.com/prometheus/prometheus/cmd/prometheus", prometheusFlags),
		goTool("promtool", "prometheus", "github.com/prometheus/prometheus/cmd/promtool", prometheusFlags),
		// What the scrape page is held against.
		goTool("node_exporter", "node_exporter", "github.com/prometheus/node_exporter", nil),
		// One node of VictoriaMetrics: the whole database in one program.
		goTool("victoria-metrics", "victoriametrics", "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics", victoriaMetricsFlags),
		// For the InfluxDB recipe.
		goTool("telegraf", "telegraf", "github.com/influxdata/telegraf/cmd/telegraf", telegrafFlags),
		// Peers whose cost is measured beside the agent's, with what reads a host.
		goTool("telegraf-host", "telegraf", "github.com/influxdata/telegraf/cmd/telegraf", telegrafHostFlags),
		collector("otelcol-host", "otel-collector/tools/collector/host.yaml", "otelcol-host"),
		goTool("golangci-lint", "lint", "github.com/golangci/golangci-lint/v2/cmd/golangci-lint", nil),
		goTool("staticcheck", "lint", "honnef.co/go/tools/cmd/staticcheck", nil),
		goTool("gofumpt", "lint", "mvdan.cc/gofumpt", nil),
		goTool("gotestsum", "testsum", "gotest.tools/gotestsum", nil),
		// They make clients of the OpenAPI document.
		goTool("oapi-codegen", "openapi", "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen", nil),
		goTool("ogen", "openapi", "github.com/ogen-go/ogen/cmd/ogen", nil),
		goTool("govulncheck", "vuln", "golang.org/x/vuln/cmd/govulncheck", nil),
		// For the chart and the manifest.
		goTool("helm", "kubernetes", "helm.sh/helm/v3/cmd/helm", nil),
		goTool("kubeconform", "kubernetes", "github.com/yannh/kubeconform/cmd/kubeconform", nil),
		// What `make release` runs.
		ourTool("release", "agent/packaging/release"),
	}
}

// Names returns the names of all programs, in the order of the table.
func Names() []string {
	var names []string
	for _, p := range table() {
		names = append(names, p.name)
	}
	return names
}

// Build returns the path of the named program and builds it if it is missing. dir is
// any directory of the repository. The build prints to output. Concurrent callers, even
// in several processes, build a program once.
func Build(ctx context.Context, dir, name string, output io.Writer) (string, error) {
	root, err := findRoot(dir)
	if err != nil {
		return "", err
	}
	w := workshop{root: root, programs: table(), output: output}
	return w.build(ctx, name)
}

// Path returns the path of the named program, built if it is missing, which can take
// minutes. It ends the test if the build fails.
func Path(tb testing.TB, name string) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatalf("find the working directory: %v", err)
	}
	var output bytes.Buffer
	path, err := Build(tb.Context(), dir, name, &output)
	if err != nil {
		tb.Fatalf("%v\n%s", err, output.Bytes())
	}
	return path
}

// Command returns a command that runs the named program, ready for Start.
func Command(tb testing.TB, name string, args ...string) *exec.Cmd {
	tb.Helper()
	return exec.CommandContext(tb.Context(), Path(tb, name), args...)
}

// findRoot returns the root of the repository that contains dir: the nearest directory
// above with a go.mod of the module sysotel. It skips other modules, such as those under
// otel-collector/tools.
func findRoot(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the repository root: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if content, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && moduleName(string(content)) == "sysotel" {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find the repository root: no go.mod of module sysotel in or above %s", start)
		}
	}
}

// moduleName returns the module named by the content of a go.mod, or "".
func moduleName(goMod string) string {
	for line := range strings.Lines(goMod) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "module" {
			return strings.Trim(fields[1], `"`)
		}
	}
	return ""
}

// moduleVersion returns the version at which the content of a go.mod requires a
// module, or "".
func moduleVersion(goMod, module string) string {
	for line := range strings.Lines(goMod) {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) >= 2 && fields[0] == module {
			return fields[1]
		}
	}
	return ""
}
