package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sysotel/agent/health"
	"sysotel/api"
	"sysotel/otel-collector/programs"
)

// bareNode is one real node of VictoriaMetrics that can be stopped and started.
type bareNode struct {
	tb           testing.TB
	address, dir string
	process      *programs.Process
}

func newBareNode(tb testing.TB) *bareNode {
	tb.Helper()
	n := &bareNode{tb: tb, address: fmt.Sprintf("127.0.0.1:%d", programs.FreePort(tb)), dir: tb.TempDir()}
	n.start()
	return n
}

func (n *bareNode) start() {
	n.tb.Helper()
	n.process, _ = programs.StartVictoriaMetricsAt(n.tb, n.address, n.dir, "-retentionPeriod=7d")
}

// write writes the last five minutes of some series to the node, with the value 0.25 at
// the given interval.
func (n *bareNode) write(every time.Duration, series ...map[string]string) {
	n.tb.Helper()
	n.writeUntil(time.Now(), every, series...)
}

// writeUntil writes five minutes that end at a time.
func (n *bareNode) writeUntil(end time.Time, every time.Duration, series ...map[string]string) {
	n.tb.Helper()
	var body bytes.Buffer
	for _, metric := range series {
		line := struct {
			Metric     map[string]string `json:"metric"`
			Values     []float64         `json:"values"`
			Timestamps []int64           `json:"timestamps"`
		}{Metric: metric}
		last := end.Truncate(every)
		for at := last.Add(-5 * time.Minute); !at.After(last); at = at.Add(every) {
			line.Values, line.Timestamps = append(line.Values, 0.25), append(line.Timestamps, at.UnixMilli())
		}
		if err := json.NewEncoder(&body).Encode(line); err != nil {
			n.tb.Fatal(err)
		}
	}
	n.post("/api/v1/import", &body)
	n.post("/internal/force_flush", nil)
}

