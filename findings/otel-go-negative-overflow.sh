#!/bin/bash
# opentelemetry-go: beyond the cardinality limit, a monotonic observable counter exports a negative delta.
#
# Version:  go.opentelemetry.io/otel/sdk/metric v1.47.0.
# Expected: with a limit of 3, an Int64ObservableCounter of four attribute sets exports two of them and
#           sums the rest under otel.metric.overflow. The four values stand still, so from the
#           second cycle on every delta is 0, whatever order the callback reports the sets in. A
#           monotonic sum never falls.
# Observed: the sets are admitted anew in each cycle, first come, first served. A callback that reports them
#           in another order, as one that ranges over a Go map does, moves sets in and out of the
#           overflow: sets appear and vanish, and the overflow's delta is the difference of two unlike
#           sums. It comes out negative in a sum that is marked monotonic.
# Output:   a b c d: a 1000, b 200, overflow 34 (monotonic true)
#           d c b a: c 30, d 4, overflow 1166 (monotonic true)
#           a b c d: a 1000, b 200, overflow -1166 (monotonic true)
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require (
	go.opentelemetry.io/otel v1.47.0
	go.opentelemetry.io/otel/metric v1.47.0
	go.opentelemetry.io/otel/sdk/metric v1.47.0
)
E
cat > main.go <<'E'
package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func main() {
	ctx := context.Background()
	reader := sdk.NewManualReader(sdk.WithTemporalitySelector(func(sdk.InstrumentKind) metricdata.Temporality {
		return metricdata.DeltaTemporality
	}))
	provider := sdk.NewMeterProvider(sdk.WithReader(reader), sdk.WithCardinalityLimit(3))
	values := map[string]int64{"a": 1000, "b": 200, "c": 30, "d": 4}
	var order []string
	_, err := provider.Meter("shop").Int64ObservableCounter("orders",
		metric.WithInt64Callback(func(_ context.Context, observer metric.Int64Observer) error {
			for _, name := range order {
				observer.Observe(values[name], metric.WithAttributes(attribute.String("shop", name)))
			}
			return nil
		}))
	if err != nil {
		panic(err)
	}
	for _, order = range [][]string{{"a", "b", "c", "d"}, {"d", "c", "b", "a"}, {"a", "b", "c", "d"}} {
		var rm metricdata.ResourceMetrics
		if err := reader.Collect(ctx, &rm); err != nil {
			panic(err)
		}
		sum := rm.ScopeMetrics[0].Metrics[0].Data.(metricdata.Sum[int64])
		var points []string
		for _, point := range sum.DataPoints {
			name := "overflow"
			if shop, ok := point.Attributes.Value("shop"); ok {
				name = shop.AsString()
			}
			points = append(points, fmt.Sprint(name, " ", point.Value))
		}
		slices.Sort(points)
		fmt.Printf("%s: %s (monotonic %v)\n", strings.Join(order, " "), strings.Join(points, ", "), sum.IsMonotonic)
	}
}
E
unset OTEL_GO_X_CARDINALITY_LIMIT
output=$(GOFLAGS=-mod=mod go run .)
observed='a b c d: a 1000, b 200, overflow 34 (monotonic true)
d c b a: c 30, d 4, overflow 1166 (monotonic true)
a b c d: a 1000, b 200, overflow -1166 (monotonic true)'
echo 'version:  go.opentelemetry.io/otel/sdk/metric v1.47.0'
echo 'expected: values that stand still have deltas of 0 from the second cycle on'
echo 'observed: deltas change with the order of the observations; the overflow gets a negative one'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
