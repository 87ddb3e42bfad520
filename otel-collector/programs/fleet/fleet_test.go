//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sysotel/otel-collector/programs"
)

// ready bounds the wait for a program to start.
const ready = time.Minute

// bundled is the bundled Collector in front of one node.
type bundled struct {
	tb                       testing.TB
	endpoint, node, self     string
	collector, database      *programs.Process
	queue, health, nodeFiles string
}

// startBundled starts a node without deduplication, with a MiB of caches for each host: a
// node whose caches do not hold its active series is several times slower. The Collector has
// its own configuration and as much memory as docker-compose.yml gives it.
func startBundled(tb testing.TB, hosts int) *bundled {
	tb.Helper()
	address := func() string { return fmt.Sprintf("127.0.0.1:%d", programs.FreePort(tb)) }
	b := &bundled{tb: tb, endpoint: address(), health: address(), queue: tb.TempDir(), nodeFiles: tb.TempDir()}
	b.database, b.node = programs.StartVictoriaMetricsAt(tb, address(), b.nodeFiles, "-retentionPeriod=1d", "-dedup.minScrapeInterval=0s", fmt.Sprintf("-memory.allowedBytes=%dMiB", max(64, hosts)))
	self := address()
	b.self = "http://" + self + "/metrics"
	cmd := programs.Command(tb, "otelcol", "--config="+filepath.Join("..", "..", "collector.yaml"))
	cmd.Env = append(
		os.Environ(), "VM_1S="+b.node, "COLLECTOR_QUEUE="+b.queue, "COLLECTOR_GRPC="+b.endpoint, "COLLECTOR_HTTP="+address(),
		"COLLECTOR_HEALTH="+b.health, "COLLECTOR_SELF_HOST=127.0.0.1", "COLLECTOR_SELF_PORT="+self[strings.LastIndexByte(self, ':')+1:],
		"COLLECTOR_MEMORY_MIB=240", "GOMEMLIMIT=160MiB",
	)
	b.collector = programs.Start(tb, cmd)
	b.collector.WaitHTTP("http://"+b.health, ready)
	return b
}

// resident is the resident memory of a program in MiB: now, or at its peak.
func resident(tb testing.TB, p *programs.Process, field string) float64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		tb.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + field + `:\s+(\d+) kB$`).FindSubmatch(text)
	if found == nil {
		tb.Fatalf("no %s in %s", field, text)
	}
	kib, err := strconv.Atoi(string(found[1]))
	if err != nil {
		tb.Fatal(err)
	}
	return float64(kib) / 1024
}

// processorTime is the CPU time that a program has used.
func processorTime(tb testing.TB, p *programs.Process) time.Duration {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		tb.Fatal(err)
	}
	// utime and stime, in ticks of 10 ms, after the name, which may have spaces.
	words := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	total := time.Duration(0)
	for _, word := range words[11:13] {
		ticks, err := strconv.Atoi(word)
		if err != nil {
			tb.Fatal(err)
		}
		total += time.Duration(ticks) * 10 * time.Millisecond
	}
	return total
}

// rows is the number of samples that the node has taken over OTLP.
func (b *bundled) rows() int {
	b.tb.Helper()
	text, err := get(b.tb.Context(), b.node+"/metrics")
	if err != nil {
		b.tb.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^vm_rows_inserted_total\{type="opentelemetry"\} (\d+)$`).FindStringSubmatch(text)
	if found == nil {
		b.tb.Fatalf("%s has no count of rows", b.node)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		b.tb.Fatal(err)
	}
	return n
}

// TestFleet has hosts push every 15 s for a minute: nothing is refused, every push
// arrives once, and the Collector's memory stays within what it is given. `make fleet`
// has a thousand push for five minutes.
func TestFleet(t *testing.T) {
	f := fleet{hosts: 300, every: 15 * time.Second, length: time.Minute, patience: time.Minute, prefix: "fleet"}
	if text := os.Getenv("SYSOTEL_TEST_FLEET"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("SYSOTEL_TEST_FLEET=%q is not a number of hosts", text)
		}
		f.hosts, f.length, f.ramp = n, 5*time.Minute, 2*time.Minute
	}
	b := startBundled(t, f.hosts)
	f.endpoint = b.endpoint
	idle := resident(t, b.collector, "VmRSS")
	r, err := f.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	peak := resident(t, b.collector, "VmHWM")
	t.Logf("%s", r)
	t.Logf("the Collector: %.0f MiB before, %.0f at its peak, %s of CPU; the node: %.0f MiB at its peak, %s of CPU", idle, peak,
		processorTime(t, b.collector), resident(t, b.database, "VmHWM"), processorTime(t, b.database))
	if len(r.refused) > 0 || r.waiting > 0 {
		t.Errorf("something was refused or waits")
	}
	if least := f.hosts * int((f.length-f.ramp)/f.every); r.accepted() != r.pushed || r.pushed < least {
		t.Errorf("%d of %d pushes were acknowledged, want all and at least %d", r.accepted(), r.pushed, least)
	}
	a, err := arrived(t.Context(), b.node, f.prefix)
	if err != nil {
		t.Fatal(err)
	}
	c := a.compare(r)
	t.Logf("%s", c)
	if c != (comparison{stored: r.accepted()}) {
		t.Errorf("%+v, want every acknowledged push once", c)
	}
	if rows, want := b.rows(), r.accepted()*r.points; rows != want {
		t.Errorf("the node took %d points, %d were acknowledged", rows, want)
	}
	// The container's limit is 320 MiB.
	if peak > 240 {
		t.Errorf("the Collector used %.0f MiB of memory, more than 240", peak)
	}
}