func (n *bareNode) post(path string, body io.Reader) {
	n.tb.Helper()
	request, err := http.NewRequestWithContext(n.tb.Context(), http.MethodPost, "http://"+n.address+path, body)
	if err != nil {
		n.tb.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		n.tb.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode/100 != 2 {
		n.tb.Fatalf("%s: %s %s %v", path, response.Status, text, err)
	}
}

// info is the series that identifies an agent.
func info(host, id string) map[string]string {
	return map[string]string{"__name__": infoName, "host_name": host, "host_id": id, "version": "1.0"}
}

func cpuUsage(host string) map[string]string {
	return map[string]string{"__name__": "sysotel_cpu_usage_ratio", "host_name": host}
}

// answer requests a path and returns the status, the tier header and the body.
func (a *agent) answer(path string) (status int, tier, body string) {
	a.tb.Helper()
	response, err := request(a.tb.Context(), a.socket, "http://localhost"+path)
	if err != nil {
		a.tb.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		a.tb.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("X-Sysotel-Tier"), string(text)
}

// waitComponent waits until a component has a status and a reason with these words.
func (a *agent) waitComponent(name string, status health.Status, words ...string) {
	a.tb.Helper()
	var last string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); a.tick() {
		var answer api.Health
		decode(a.tb, get(a.tb, a.socket, "/api/v1/health"), &answer)
	parts:
		for _, p := range answer.Parts {
			if last = fmt.Sprintf("%+v", p); p.Name != name || p.Status != status {
				continue
			}
			for _, word := range words {
				if !strings.Contains(p.Reason, word) {
					continue parts
				}
			}
			return
		}
	}
	a.tb.Fatalf("%s is not %s with %q within %s; it is %s", name, status, words, patience, last)
}

// TestQueriesVictoriaMetrics runs an agent with two real nodes, which have data of other
// hosts too and are stopped and restarted.
func TestQueriesVictoriaMetrics(t *testing.T) {
	fine, coarse := newBareNode(t), newBareNode(t)
	file := filepath.Join(t.TempDir(), "sysotel.yaml")
	text := fmt.Sprintf(`
host: {name: here}
store:
  backend: victoriametrics
  tiers: [{resolution: 1s, retention: 24h}, {resolution: 1m, retention: 168h}]
  victoriametrics: {1s: "http://%s", 1m: "http://%s"}
`, fine.address, coarse.address)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	fine.write(time.Second, info("there", "id-1"), cpuUsage("there"), info("here", "id-2"), cpuUsage("here"))
	coarse.write(time.Minute, info("gone", "id-3"), info("there", "id-1"), cpuUsage("there"))
	a := run(t, configure(t, "--config="+file))
	a.ticks(4) // A query at now looks back that far.

	f := func(path string, wantStatus int, wantTier string, words ...string) {
		t.Helper()
		status, tier, body := a.answer(path)
		// If a minute ends within the range and before the first second, tier 1m
		// serves a part too.
		if status != wantStatus || strings.TrimPrefix(tier, "1m, ") != wantTier {
			t.Errorf("%s: %d from %q, want %d from %q: %.600s", path, status, tier, wantStatus, wantTier, body)
		}
		for _, word := range words {
			if !strings.Contains(body, word) {
				t.Errorf("%s: no %q in %.600s", path, word, body)
			}
		}
	}
	const (
		series = "/api/v1/metrics/cpu?metric=cpu_usage_total&start=-2m&end=-1m&step=10s"
		one    = "/prometheus/api/v1/query?query=sysotel_cpu_usage_ratio"
	)
	f(series+"&host=there", http.StatusOK, "1s", `"host":"there"`, "[25,25,25,25")
	f(series+"&host=here", http.StatusOK, "1s", `"host":"here"`, "[25,25,25,25") // Written by the test, not by this agent.
	f(series+"&step=1m&host=unknown", http.StatusUnprocessableEntity, "", "query.step")
	f(series+"&host=unknown", http.StatusUnprocessableEntity, "", "here, there")
	f(one+`{host_name="there"}`, http.StatusOK, "1s", `"0.25"`)
	f("/prometheus/api/v1/label/host_name/values", http.StatusOK, "", `["gone","here","there"]`)
	f("/api/v1/hosts", http.StatusOK, "", `"host_name":"gone"`, `"host_id":"id-1","version":"1.0"`, `"cpu_percent":25`)
	a.waitComponent("victoriametrics", health.OK)

	// Another machine takes this one's name.
	fine.write(time.Second, info("there", "id-4"))
	if seen, err := a.history.hosts.Seen(t.Context()); err != nil {
		t.Error(err)
	} else {
		a.history.hosts.compare(seen)
		a.history.hosts.compare(seen)
	}
	a.waitComponent("hosts", health.Degraded, `"there", with the ids id-1 and id-4`)
	if n := strings.Count(a.journal.String(), "several machines push under one name"); n != 1 {
		t.Errorf("the log reports it %d times, want once", n)
	}
	f("/api/v1/hosts", http.StatusOK, "", `"other_host_ids":["id-`)

	if err := fine.process.Stop(); err != nil {
		t.Errorf("the node ended with %v", err)
	}
	// The local cache has no data of other hosts, and tier 1m has none of this range.
	f("/api/v1/metrics/cpu?metric=cpu_usage_total&start=-2s&host=there", http.StatusServiceUnavailable, "", "VictoriaMetrics does not respond for tier 1s", "the local cache has data of here only")
	f(one+`{host_name="here"}`, http.StatusOK, "1s;source=local-cache", `"warnings":["answered from the local cache of tier 1s`)
	f(one, http.StatusOK, "1s;source=local-cache", "has data of here only")
	f("/api/v1/metrics/cpu?metric=cpu_usage_total&start=-10s", http.StatusOK, "1s;source=local-cache", `"source":"local cache"`, `"warnings":["answered from`)
	f(one+`{host_name="there"}`, http.StatusServiceUnavailable, "", "does not respond")
	f("/api/v1/hosts", http.StatusOK, "", `"host_name":"here"`, `"warnings":["VictoriaMetrics does not respond`)
	a.waitComponent("victoriametrics", health.Degraded, "tier 1s at "+fine.address, "refused")
	if status, _, body := a.answer("/api/v1/health"); status != http.StatusOK || strings.Contains(body, "tier 1m at") {
		t.Errorf("%d %s", status, body)
	}

	fine.start()
	a.waitComponent("victoriametrics", health.OK)
	f(series+"&host=there", http.StatusOK, "1s", "[25,25,25,25")
}
