#!/bin/bash
# OpenTelemetry Collector, hostmetrics: page faults are reported 4096 times too many.
#
# Version:  opentelemetry-collector-contrib/receiver/hostmetricsreceiver v0.165.1,
#           github.com/shirou/gopsutil/v4 v4.26.10.
# Expected: system.paging.faults, unit {faults}, is what the kernel counts in /proc/vmstat: pgmajfault
#           major and pgfault-pgmajfault minor ones. system.paging.operations, unit {operations},
#           counts pages or requests, so pswpin for page_in of type major.
# Observed: gopsutil's mem.SwapMemory multiplies six fields of /proc/vmstat by 4096, as if each were a
#           number of pages; the receiver passes them on as counts. Faults are no pages, so both are
#           wrong by 4096. pgpgin and pgpgout are kB already, not pages, so even as bytes they are 4
#           times too large.
# Output:   system.paging.faults {faults} major: 24576, /proc/vmstat says 6
#           system.paging.faults {faults} minor: 20455424, /proc/vmstat says 4994
#           system.paging.operations {operations} page_in major: 12288, /proc/vmstat says 3
#           gopsutil PgIn: 4096000, /proc/vmstat says 1000 kB, which are 1024000 bytes
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require (
	github.com/open-telemetry/opentelemetry-collector-contrib/receiver/hostmetricsreceiver v0.165.1
	github.com/shirou/gopsutil/v4 v4.26.10
	go.opentelemetry.io/collector/confmap v1.71.0
	go.opentelemetry.io/collector/consumer/consumertest v0.165.0
	go.opentelemetry.io/collector/receiver/receivertest v0.165.0
)
E
cat > main.go <<'E'
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/hostmetricsreceiver"
	"github.com/shirou/gopsutil/v4/mem"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ctx := context.Background()
	root, err := filepath.Abs("root")
	check(err)
	proc := filepath.Join(root, "proc")
	check(os.MkdirAll(proc, 0o700))
	for name, content := range map[string]string{
		"vmstat": "pgpgin 1000\npgpgout 2000\npswpin 3\npswpout 4\npgfault 5000\npgmajfault 6\n",
		"uptime": "100.00 100.00\n",
		"stat":   "btime 1700000000\n",
	} {
		check(os.WriteFile(filepath.Join(proc, name), []byte(content), 0o600))
	}
	factory := hostmetricsreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	check(confmap.NewFromStringMap(map[string]any{
		"collection_interval": "1h", "initial_delay": "0s", "root_path": root, "scrapers": map[string]any{"paging": nil},
	}).Unmarshal(config))
	sink := new(consumertest.MetricsSink)
	receiver, err := factory.CreateMetrics(ctx, receivertest.NewNopSettings(factory.Type()), config, sink)
	check(err)
	check(receiver.Start(ctx, nil))
	for deadline := time.Now().Add(30 * time.Second); len(sink.AllMetrics()) == 0 && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	check(receiver.Shutdown(ctx))

	got := map[string]int64{}
	for _, rm := range sink.AllMetrics()[0].ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				if m.Name() != "system.paging.faults" && m.Name() != "system.paging.operations" {
					continue
				}
				for _, p := range m.Sum().DataPoints().All() {
					key := m.Name() + " " + m.Unit()
					for _, name := range []string{"direction", "type"} {
						if v, ok := p.Attributes().Get(name); ok {
							key += " " + v.Str()
						}
					}
					got[key] = p.IntValue()
				}
			}
		}
	}
	for _, line := range []struct {
		key    string
		kernel int
	}{
		{"system.paging.faults {faults} major", 6},
		{"system.paging.faults {faults} minor", 5000 - 6},
		{"system.paging.operations {operations} page_in major", 3},
	} {
		fmt.Printf("%s: %d, /proc/vmstat says %d\n", line.key, got[line.key], line.kernel)
	}
	check(os.Setenv("HOST_PROC", proc))
	swap, err := mem.SwapMemory()
	check(err)
	fmt.Printf("gopsutil PgIn: %d, /proc/vmstat says 1000 kB, which are 1024000 bytes\n", swap.PgIn)
}
E
output=$(GOFLAGS=-mod=mod go run .)
observed='system.paging.faults {faults} major: 24576, /proc/vmstat says 6
system.paging.faults {faults} minor: 20455424, /proc/vmstat says 4994
system.paging.operations {operations} page_in major: 12288, /proc/vmstat says 3
gopsutil PgIn: 4096000, /proc/vmstat says 1000 kB, which are 1024000 bytes'
echo 'version:  hostmetricsreceiver v0.165.1, github.com/shirou/gopsutil/v4 v4.26.10'
echo 'expected: system.paging.faults counts page faults'
echo 'observed: page faults times 4096, as if each were a page and the unit bytes'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
