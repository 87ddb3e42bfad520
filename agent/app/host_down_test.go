package app

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sysotel/agent/alerting"
	"sysotel/api"
)

// TestHostDown runs an agent with a real node of VictoriaMetrics, to which another
// machine wrote until 50 seconds ago. HostDown fires after a minute of silence and
// resolves when the machine writes again. It never fires for a third machine, which
// keeps writing.
func TestHostDown(t *testing.T) {
	node := newBareNode(t)
	file := filepath.Join(t.TempDir(), "sysotel.yaml")
	text := fmt.Sprintf(`
host: {name: here}
alerting: {interval: 1s}
store:
  backend: victoriametrics
  tiers: [{resolution: 1s, retention: 24h}]
  victoriametrics: {1s: "http://%s"}
`, node.address)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	silent := time.Now().Add(-50 * time.Second)
	node.writeUntil(silent, time.Second, info("gone", "id-1"), cpuUsage("gone"))
	node.write(time.Second, info("there", "id-2"), cpuUsage("there"))
	a := run(t, configure(t, "--config="+file))

	await := func(state alerting.State) time.Time {
		t.Helper()
		var answer api.Alerts
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); a.tick() {
			node.write(time.Second, info("there", "id-2"))
			answer = api.Alerts{}
			decode(t, get(t, a.socket, "/api/v1/alerts"), &answer)
			for _, alert := range answer.Alerts {
				switch host := alert.Labels["host_name"]; {
				case alert.Rule != "HostDown":
				case host == "there":
					t.Fatalf("an alert on a machine that is up: %+v", alert)
				case host == "gone" && alert.State == state:
					return time.Now()
				}
			}
		}
		t.Fatalf("HostDown is not %s within %s: %+v", state, patience, answer)
		return time.Time{}
	}
	if after := await(alerting.Firing).Sub(silent); after < time.Minute {
		t.Errorf("it fires after %s of silence, want a minute", after)
	}
	node.write(time.Second, info("gone", "id-1"))
	await(alerting.Resolved)
}
