package export

import (
	"math"
	"slices"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
)

// histogram translates cumulative buckets into OpenTelemetry's separate ones. Without a
// sum it is NaN: none.
func histogram(f *dto.MetricFamily, at time.Time) metricdata.Histogram[float64] {
	h := metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality}
	for _, m := range f.Metric {
		given := m.GetHistogram()
		dp := metricdata.HistogramDataPoint[float64]{Attributes: customLabels(m), Time: at, Count: countOf(given), Sum: math.NaN()}
		if given.SampleSum != nil {
			dp.Sum = given.GetSampleSum()
		}
		before := uint64(0)
		for _, b := range given.GetBucket() {
			if math.IsInf(b.GetUpperBound(), 1) {
				continue
			}
			dp.Bounds = append(dp.Bounds, b.GetUpperBound())
			dp.BucketCounts = append(dp.BucketCounts, b.GetCumulativeCount()-min(before, b.GetCumulativeCount()))
			before = b.GetCumulativeCount()
		}
		dp.BucketCounts = append(dp.BucketCounts, dp.Count-min(before, dp.Count))
		h.DataPoints = append(h.DataPoints, dp)
	}
	return h
}

// countOf is the count of a histogram; without one it is that of its largest bucket.
func countOf(h *dto.Histogram) uint64 {
	if h.SampleCount != nil {
		return h.GetSampleCount()
	}
	most := uint64(0)
	for _, b := range h.GetBucket() {
		most = max(most, b.GetCumulativeCount())
	}
	return most
}

// withoutSums removes the sums that are none, which the SDK sends as NaN.
func withoutSums(r *collectorpb.ExportMetricsServiceRequest) {
	for _, resource := range r.GetResourceMetrics() {
		for _, scope := range resource.GetScopeMetrics() {
			for _, m := range scope.GetMetrics() {
				for _, p := range m.GetHistogram().GetDataPoints() {
					if math.IsNaN(p.GetSum()) {
						p.Sum = nil
					}
				}
			}
		}
	}
}

// parts splits a histogram or a summary that lacks a sum or a count into the series that it
// has, because the page would show 0 for what it lacks.
func parts(f *dto.MetricFamily) []*dto.MetricFamily {
	if !slices.ContainsFunc(f.Metric, lacking) {
		return []*dto.MetricFamily{f}
	}
	var split []*dto.MetricFamily
	add := func(end string, m *dto.Metric, value float64, more ...*dto.LabelPair) {
		name := f.GetName() + end
		i := slices.IndexFunc(split, func(other *dto.MetricFamily) bool { return other.GetName() == name })
		if i < 0 {
			i = len(split)
			split = append(split, &dto.MetricFamily{Name: &name, Help: f.Help, Type: dto.MetricType_UNTYPED.Enum()})
		}
		split[i].Metric = append(split[i].Metric, &dto.Metric{Label: append(slices.Clip(m.Label), more...), Untyped: &dto.Untyped{Value: &value}})
	}
	for _, m := range f.Metric {
		sum, count := m.GetHistogram().GetSampleSum(), m.GetHistogram().GetSampleCount()
		hasSum, hasCount := m.Histogram != nil && m.Histogram.SampleSum != nil, m.Histogram != nil && m.Histogram.SampleCount != nil
		if s := m.Summary; s != nil {
			sum, count, hasSum, hasCount = s.GetSampleSum(), s.GetSampleCount(), s.SampleSum != nil, s.SampleCount != nil
		}
		for _, b := range m.GetHistogram().GetBucket() {
			add("_bucket", m, float64(b.GetCumulativeCount()), bound("le", b.GetUpperBound()))
		}
		for _, q := range m.GetSummary().GetQuantile() {
			add("", m, q.GetValue(), bound("quantile", q.GetQuantile()))
		}
		if hasSum {
			add("_sum", m, sum)
		}
		if hasCount {
			add("_count", m, float64(count))
		}
	}
	return split
}

// lacking reports whether a histogram or a summary has no sum or no count.
func lacking(m *dto.Metric) bool {
	if h := m.Histogram; h != nil {
		return h.SampleSum == nil || h.SampleCount == nil
	}
	return m.Summary != nil && (m.Summary.SampleSum == nil || m.Summary.SampleCount == nil)
}

// bound is the label of a bucket or a quantile.
func bound(name string, v float64) *dto.LabelPair {
	text := strconv.FormatFloat(v, 'g', -1, 64)
	return &dto.LabelPair{Name: &name, Value: &text}
}
