package programs

import (
	"fmt"
	"testing"
	"time"
)

// nodeTimeout is the time limit for a node to become ready on a busy machine.
const nodeTimeout = time.Minute

// StartVictoriaMetrics starts one node with flags such as -retentionPeriod=7d, on a free
// port and with a temporary directory, and waits until it is ready. It returns its URL.
func StartVictoriaMetrics(tb testing.TB, flags ...string) (p *Process, url string) {
	tb.Helper()
	return StartVictoriaMetricsAt(tb, fmt.Sprintf("127.0.0.1:%d", FreePort(tb)), tb.TempDir(), flags...)
}

// StartVictoriaMetricsAt is StartVictoriaMetrics with an address and a directory, which
// may have data, for restarts.
func StartVictoriaMetricsAt(tb testing.TB, address, dir string, flags ...string) (p *Process, url string) {
	tb.Helper()
	p = Start(tb, Command(tb, "victoria-metrics", append([]string{
		"-httpListenAddr=" + address, "-storageDataPath=" + dir,
		// Small, so that a test can have several nodes.
		"-memory.allowedBytes=32MiB", "-search.latencyOffset=2s", "-dedup.minScrapeInterval=1ms",
		"-opentelemetry.usePrometheusNaming",
	}, flags...)...))
	url = "http://" + address
	p.WaitHTTP(url+"/health", nodeTimeout)
	return p, url
}
