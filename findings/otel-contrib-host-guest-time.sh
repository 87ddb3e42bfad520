#!/bin/bash
# opentelemetry-go-contrib, instrumentation/host: a hypervisor's CPU time adds up to more than there is.
#
# Version:  go.opentelemetry.io/contrib/instrumentation/host v0.72.0.
# Expected: the modes of system.cpu.time divide the time of the CPUs: their sum grows by one second a
#           second and a CPU. In /proc/stat the kernel counts guest within user and guest_nice
#           within nice, so neither is to be added again.
# Observed: mode "other" contains guest and guest_nice once more. A CPU that is up for 20 s and spends
#           6 of them in guests shows 26 s; utilization computed from the sum is too low.
# Output:   user 10, system 0, idle 10, other 6: 26 s of the 20 s that the CPU has been up
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require (
	go.opentelemetry.io/contrib/instrumentation/host v0.72.0
	go.opentelemetry.io/otel/sdk/metric v1.47.0
)
E
cat > main.go <<'E'
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"go.opentelemetry.io/contrib/instrumentation/host"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	proc, err := filepath.Abs("proc")
	check(err)
	check(os.MkdirAll(filepath.Join(proc, "net"), 0o700))
	// In hundredths of a second: user 1000, of which guest 600, and idle 1000.
	for name, content := range map[string]string{
		"stat": "cpu  1000 0 0 1000 0 0 0 0 600 0\ncpu0 1000 0 0 1000 0 0 0 0 600 0\nbtime 1700000000\n",
		"meminfo": "MemTotal: 8000 kB\nMemFree: 1000 kB\nMemAvailable: 5000 kB\n" +
			"Buffers: 500 kB\nCached: 4000 kB\n",
		"net/dev": "Inter-|   Receive                                                |  Transmit\n" +
			" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n" +
			"  eth0: 500 1 0 0 0 0 0 0 700 1 0 0 0 0 0 0\n",
	} {
		check(os.WriteFile(filepath.Join(proc, name), []byte(content), 0o600))
	}
	pid := strconv.Itoa(os.Getpid())
	check(os.Symlink("/proc/"+pid, filepath.Join(proc, pid)))
	check(os.Setenv("HOST_PROC", proc))

	reader := sdk.NewManualReader()
	check(host.Start(host.WithMeterProvider(sdk.NewMeterProvider(sdk.WithReader(reader)))))
	var rm metricdata.ResourceMetrics
	check(reader.Collect(context.Background(), &rm))
	seconds := map[string]float64{}
	var sum float64
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "system.cpu.time" {
				continue
			}
			for _, point := range m.Data.(metricdata.Sum[float64]).DataPoints {
				mode, _ := point.Attributes.Value("cpu.mode")
				seconds[mode.AsString()] = point.Value
				sum += point.Value
			}
		}
	}
	fmt.Printf("user %v, system %v, idle %v, other %v: %v s of the 20 s that the CPU has been up\n",
		seconds["user"], seconds["system"], seconds["idle"], seconds["other"], sum)
}
E
output=$(GOFLAGS=-mod=mod go run .)
observed='user 10, system 0, idle 10, other 6: 26 s of the 20 s that the CPU has been up'
echo 'version:  go.opentelemetry.io/contrib/instrumentation/host v0.72.0'
echo 'expected: the modes of system.cpu.time add up to 20 s'
echo 'observed: 26 s; the time in guests is counted in user and in other'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
