package bench

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// charts are the charts of a dashboard, each with its request for a time range.
var charts = []struct {
	name string
	path func(preset time.Duration) string
}{
	{"CPU, total", history("cpu", "cpu_usage_total")},
	{"CPU of each core", history("cpu", "cpu_usage_per_core")},
	{"CPU by mode", func(preset time.Duration) string {
		step, end := max(time.Second, preset/500).Round(time.Second), time.Now().Unix()
		query := fmt.Sprintf("sum by (state) (rate(system_cpu_time_seconds_total[%ds]))", int(2*step.Seconds()))
		return fmt.Sprintf("/prometheus/api/v1/query_range?query=%s&start=%d&end=%d&step=%d", url.QueryEscape(query), end-int64(preset.Seconds()), end, int(step.Seconds()))
	}},
	{"memory", history("memory", "memory_used", "memory_percent")},
	{"file systems", history("disk", "disk_percent")},
	{"disk traffic", history("disk", "disk_read_bytes", "disk_write_bytes")},
	{"network traffic", history("network", "net_bytes_sent", "net_bytes_recv")},
}

// presets are the time ranges that a dashboard offers.
var presets = []time.Duration{5 * time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour, 365 * 24 * time.Hour}

// history returns the request for the average, minimum and maximum of metrics.
func history(part string, metrics ...string) func(time.Duration) string {
	return func(preset time.Duration) string {
		return fmt.Sprintf("/api/v1/metrics/%s?agg=avg,min,max&start=-%ds&metric=%s", part, int(preset.Seconds()), strings.Join(metrics, "&metric="))
	}
}

// reportCharts requests each chart for each time range, one after the other, and adds
// the response times to the table.
func reportCharts(t *testing.T, table *strings.Builder, binary, directory string, p plan) {
	t.Helper()
	t.Run("charts", func(t *testing.T) {
		a := startAgentOn(t, binary, directory)
		wait(t, p.warmUp)
		a.checkHour(t, seriesPath)
		fmt.Fprintf(table, "\n%-20s %-8s %10s %10s %10s %8s\n", "chart, on disk", "range", "p50", "p99", "budget", "bytes")
		for _, chart := range charts {
			for _, preset := range presets {
				took := make([]time.Duration, 0, p.charts)
				var size int
				for range p.charts {
					began := time.Now()
					status, body := a.get(t, chart.path(preset))
					took, size = append(took, time.Since(began)), len(body)
					if status != http.StatusOK {
						t.Fatalf("%s over %s: %d %.300s", chart.name, preset, status, body)
					}
					if p.year && bytes.Count(body, []byte(","))-2*bytes.Count(body, []byte("null")) < 200 {
						t.Fatalf("%s over %s has too few values: %.300s", chart.name, preset, body)
					}
				}
				slices.Sort(took)
				p99 := took[len(took)*99/100]
				fmt.Fprintf(table, "%-20s %-8s %10s %10s %10s %8d %s\n", chart.name, short(preset), took[len(took)/2].Round(10*time.Microsecond),
					p99.Round(10*time.Microsecond), queryBudget, size, verdict(p99 <= queryBudget))
			}
		}
		a.check(t, true)
	})
}

// short formats a preset as its button does.
func short(preset time.Duration) string {
	if days := int(preset.Hours() / 24); days > 1 {
		return fmt.Sprintf("%dd", days)
	}
	return strings.TrimSuffix(strings.TrimSuffix(preset.String(), "0s"), "0m")
}
