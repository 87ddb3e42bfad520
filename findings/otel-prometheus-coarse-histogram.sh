#!/bin/bash
# opentelemetry-go, exporters/prometheus: one coarse exponential histogram fails the whole scrape.
#
# Version:  go.opentelemetry.io/otel/exporters/prometheus v0.69.0, go.opentelemetry.io/otel/sdk/metric
#           v1.47.0, github.com/prometheus/client_golang v1.24.1.
# Expected: the SDK documents scales from -10 to 20. A Prometheus native histogram has schemas from -4
#           to 8 only; the exporter downscales a finer one, and a coarser one that it cannot convert
#           goes without, as other instruments that it cannot translate in part do.
# Observed: the exporter hands client_golang an error in place of the histogram. promhttp.Handler's
#           default answers 500 on any such error, so nothing of the process is scraped.
# Output:   scale 8: status 200, orders_total true, sizes true
#           scale 20: status 200, orders_total true, sizes true
#           scale -4: status 200, orders_total true, sizes true
#           scale -5: status 500, orders_total false, sizes false
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require (
	github.com/prometheus/client_golang v1.24.1
	go.opentelemetry.io/otel v1.47.0
	go.opentelemetry.io/otel/exporters/prometheus v0.69.0
	go.opentelemetry.io/otel/sdk/metric v1.47.0
)
E
cat > main.go <<'E'
package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	ctx := context.Background()
	for _, scale := range []int32{8, 20, -4, -5} {
		registry := client.NewRegistry()
		exporter, err := prometheus.New(prometheus.WithRegisterer(registry))
		check(err)
		meter := sdk.NewMeterProvider(sdk.WithReader(exporter), sdk.WithView(sdk.NewView(
			sdk.Instrument{Name: "sizes"},
			sdk.Stream{Aggregation: sdk.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: scale}},
		))).Meter("shop")
		orders, err := meter.Int64Counter("orders")
		check(err)
		sizes, err := meter.Float64Histogram("sizes")
		check(err)
		orders.Add(ctx, 5)
		sizes.Record(ctx, 3)
		recorder := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
		body := "\n" + recorder.Body.String()
		fmt.Printf("scale %d: status %d, orders_total %v, sizes %v\n", scale, recorder.Code,
			strings.Contains(body, "\norders_total{"), strings.Contains(body, "\nsizes_count{"))
	}
}
E
output=$(GOFLAGS=-mod=mod go run .)
observed='scale 8: status 200, orders_total true, sizes true
scale 20: status 200, orders_total true, sizes true
scale -4: status 200, orders_total true, sizes true
scale -5: status 500, orders_total false, sizes false'
echo 'version:  go.opentelemetry.io/otel/exporters/prometheus v0.69.0'
echo 'expected: a histogram that is too coarse for Prometheus goes without, the rest is scraped'
echo 'observed: the whole scrape is answered with 500'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
