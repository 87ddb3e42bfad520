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

// write puts the newest five minutes of some series into the node, one sample
// every so long, each with the value 0.25.
func (n *bareNode) write(every time.Duration, series ...map[string]string) {
	n.tb.Helper()
	n.writeUntil(time.Now(), every, series...)
}

// writeUntil puts five minutes there that ended some time ago.
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

// info is the series that identifies an agent, usage that of its processors.
func info(host, id string) map[string]string {
	return map[string]string{"__name__": infoName, "host_name": host, "host_id": id, "version": "1.0"}
}

func cpuUsage(host string) map[string]string {
	return map[string]string{"__name__": "sysotel_cpu_usage_ratio", "host_name": host}
}

// answer requests a path and returns the status, the tier header and the body.
func (a *agent) answer(path string) (status int, tier, body string) {
	a.tb.Helper()
	request, err := http.NewRequestWithContext(a.tb.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		a.tb.Fatal(err)
	}
	response, err := a.socket.Do(request)
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

// waitPart waits until a component of the agent's health has a status.
func (a *agent) waitPart(name string, status health.Status, words ...string) {
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

// TestVictoriaMetricsAnswers runs an agent before two real nodes, which know
// another host, go away and come back.
func TestVictoriaMetricsAnswers(t *testing.T) {
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
	a.ticks(4) // As many as a question about now looks back.

	f := func(path string, wantStatus int, wantTier string, words ...string) {
		t.Helper()
		status, tier, body := a.answer(path)
		// Where a minute has ended within the range and before the first second that
		// is there, the tier of minutes answers for it too.
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
	f(series+"&host=here", http.StatusOK, "1s", `"host":"here"`, "[25,25,25,25") // Written by the test and not by this agent.
	f(series+"&step=1m&host=nobody", http.StatusUnprocessableEntity, "", "query.step")
	f(series+"&host=nobody", http.StatusUnprocessableEntity, "", "here, there")
	f(one+`{host_name="there"}`, http.StatusOK, "1s", `"0.25"`)
	f("/prometheus/api/v1/label/host_name/values", http.StatusOK, "", `["gone","here","there"]`)
	f("/api/v1/hosts", http.StatusOK, "", `"host_name":"gone"`, `"host_id":"id-1","version":"1.0"`, `"cpu_percent":25`)
	a.waitPart("victoriametrics", health.OK)

	// Another machine takes this one's name.
	fine.write(time.Second, info("there", "id-4"))
	if seen, err := a.history.hosts.Seen(t.Context()); err != nil {
		t.Error(err)
	} else {
		a.history.hosts.compare(seen)
		a.history.hosts.compare(seen)
	}
	a.waitPart("hosts", health.Degraded, `"there", their ids are id-1 and id-4`)
	if n := strings.Count(a.journal.String(), "several machines push under one name"); n != 1 {
		t.Errorf("the log names it %d times, want once", n)
	}
	f("/api/v1/hosts", http.StatusOK, "", `"other_host_ids":["id-`)

	if err := fine.process.Stop(); err != nil {
		t.Errorf("the node ended with %v", err)
	}
	// Of what is older than the local cache, the tier of minutes would answer once
	// somebody has noticed.
	f("/api/v1/metrics/cpu?metric=cpu_usage_total&start=-2s&host=there", http.StatusServiceUnavailable, "", "VictoriaMetrics does not respond for tier 1s", "the local cache has data of here only")
	f(one+`{host_name="here"}`, http.StatusOK, "1s;source=local-cache", `"warnings":["answered from the local cache of the tier 1s`)
	f(one, http.StatusOK, "1s;source=local-cache", "has data of here only")
	f("/api/v1/metrics/cpu?metric=cpu_usage_total&start=-10s", http.StatusOK, "1s;source=local-cache", `"source":"local cache"`, `"warnings":["answered from`)
	f(one+`{host_name="there"}`, http.StatusServiceUnavailable, "", "does not answer")
	f("/api/v1/hosts", http.StatusOK, "", `"host_name":"here"`, `"warnings":["VictoriaMetrics does not respond`)
	a.waitPart("victoriametrics", health.Degraded, "the tier 1s at "+fine.address, "refused")
	if status, _, body := a.answer("/api/v1/health"); status != http.StatusOK || strings.Contains(body, "the tier 1m at") {
		t.Errorf("%d %s", status, body)
	}

	fine.start()
	a.waitPart("victoriametrics", health.OK)
	f(series+"&host=there", http.StatusOK, "1s", "[25,25,25,25")
}
