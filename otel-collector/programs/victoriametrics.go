package programs

import (
	"fmt"
	"testing"
	"time"
)

// nodeTimeout is how long a node may take to be ready on a busy machine.
const nodeTimeout = time.Minute

// StartVictoriaMetrics starts one node with flags such as -retentionPeriod=7d,
// on a free port and with a directory of the test's own, and waits until it
// answers at the URL that is returned.
func StartVictoriaMetrics(tb testing.TB, flags ...string) (p *Process, url string) {
	tb.Helper()
	return StartVictoriaMetricsAt(tb, fmt.Sprintf("127.0.0.1:%d", FreePort(tb)), tb.TempDir(), flags...)
}

// StartVictoriaMetricsAt is StartVictoriaMetrics at an address and with a
// directory that may have data: a node that is started again.
func StartVictoriaMetricsAt(tb testing.TB, address, dir string, flags ...string) (p *Process, url string) {
	tb.Helper()
	p = Start(tb, Command(tb, "victoria-metrics", append([]string{
		"-httpListenAddr=" + address, "-storageDataPath=" + dir,
		// Small enough that a test can have several.
		"-memory.allowedBytes=32MiB", "-search.latencyOffset=2s", "-dedup.minScrapeInterval=1ms",
		"-opentelemetry.usePrometheusNaming",
	}, flags...)...))
	url = "http://" + address
	p.WaitHTTP(url+"/health", nodeTimeout)
	return p, url
}
