package api

import "time"

// exampleSeries is the example of a group's documentation.
func exampleSeries(group string) *Series {
	first := exampleTime.Truncate(20 * time.Minute)
	response := &Series{
		Host: "server-01", Start: exampleTime.Add(-time.Hour), End: exampleTime, Step: 1200,
		Tiers: []SeriesTier{{Tier: "5m", From: first.Add(-40 * time.Minute), To: first}},
	}
	at := []float64{float64(first.Add(-40 * time.Minute).Unix()), float64(first.Add(-20 * time.Minute).Unix()), float64(first.Unix())}
	row := func(metric, unit string, labels map[string]string, avg ...number) {
		response.Series = append(response.Series, SeriesRow{Metric: metric, Unit: unit, Labels: labels, T: at, Avg: avg})
	}
	none := number(unknown)
	switch group {
	case cpuSeries.name:
		row("cpu_usage_total", "%", map[string]string{}, 41.25, none, 45.2)
		row("cpu_usage_per_core", "%", map[string]string{"core": "cpu0"}, 40.5, none, 42.1)
	case memorySeries.name:
		row("memory_percent", "%", map[string]string{}, 49.5, none, 50)
	case diskSeries.name:
		row("disk_percent", "%", map[string]string{"device": "/dev/sda1", "mountpoint": "/", "type": "ext4"}, 59.5, none, 60)
		row("disk_read_bytes", "bytes/s", map[string]string{"device": "sda"}, 524288, none, 1048576)
	case networkSeries.name:
		row("net_bytes_recv", "bytes/s", map[string]string{}, 1048576, none, 2097152)
		row("net_bytes_recv", "bytes/s", map[string]string{"interface": "eth0"}, 1048576, none, 2097152)
	}
	return response
}
