#!/bin/bash
# OTLP to Prometheus names: two translators of one convention disagree, and both read a metre as a minute.
#
# Version:  github.com/prometheus/otlptranslator v1.0.0, which names for Prometheus and for the exporter
#           of opentelemetry-go, and github.com/VictoriaMetrics/VictoriaMetrics v1.130.0 with
#           -opentelemetry.usePrometheusNaming.
# Expected: the flag promises Prometheus-compatible names and its unit tables come from the same collector
#           code, so an instrument has one name in both databases. Units are UCUM, where min is a
#           minute and m a metre.
# Observed: VictoriaMetrics leaves the brackets of UCUM units in the name, so that PromQL needs quotes
#           for it, and keeps doubled separators. otlptranslator leaves an underscore at the end for
#           the bracket, and repeats a "per second" that the name has. In both, "per m" becomes
#           per_minute and "per min" stays per_min.
# Output:   room.temperature [degF]: room_temperature_degF_ and room_temperature_[degF]
#           disk..io By: disk_io_bytes and disk__io_bytes
#           io.per.second By/s: io_per_second_bytes_per_second and io_per_second_bytes
#           pump.flow L/min: pump_flow_L_per_min and pump_flow_L_per_min
#           fibre.loss dB/m: fibre_loss_dB_per_minute and fibre_loss_dB_per_minute
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require (
	github.com/VictoriaMetrics/VictoriaMetrics v1.130.0
	github.com/prometheus/otlptranslator v1.0.0
	go.opentelemetry.io/proto/otlp v1.11.0
	google.golang.org/protobuf v1.36.12
)
E
cat > main.go <<'E'
package main

import (
	"bytes"
	"flag"
	"fmt"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/prompb"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/protoparser/opentelemetry/stream"
	"github.com/prometheus/otlptranslator"
	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func ofVictoriaMetrics(name, unit string) (translated string) {
	body, err := proto.Marshal(&collector.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{
		ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: []*metrics.Metric{{Name: name, Unit: unit,
			Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: []*metrics.NumberDataPoint{
				{TimeUnixNano: 1_700_000_000_000_000_000, Value: &metrics.NumberDataPoint_AsInt{AsInt: 1}},
			}}}}}}}}}})
	check(err)
	check(stream.ParseStream(bytes.NewReader(body), "", nil, func(series []prompb.TimeSeries, _ []prompb.MetricMetadata) error {
		for _, label := range series[0].Labels {
			if label.Name == "__name__" {
				translated = label.Value
			}
		}
		return nil
	}))
	return translated
}

func main() {
	check(flag.Set("opentelemetry.usePrometheusNaming", "true"))
	namer := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	for _, m := range []struct{ name, unit string }{
		{"room.temperature", "[degF]"},
		{"disk..io", "By"},
		{"io.per.second", "By/s"},
		{"pump.flow", "L/min"},
		{"fibre.loss", "dB/m"},
	} {
		name, err := namer.Build(otlptranslator.Metric{Name: m.name, Unit: m.unit, Type: otlptranslator.MetricTypeGauge})
		check(err)
		fmt.Printf("%s %s: %s and %s\n", m.name, m.unit, name, ofVictoriaMetrics(m.name, m.unit))
	}
}
E
output=$(GOFLAGS=-mod=mod go run . 2> errors) || { cat errors; exit 1; }
observed='room.temperature [degF]: room_temperature_degF_ and room_temperature_[degF]
disk..io By: disk_io_bytes and disk__io_bytes
io.per.second By/s: io_per_second_bytes_per_second and io_per_second_bytes
pump.flow L/min: pump_flow_L_per_min and pump_flow_L_per_min
fibre.loss dB/m: fibre_loss_dB_per_minute and fibre_loss_dB_per_minute'
echo 'version:  github.com/prometheus/otlptranslator v1.0.0, VictoriaMetrics v1.130.0'
echo 'expected: one name in both, valid in PromQL; min is a minute and m a metre'
echo 'observed: names differ or need quotes; m is read as a minute, min as itself'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
