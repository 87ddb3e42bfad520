#!/bin/bash
# opentelemetry-go: one failing observable callback loses the counts of unrelated counters for good.
#
# Version:  go.opentelemetry.io/otel/sdk/metric v1.47.0, exporters/prometheus v0.69.0.
# Expected: a callback that returns an error costs its own instrument a point. Nothing else: counters of
#           other meters are exported, or at least their counts wait for the next export.
# Observed: PeriodicReader exports nothing of any meter in that cycle. With cumulative temporality the
#           next cycle catches up; with delta temporality the aggregations have been emptied already, so
#           what was counted in the cycle is never exported. The Prometheus exporter, a reader of the
#           same SDK, only reports the error and serves every other instrument.
# Output:   CumulativeTemporality: 3 cycles, 2 exports, counted 15, exported 15
#           DeltaTemporality: 3 cycles, 2 exports, counted 15, exported 10
#           prometheus: counted 5, scraped 5 while the callback fails
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
	go.opentelemetry.io/otel/metric v1.47.0
	go.opentelemetry.io/otel/sdk/metric v1.47.0
)
E
cat > main.go <<'E'
package main

import (
	"context"
	"errors"
	"fmt"

	client "github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

type exporter struct {
	temporality metricdata.Temporality
	exports     int
	total       int64
}

func (e *exporter) Temporality(sdk.InstrumentKind) metricdata.Temporality { return e.temporality }
func (e *exporter) Aggregation(k sdk.InstrumentKind) sdk.Aggregation {
	return sdk.DefaultAggregationSelector(k)
}
func (e *exporter) ForceFlush(context.Context) error { return nil }
func (e *exporter) Shutdown(context.Context) error   { return nil }

func (e *exporter) Export(_ context.Context, rm *metricdata.ResourceMetrics) error {
	e.exports++
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "orders" {
				continue
			}
			for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
				if e.temporality == metricdata.CumulativeTemporality {
					e.total = 0
				}
				e.total += point.Value
			}
		}
	}
	return nil
}

// instruments gives a counter, and in another meter a gauge whose callback fails while *failing is set.
func instruments(provider *sdk.MeterProvider, failing *bool) metric.Int64Counter {
	orders, err := provider.Meter("shop").Int64Counter("orders")
	if err != nil {
		panic(err)
	}
	_, err = provider.Meter("disk").Int64ObservableGauge("free",
		metric.WithInt64Callback(func(context.Context, metric.Int64Observer) error {
			if *failing {
				return errors.New("no disk")
			}
			return nil
		}))
	if err != nil {
		panic(err)
	}
	return orders
}

func main() {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	ctx := context.Background()
	for _, temporality := range []metricdata.Temporality{metricdata.CumulativeTemporality, metricdata.DeltaTemporality} {
		e := &exporter{temporality: temporality}
		provider := sdk.NewMeterProvider(sdk.WithReader(sdk.NewPeriodicReader(e)))
		failing := false
		orders := instruments(provider, &failing)
		for cycle := range 3 {
			orders.Add(ctx, 5)
			failing = cycle == 1
			if err := provider.ForceFlush(ctx); (err != nil) != failing {
				panic(err)
			}
		}
		fmt.Printf("%s: 3 cycles, %d exports, counted 15, exported %d\n", temporality, e.exports, e.total)
	}

	registry := client.NewRegistry()
	reader, err := prometheus.New(prometheus.WithRegisterer(registry))
	if err != nil {
		panic(err)
	}
	failing := true
	instruments(sdk.NewMeterProvider(sdk.WithReader(reader)), &failing).Add(ctx, 5)
	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, family := range families {
		if family.GetName() == "orders_total" {
			fmt.Printf("prometheus: counted 5, scraped %v while the callback fails\n", family.Metric[0].GetCounter().GetValue())
		}
	}
}
E
output=$(GOFLAGS=-mod=mod go run .)
observed='CumulativeTemporality: 3 cycles, 2 exports, counted 15, exported 15
DeltaTemporality: 3 cycles, 2 exports, counted 15, exported 10
prometheus: counted 5, scraped 5 while the callback fails'
echo 'version:  go.opentelemetry.io/otel/sdk/metric v1.47.0, exporters/prometheus v0.69.0'
echo 'expected: the failing callback costs its own instrument a point, nothing else'
echo 'observed: PeriodicReader exports nothing in that cycle; with delta temporality the counts are lost'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
