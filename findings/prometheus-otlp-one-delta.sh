#!/bin/bash
# Prometheus's OTLP receiver: one delta sum in a request discards the cumulative sums beside it.
#
# Version:  github.com/prometheus/prometheus v0.315.0 (Prometheus 3.15), no feature flag set.
# Expected: the flag documentation says that delta metrics are dropped unless
#           otlp-deltatocumulative is on; so the cumulative sum of the same request is stored,
#           and the answer is 200 with a partial_success that counts the rejected point.
# Observed: 500. The cumulative sample is rolled back, but its series stays in the head: its name is
#           listed by label values and no query returns a sample. OTLP/HTTP does not retry a 500, so
#           one delta instrument costs its senders the whole batch.
# Output:   cumulative alone: status 200, names [alone_total], samples [alone_total]
#           cumulative beside delta: status 500, names [alone_total beside_total], samples [alone_total]
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require (
	github.com/prometheus/client_golang v1.24.1
	github.com/prometheus/prometheus v0.315.0
	go.opentelemetry.io/proto/otlp v1.11.0
	google.golang.org/protobuf v1.36.12
)
E
cat > main.go <<'E'
package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
)

const (
	cumulative = metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	delta      = metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func counter(name string, temporality metrics.AggregationTemporality) *metrics.Metric {
	now := time.Now()
	return &metrics.Metric{Name: name, Data: &metrics.Metric_Sum{Sum: &metrics.Sum{
		IsMonotonic: true, AggregationTemporality: temporality,
		DataPoints: []*metrics.NumberDataPoint{{
			StartTimeUnixNano: uint64(now.Add(-time.Second).UnixNano()), TimeUnixNano: uint64(now.UnixNano()),
			Value: &metrics.NumberDataPoint_AsInt{AsInt: 7},
		}},
	}}}
}

func main() {
	db := must(tsdb.Open(must(os.MkdirTemp(".", "")), nil, nil, tsdb.DefaultOptions(), nil))
	defer db.Close()
	server := httptest.NewServer(remote.NewOTLPWriteHandler(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), db,
		func() config.Config { return config.DefaultConfig }, remote.OTLPOptions{}))
	defer server.Close()
	post := func(what string, ms ...*metrics.Metric) string {
		body := must(proto.Marshal(&collector.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{
			{ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: ms}}}}}))
		response := must(http.Post(server.URL, "application/x-protobuf", bytes.NewReader(body)))
		response.Body.Close()
		querier := must(db.Querier(0, time.Now().Add(time.Minute).UnixMilli()))
		defer querier.Close()
		names, _, err := querier.LabelValues(context.Background(), labels.MetricName, nil)
		must(0, err)
		sampled := []string{}
		series := querier.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+"))
		for series.Next() {
			if series.At().Iterator(nil).Next() != chunkenc.ValNone {
				sampled = append(sampled, series.At().Labels().Get(labels.MetricName))
			}
		}
		return fmt.Sprintf("%s: status %d, names %v, samples %v", what, response.StatusCode, names, sampled)
	}
	fmt.Println(post("cumulative alone", counter("alone", cumulative)))
	fmt.Println(post("cumulative beside delta", counter("beside", cumulative), counter("delta", delta)))
}
E
output=$(GOFLAGS=-mod=mod go run .)
observed='cumulative alone: status 200, names [alone_total], samples [alone_total]
cumulative beside delta: status 500, names [alone_total beside_total], samples [alone_total]'
echo 'version:  github.com/prometheus/prometheus v0.315.0'
echo 'expected: the delta sum alone is dropped; the cumulative sum of the same request is stored'
echo 'observed: 500; the cumulative sample is rolled back, its series stays without samples'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
