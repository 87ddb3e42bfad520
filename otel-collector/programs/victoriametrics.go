package programs

import (
	"fmt"
	"testing"
	"time"
)

// nodeTimeout is how long a node may take to be ready on a busy machine.
const nodeTimeout = time.Minute

// StartVictoriaMetrics starts one node with flags such as -retentionPeriod=7d,
// which keeps its data in a directory of the test's own unless another is named,
// and waits until it answers at the URL that is returned.
func StartVictoriaMetrics(tb testing.TB, flags ...string) (p *Process, url string) {
	tb.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", FreePort(tb))
	args := append([]string{
		"-httpListenAddr=" + address, "-storageDataPath=" + tb.TempDir(),
		// Small enough that a test can have several.
		"-memory.allowedBytes=32MiB", "-search.latencyOffset=2s", "-dedup.minScrapeInterval=1ms",
		"-opentelemetry.usePrometheusNaming",
	}, flags...)
	p = Start(tb, Command(tb, "victoria-metrics", args...))
	url = "http://" + address
	p.WaitHTTP(url+"/health", nodeTimeout)
	return p, url
}
