package app

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestIntervalsOfMachines: machines push every 1, 15 and 60 seconds to a real node of
// VictoriaMetrics, asked by an agent of one second. Each counts until two and a half of its
// own intervals after its newest reading, and its newest reading decides whether it is up.
func TestIntervalsOfMachines(t *testing.T) {
	node := newBareNode(t)
	file := filepath.Join(t.TempDir(), "sysotel.yaml")
	text := fmt.Sprintf(`
host: {name: here}
alerting:
  interval: 1s
  rules: []
store:
  backend: victoriametrics
  tiers: [{resolution: 1s, retention: 24h}]
  victoriametrics: {1s: "http://%s"}
`, node.address)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	every := func(host, id string, interval time.Duration) (series []map[string]string) {
		about := info(host, id)
		about["interval"] = strconv.Itoa(int(interval.Seconds()))
		return []map[string]string{about, cpuUsage(host)}
	}
	begin := time.Now()
	node.write(time.Second, every("fast", "id-1", time.Second)...)
	node.write(15*time.Second, every("medium", "id-2", 15*time.Second)...)
	node.write(time.Minute, every("slow", "id-3", time.Minute)...)
	silent := begin.Add(-100 * time.Second).Truncate(time.Minute)
	node.writeUntil(silent, time.Second, every("silent", "id-4", time.Second)...)
	a := run(t, configure(t, "--config="+file))
	a.tick()

	count := func(selector string, at time.Time) string {
		t.Helper()
		var answer struct {
			Data struct {
				Result []struct{ Value [2]any }
			}
		}
		decode(t, get(t, a.socket, fmt.Sprintf("/prometheus/api/v1/query?query=%s&time=%d", url.QueryEscape("count(sysotel_cpu_usage_ratio{"+selector+"})"), at.Unix())), &answer)
		if len(answer.Data.Result) == 0 {
			return "none"
		}
		return fmt.Sprint(answer.Data.Result[0].Value[1])
	}
	for i := range 20 {
		at := begin.Add(-time.Duration(7*i+1) * time.Second)
		if got := count(`host_name=~"fast|medium|slow"`, at); got != "3" {
			t.Errorf("%d s before: %s machines, want 3", 7*i+1, got)
		}
	}
	for after, want := range map[time.Duration]string{0: "1", 2 * time.Second: "1", 4 * time.Second: "none", 30 * time.Second: "none"} {
		if got := count(`host_name="silent"`, silent.Add(after)); got != want {
			t.Errorf("%s after the last reading of a machine of one second: %s, want %s", after, got, want)
		}
	}
	var list struct {
		Hosts []struct {
			Name   string `json:"host_name"`
			Status string
		}
	}
	decode(t, get(t, a.socket, "/api/v1/hosts"), &list)
	status := map[string]string{}
	for _, h := range list.Hosts {
		status[h.Name] = h.Status
	}
	if got := fmt.Sprint(status); got != "map[fast:up here:up medium:up silent:late slow:up]" {
		t.Errorf("the machines are %s", got)
	}
}
