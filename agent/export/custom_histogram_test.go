package export

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"sysotel/agent/store"
	"sysotel/instruments"
	"sysotel/instruments/exposition"
)

// partial are a histogram and a summary that lack a sum or a count, and metrics without a
// type.
const partial = `# TYPE wait histogram
wait_bucket{le="1"} 1
wait_bucket{le="+Inf"} 3
wait_count 3
# TYPE size histogram
size_bucket{le="1"} 2
size_bucket{le="+Inf"} 4
# TYPE delay summary
delay{quantile="0.5"} 0.25
delay_count 7
jobs_total 5
# TYPE runs counter
runs_total 6
bytes_sum 8
items_count -1
queue 9
`

func partialReading(t *testing.T) *instruments.Custom {
	t.Helper()
	families, errs := exposition.Parse([]byte(partial))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return &instruments.Custom{Families: families}
}

// TestCustomMetricsWithoutAType: the store rolls up what counts by its name, unless its
// values say otherwise.
func TestCustomMetricsWithoutAType(t *testing.T) {
	a, k := keeping(t)
	a.tick(t, 0, map[string]instruments.Reading{"custom": partialReading(t)})
	var got []string
	for _, s := range k.collector(t, "custom").Samples {
		kind := "gauge"
		if s.Series.Kind == store.Counter {
			kind = "counter"
		}
		l := s.Series.Labels
		got = append(got, fmt.Sprint(l.Get(model.MetricNameLabel), l.Get("le"), l.Get("quantile"), " ", kind, " ", s.Value))
	}
	slices.Sort(got)
	want := []string{
		"bytes_sum counter 8", "delay0.5 gauge 0.25", "delay_count counter 7", "items_count gauge -1", "jobs_total counter 5", "queue gauge 9", "runs_total counter 6",
		"size_bucket+Inf counter 4", "size_bucket1 counter 2", "size_count counter 4", "wait_bucket+Inf counter 3", "wait_bucket1 counter 1", "wait_count counter 3",
	}
	equal(t, "series", strings.Join(got, "\n"), strings.Join(want, "\n"))
}

// TestHistogramWithoutSum: neither the page nor the push makes a sum of 0 of none.
func TestHistogramWithoutSum(t *testing.T) {
	families, err := customPage{holding(at("12:00:00"), map[string]instruments.Reading{"custom": partialReading(t)}), "h"}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&page, f); err != nil {
			t.Fatal(err)
		}
	}
	for _, wanted := range []string{"wait_bucket{host_name=\"h\",le=\"1\"} 1\n", "wait_count{host_name=\"h\"} 3\n", "size_bucket{host_name=\"h\",le=\"+Inf\"} 4\n", "delay{host_name=\"h\",quantile=\"0.5\"} 0.25\n", "delay_count{host_name=\"h\"} 7\n"} {
		if !strings.Contains(page.String(), wanted) {
			t.Errorf("the page lacks %s:\n%s", wanted, page.String())
		}
	}
	for _, none := range []string{"wait_sum", "size_sum", "size_count", "delay_sum"} {
		if strings.Contains(page.String(), none) {
			t.Errorf("the page has %s:\n%s", none, page.String())
		}
	}
	all := partialReading(t).Families
	wait := slices.IndexFunc(all, func(f *dto.MetricFamily) bool { return f.GetName() == "wait" })
	nan, sum := histogram(all[wait], at("12:00:00")).DataPoints[0].Sum, 2.0
	request := &collectorpb.ExportMetricsServiceRequest{ResourceMetrics: []*metricspb.ResourceMetrics{{ScopeMetrics: []*metricspb.ScopeMetrics{{Metrics: []*metricspb.Metric{{
		Data: &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{DataPoints: []*metricspb.HistogramDataPoint{{Sum: &nan}, {Sum: &sum}}}},
	}}}}}}}
	withoutSums(request)
	points := request.ResourceMetrics[0].ScopeMetrics[0].Metrics[0].GetHistogram().GetDataPoints()
	if points[0].Sum != nil || points[1].GetSum() != 2 {
		t.Errorf("%v", points)
	}
}
