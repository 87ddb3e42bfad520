package export

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sysotel/instruments"
	"sysotel/instruments/exposition"
	"sysotel/instruments/sanitize"
)

// customScope is the instrumentation scope of metrics that are not ours.
const customScope = "sysotel/custom/metrics"

// customProducer passes metrics from text files and commands to a push, by their original
// names. They bypass the instruments, because they may change at any time and may be
// histograms.
type customProducer struct{ machine Machine }

var _ sdkmetric.Producer = customProducer{}

// Produce implements sdkmetric.Producer. Each reader gets points of its own, because a
// push timestamps them in place.
func (p customProducer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	reading, at := p.machine.Newest("custom")
	custom, ok := reading.(*instruments.Custom)
	if !ok {
		return nil, nil
	}
	scope := metricdata.ScopeMetrics{Scope: instrumentation.Scope{Name: customScope}}
	for _, f := range custom.Families {
		scope.Metrics = append(scope.Metrics, customMetrics(f, at)...)
	}
	// The helper point is there even on its own, so that the end of the last metric is
	// noticed.
	scope.Metrics = append(scope.Metrics, metricdata.Metrics{
		Name: instruments.ReadingTimeName, Unit: "s",
		Data: metricdata.Gauge[float64]{DataPoints: []metricdata.DataPoint[float64]{{Value: float64(at.UnixMilli()) / 1000}}},
	})
	return []metricdata.ScopeMetrics{scope}, nil
}

// customPage puts the custom metrics on the page with their original names and types: in
// OpenTelemetry a summary would lose both.
type customPage struct {
	machine  Machine
	hostName string
}

var _ prometheus.Gatherer = customPage{}

// Gather implements prometheus.Gatherer. No source has a host_name of its own: the
// collector custom rejects it.
func (p customPage) Gather() ([]*dto.MetricFamily, error) {
	reading, _ := p.machine.Newest("custom")
	custom, ok := reading.(*instruments.Custom)
	if !ok {
		return nil, nil
	}
	name := "host_name"
	host := &dto.LabelPair{Name: &name, Value: &p.hostName}
	var families []*dto.MetricFamily
	for _, f := range custom.Families {
		shown := &dto.MetricFamily{Name: f.Name, Help: f.Help, Type: f.Type, Unit: f.Unit}
		for _, m := range f.Metric {
			labels := append(slices.Clip(m.Label), host)
			slices.SortFunc(labels, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
			shown.Metric = append(shown.Metric, &dto.Metric{
				Label: labels, Gauge: m.Gauge, Counter: m.Counter, Summary: m.Summary, Untyped: m.Untyped, Histogram: m.Histogram,
			})
		}
		families = append(families, parts(shown)...)
	}
	return families, nil
}

// customMetrics translates one metric family of the Prometheus text format. A summary
// becomes a gauge with one point per quantile and the counters _sum and _count.
func customMetrics(f *dto.MetricFamily, at time.Time) []metricdata.Metrics {
	one := func(name string, data metricdata.Aggregation) metricdata.Metrics {
		return metricdata.Metrics{Name: name, Description: f.GetHelp(), Data: data}
	}
	counter := func(points []metricdata.DataPoint[float64]) metricdata.Aggregation {
		return metricdata.Sum[float64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: true, DataPoints: points}
	}
	switch f.GetType() {
	case dto.MetricType_COUNTER:
		var points []metricdata.DataPoint[float64]
		for _, m := range f.Metric {
			points = append(points, point(m, m.GetCounter().GetValue(), at))
		}
		return []metricdata.Metrics{one(f.GetName(), counter(points))}
	case dto.MetricType_HISTOGRAM:
		return []metricdata.Metrics{one(f.GetName(), histogram(f, at))}
	case dto.MetricType_SUMMARY:
		var quantiles, sums, counts []metricdata.DataPoint[float64]
		for _, m := range f.Metric {
			for _, q := range m.GetSummary().GetQuantile() {
				quantiles = append(quantiles, point(m, q.GetValue(), at, attribute.Float64("quantile", q.GetQuantile())))
			}
			if m.GetSummary().SampleSum != nil {
				sums = append(sums, point(m, m.GetSummary().GetSampleSum(), at))
			}
			if m.GetSummary().SampleCount != nil {
				counts = append(counts, point(m, float64(m.GetSummary().GetSampleCount()), at))
			}
		}
		return []metricdata.Metrics{
			one(f.GetName(), metricdata.Gauge[float64]{DataPoints: quantiles}),
			one(f.GetName()+"_sum", counter(sums)), one(f.GetName()+"_count", counter(counts)),
		}
	}
	var points []metricdata.DataPoint[float64]
	for _, m := range f.Metric {
		value := m.GetGauge().GetValue()
		if m.Gauge == nil {
			value = m.GetUntyped().GetValue()
		}
		points = append(points, point(m, value, at))
	}
	if strings.HasSuffix(f.GetName(), "_total") && exposition.IsCounter(f) {
		return []metricdata.Metrics{one(f.GetName(), counter(points))}
	}
	// Counters of other names without a type too: as a sum they would be named _total where
	// OpenTelemetry's names are translated.
	return []metricdata.Metrics{one(f.GetName(), metricdata.Gauge[float64]{DataPoints: points})}
}

// withoutTotal copies metrics with OpenTelemetry's names: its counters have no _total,
// which is added again in the translation to Prometheus.
func withoutTotal(metrics []metricdata.Metrics) []metricdata.Metrics {
	metrics = slices.Clone(metrics)
	for i, m := range metrics {
		if sum, ok := m.Data.(metricdata.Sum[float64]); ok && sum.IsMonotonic {
			metrics[i].Name = strings.TrimSuffix(m.Name, "_total")
		}
	}
	return metrics
}

func point(m *dto.Metric, value float64, at time.Time, more ...attribute.KeyValue) metricdata.DataPoint[float64] {
	return metricdata.DataPoint[float64]{Attributes: customLabels(m, more...), Time: at, Value: value}
}

func customLabels(m *dto.Metric, more ...attribute.KeyValue) attribute.Set {
	kvs := more
	for _, l := range m.GetLabel() {
		kvs = append(kvs, attribute.String(l.GetName(), sanitize.ValidUTF8(l.GetValue())))
	}
	return attribute.NewSet(kvs...)
}

// countedGauges are the names of the gauges of a reading that are counters of the store:
// those without a type.
func countedGauges(reading instruments.Reading) map[string]bool {
	custom, ok := reading.(*instruments.Custom)
	if !ok {
		return nil
	}
	counted := map[string]bool{}
	for _, f := range custom.Families {
		if f.GetType() == dto.MetricType_UNTYPED && exposition.IsCounter(f) {
			counted[f.GetName()] = true
		}
	}
	return counted
}

// validLabels makes label values valid UTF-8; device names may be hostile.
func validLabels(values []string) []string {
	for i, v := range values {
		values[i] = sanitize.ValidUTF8(v)
	}
	return values
}
