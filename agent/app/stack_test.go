//go:build linux

package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sysotel/otel-collector/programs"
)

// stack is a real Collector with the shipped configuration, and a real VictoriaMetrics
// node for each tier, on free ports.
type stack struct {
	tb     testing.TB
	folder string
	nodes  []*node
	// grpc and health are addresses of the Collector.
	grpc, health string
	env          []string
	config       string
	collector    *programs.Process
}

// node is one VictoriaMetrics node.
type node struct {
	tb       testing.TB
	tier     string
	dir, url string
	address  string
	env      []string
	process  *programs.Process
}

// newStack starts a stack for four tiers, finest first. The nodes do not deduplicate, so
// that a test sees every sample that arrived.
func newStack(tb testing.TB, tiers ...string) *stack {
	tb.Helper()
	return newStackAt(tb, "127.0.0.1", tiers...)
}

// newStackAt starts a stack that receives OTLP at another address of this machine.
func newStackAt(tb testing.TB, ip string, tiers ...string) *stack {
	tb.Helper()
	s := &stack{
		tb: tb, folder: tb.TempDir(),
		grpc:   fmt.Sprintf("%s:%d", ip, programs.FreePort(tb)),
		health: fmt.Sprintf("127.0.0.1:%d", programs.FreePort(tb)),
	}
	for i, slot := range []string{"1s", "1m", "5m", "1h"} {
		n := newNode(tb, slot, filepath.Join(s.folder, slot))
		n.tier = tiers[i]
		n.start()
		s.nodes = append(s.nodes, n)
		s.env = append(s.env, "VM_"+strings.ToUpper(slot)+"="+n.url)
	}
	s.env = append(
		s.env, "COLLECTOR_QUEUE="+filepath.Join(s.folder, "queue"), "COLLECTOR_GRPC="+s.grpc, "COLLECTOR_HEALTH="+s.health,
		fmt.Sprintf("COLLECTOR_HTTP=127.0.0.1:%d", programs.FreePort(tb)), fmt.Sprintf("COLLECTOR_SELF_PORT=%d", programs.FreePort(tb)),
	)
	s.config = filepath.Join(s.folder, "collector.yaml")
	text := collectorConfig(tb)
	for i, slot := range []string{"1s", "1m", "5m", "1h"} {
		// Marked with <>, so that a later replacement does not change it again.
		text = strings.ReplaceAll(text, `== "`+slot+`"`, `== "<`+tiers[i]+`>"`)
	}
	text = strings.NewReplacer(`"<`, `"`, `>"`, `"`).Replace(text)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	s.startCollector()
	return s
}

// urls returns the value of store.victoriametrics.
func (s *stack) urls() string {
	var words []string
	for _, n := range s.nodes {
		words = append(words, n.tier+"="+n.url)
	}
	return strings.Join(words, ",")
}

// collectorConfig returns the shipped configuration of the Collector.
func collectorConfig(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "otel-collector", "collector.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func (s *stack) startCollector() {
	s.tb.Helper()
	cmd := programs.Command(s.tb, "otelcol", "--config="+s.config)
	cmd.Env = append(os.Environ(), s.env...)
	s.collector = programs.Start(s.tb, cmd)
	s.collector.WaitHTTP("http://"+s.health, patience)
}

// newNode configures a node with the shipped settings of a tier; start can start it
// repeatedly.
func newNode(tb testing.TB, tier, dir string, env ...string) *node {
	tb.Helper()
	folder := filepath.Join("..", "..", "otel-collector", "victoriametrics")
	variables, err := programs.Environment(filepath.Join(folder, "all.env"), filepath.Join(folder, tier+".env"))
	if err != nil {
		tb.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", programs.FreePort(tb))
	return &node{
		tb: tb, tier: tier, dir: dir, address: address, url: "http://" + address,
		env: slices.Concat(variables, []string{"VM_dedup_minScrapeInterval=0s"}, env),
	}
}

func (n *node) start() {
	n.tb.Helper()
	script := filepath.Join("..", "..", "otel-collector", "victoriametrics", "node.sh")
	cmd := exec.CommandContext(n.tb.Context(), script, programs.Path(n.tb, "victoria-metrics"), n.dir, n.address)
	cmd.Env = append(os.Environ(), n.env...)
	n.process = programs.Start(n.tb, cmd)
	n.process.WaitHTTP(n.url+"/health", patience)
}

// stop ends the node as a service manager would.
func (n *node) stop() {
	n.tb.Helper()
	if err := n.process.Stop(); err != nil {
		n.tb.Errorf("the node of %s ended with %v", n.tier, err)
	}
}

// get requests a path of the node.
func (n *node) get(path string) []byte {
	n.tb.Helper()
	body, err := fetch(n.tb.Context(), http.DefaultClient, n.url+path)
	if err != nil {
		n.tb.Fatal(err)
	}
	return body
}

// samples has the values of each series by time in milliseconds; several values if a
// sample arrived several times.
type samples map[string]map[int64][]float64

// export returns all samples of the matching series, without staleness markers.
func (n *node) export(match string) samples {
	n.tb.Helper()
	n.get("/internal/force_flush")
	all := samples{}
	lines := bufio.NewScanner(strings.NewReader(string(n.get("/api/v1/export?start=0&reduce_mem_usage=1&match[]=" + match))))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var series struct {
			Metric     map[string]string
			Values     []*float64
			Timestamps []int64
		}
		if err := json.Unmarshal(lines.Bytes(), &series); err != nil {
			n.tb.Fatalf("the node of %s exports %.200s: %v", n.tier, lines.Bytes(), err)
		}
		name := seriesName(series.Metric)
		if all[name] == nil {
			all[name] = map[int64][]float64{}
		}
		for i, t := range series.Timestamps {
			if v := series.Values[i]; v != nil {
				all[name][t] = append(all[name][t], *v)
			}
		}
	}
	return all
}

// seriesName returns the labels as text, sorted by name.
func seriesName(labels map[string]string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		words = append(words, fmt.Sprintf("%s=%q", name, labels[name]))
	}
	return strings.Join(words, ",")
}
