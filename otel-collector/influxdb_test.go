package otelcollector

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"sysotel/otel-collector/programs"
)

// current is a response of an agent on a machine without swap and without known limits
// of its frequency.
const current = `{
	"timestamp": "2026-02-02T10:30:00Z",
	"hostname": "server-01",
	"cpu": {"usage_percent": 45.2, "frequency": {"current": 2400, "min": null, "max": null}, "load_average": [2.5, 2.3, 2.1]},
	"memory": {"total": 17179869184, "available": 8589934592, "used": 8589934592, "percent": 50, "swap": {"total": 0, "used": 0, "percent": null}},
	"disk": {
		"total": 536870912000, "used": 322122547200, "free": 214748364800, "percent": 60,
		"io": {"read_bytes_per_sec": 1048576.25, "write_bytes_per_sec": 524288, "read_count_per_sec": 100, "write_count_per_sec": 50}
	},
	"network": {
		"bytes_sent_per_sec": 1048576, "bytes_recv_per_sec": 2097152, "packets_sent_per_sec": 1000, "packets_recv_per_sec": 1500,
		"errors_in": 0.5, "errors_out": 0
	}
}`

// wantLines are the lines for it, sorted, with sorted fields.
const wantLines = `system_metrics,host=server-01,metric_type=cpu cpu_frequency_current=2400,cpu_percent=45.2,load_average_15=2.1,load_average_1=2.5,load_average_5=2.3 1770028200000000000
system_metrics,host=server-01,metric_type=disk disk_free=214748364800i,disk_percent=60,disk_read_bytes=1048576i,disk_read_count=100i,disk_total=536870912000i,disk_used=322122547200i,disk_write_bytes=524288i,disk_write_count=50i 1770028200000000000
system_metrics,host=server-01,metric_type=memory memory_available=8589934592i,memory_percent=50,memory_total=17179869184i,memory_used=8589934592i,swap_total=0i,swap_used=0i 1770028200000000000
system_metrics,host=server-01,metric_type=network net_bytes_recv=2097152i,net_bytes_sent=1048576i,net_errin=0.5,net_errout=0,net_packets_recv=1500i,net_packets_sent=1000i 1770028200000000000`

// TestInfluxDB runs a real Telegraf once with the recipe, and compares what it writes
// with the documented schema: measurement, tags, fields and nanoseconds.
func TestInfluxDB(t *testing.T) {
	written := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/metrics/current":
			if got := r.Header.Get("Authorization"); got != "Bearer agent-token" {
				t.Errorf("the agent gets the authorization %q", got)
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, current)
		case "/api/v2/write":
			if got := r.Header.Get("Authorization") + " " + r.URL.RawQuery; got != "Token influx-token bucket=machines&org=ours" {
				t.Errorf("InfluxDB gets the authorization and query %q", got)
			}
			body := io.Reader(r.Body)
			if r.Header.Get("Content-Encoding") == "gzip" {
				unpacked, err := gzip.NewReader(r.Body)
				if err != nil {
					t.Error(err)
					return
				}
				body = unpacked
			}
			text, err := io.ReadAll(body)
			if err != nil {
				t.Error(err)
			}
			written <- string(text)
			w.WriteHeader(http.StatusNoContent)
		default:
			t.Errorf("an unexpected request for %s", r.URL)
		}
	}))
	defer server.Close()

	cmd := programs.Command(t, "telegraf", "--config", "recipes/influxdb.conf", "--once")
	cmd.Env = append(os.Environ(), "SYSOTEL_URL="+server.URL, "SYSOTEL_TOKEN=agent-token",
		"INFLUX_URL="+server.URL, "INFLUX_TOKEN=influx-token", "INFLUX_ORG=ours", "INFLUX_BUCKET=machines")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("Telegraf: %v\n%s", err, output)
	}
	close(written)
	var lines []string
	for text := range written {
		for line := range strings.Lines(text) {
			parts := strings.Split(strings.TrimSpace(line), " ")
			if len(parts) == 3 {
				fields := strings.Split(parts[1], ",")
				slices.Sort(fields)
				parts[1] = strings.Join(fields, ",")
			}
			lines = append(lines, strings.Join(parts, " "))
		}
	}
	slices.Sort(lines)
	if got := strings.Join(lines, "\n"); got != wantLines {
		t.Errorf("Telegraf writes\n%s\nwant\n%s", got, wantLines)
	}
}
