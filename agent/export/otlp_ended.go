package export

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
)

// noValue is the flag of a point without a recorded value, by which OTLP says that a
// series has ended.
const noValue = uint32(metricspb.DataPointFlags_DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK)

// appendEnded adds the ends of series to the request that the SDK's exporter has made
// of the readings' scopes, in their order.
func appendEnded(request *collectorpb.ExportMetricsServiceRequest, readings []scopeReading) {
	for _, rm := range request.ResourceMetrics {
		for i, scope := range rm.ScopeMetrics[:min(len(rm.ScopeMetrics), len(readings))] {
			for j := range readings[i].ended {
				m := endedMetric(&readings[i].ended[j], uint64(readings[i].at.UnixNano()))
				if readings[i].scope.Scope.Name == customScope && readings[i].ended[j].monotonic {
					m.Name = strings.TrimSuffix(m.Name, "_total") // As withoutTotal has it.
				}
				scope.Metrics = append(scope.Metrics, m)
			}
		}
	}
}

// endedMetric makes the metric with the one point that says that a series has ended.
func endedMetric(e *endedSeries, at uint64) *metricspb.Metric {
	m := &metricspb.Metric{Name: e.name, Description: e.description, Unit: e.unit}
	attributes := attributesOf(e.attributes)
	temporality := metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	if e.temporality == metricdata.DeltaTemporality {
		temporality = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	}
	if e.kind == histogramSeries {
		m.Data = &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{
			AggregationTemporality: temporality,
			DataPoints:             []*metricspb.HistogramDataPoint{{Attributes: attributes, TimeUnixNano: at, Flags: noValue}},
		}}
		return m
	}
	points := []*metricspb.NumberDataPoint{{Attributes: attributes, TimeUnixNano: at, Flags: noValue}}
	if e.kind == sumSeries {
		m.Data = &metricspb.Metric_Sum{Sum: &metricspb.Sum{AggregationTemporality: temporality, IsMonotonic: e.monotonic, DataPoints: points}}
	} else {
		m.Data = &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: points}}
	}
	return m
}

// attributesOf are the attributes of a series in OTLP.
func attributesOf(set attribute.Set) []*commonpb.KeyValue {
	attributes := make([]*commonpb.KeyValue, 0, set.Len())
	for it := set.Iter(); it.Next(); {
		kv := it.Attribute()
		value := &commonpb.AnyValue{}
		switch kv.Value.Type() {
		case attribute.BOOL:
			value.Value = &commonpb.AnyValue_BoolValue{BoolValue: kv.Value.AsBool()}
		case attribute.INT64:
			value.Value = &commonpb.AnyValue_IntValue{IntValue: kv.Value.AsInt64()}
		case attribute.FLOAT64:
			value.Value = &commonpb.AnyValue_DoubleValue{DoubleValue: kv.Value.AsFloat64()}
		default: // No collector of ours has lists.
			value.Value = &commonpb.AnyValue_StringValue{StringValue: kv.Value.String()}
		}
		attributes = append(attributes, &commonpb.KeyValue{Key: string(kv.Key), Value: value})
	}
	return attributes
}
