package export

import (
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sysotel/instruments"
)

const customText = `# HELP raid_failed_disks Disks that have failed.
# TYPE raid_failed_disks gauge
raid_failed_disks{array="md0"} 1
# HELP backups_total Backups that were made.
# TYPE backups_total counter
backups_total{kind="full"} 3
# HELP backup_seconds How long backups took.
# TYPE backup_seconds histogram
backup_seconds_bucket{le="10"} 1
backup_seconds_bucket{le="60"} 4
backup_seconds_bucket{le="+Inf"} 5
backup_seconds_sum 210.5
backup_seconds_count 5
# HELP query_seconds How long queries took.
# TYPE query_seconds summary
query_seconds{quantile="0.5"} 0.25
query_seconds{quantile="0.99"} 2
query_seconds_sum 40
query_seconds_count 100
no_type 7
`

// custom parses text as the collector custom does.
func custom(t testing.TB, text string) *instruments.Custom {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r := &instruments.Custom{}
	for _, name := range []string{"raid_failed_disks", "backups_total", "backup_seconds", "query_seconds", "no_type"} {
		if f := families[name]; f != nil {
			r.Families = append(r.Families, f)
		}
	}
	return r
}

// produced is what the push destination gets of a reading of custom metrics.
func produced(t *testing.T, clock string, text string) *metricdata.ResourceMetrics {
	t.Helper()
	s := holding(at(clock), map[string]instruments.Reading{"custom": custom(t, text)})
	scopes, err := customProducer{machine: s}.Produce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return collected(scopes...)
}

func TestCustomMetrics(t *testing.T) {
	rm := produced(t, "12:00:00", customText)
	equal(t, "scopes", len(rm.ScopeMetrics), 1)
	equal(t, "scope", rm.ScopeMetrics[0].Scope.Name, customScope)
	for _, m := range rm.ScopeMetrics[0].Metrics {
		if h, ok := m.Data.(metricdata.Histogram[float64]); ok {
			p := h.DataPoints[0]
			equal(t, "buckets", len(p.BucketCounts), 3)
			equal(t, "to 10", p.BucketCounts[0], 1)
			equal(t, "to 60", p.BucketCounts[1], 3)
			equal(t, "beyond", p.BucketCounts[2], 1)
			equal(t, "bounds", len(p.Bounds), 2)
			equal(t, "sum", p.Sum, 210.5)
		}
	}
	s := testTimestamper(false)
	// Since when they count is not known, only that it is since they were seen.
	wantPoints(t, s, rm,
		"raid_failed_disks ", "1 from - to 12:00:00", "backups_total ", "3 from 12:00:00 to 12:00:00",
		"backup_seconds ", "5 from 12:00:00 to 12:00:00", "no_type ", "7 from - to 12:00:00",
		"query_seconds ", "0.25 from - to 12:00:00", "query_seconds  AGAIN", "2 from - to 12:00:00",
		"query_seconds_sum ", "40 from 12:00:00 to 12:00:00", "query_seconds_count ", "100 from 12:00:00 to 12:00:00")
	// The histogram starts anew, the others are gone.
	wantPoints(t, s, produced(t, "12:00:01", "# TYPE backup_seconds histogram\nbackup_seconds_bucket{le=\"+Inf\"} 1\nbackup_seconds_sum 1\nbackup_seconds_count 1\n"),
		"backup_seconds ", "1 from 12:00:00 to 12:00:01",
		"raid_failed_disks ", "gone at 12:00:01", "backups_total ", "gone at 12:00:01", "no_type ", "gone at 12:00:01",
		"query_seconds ", "gone at 12:00:01", "query_seconds  AGAIN", "gone at 12:00:01",
		"query_seconds_sum ", "gone at 12:00:01", "query_seconds_count ", "gone at 12:00:01")
	// The last one goes: the destination gets its end, once.
	wantPoints(t, s, produced(t, "12:00:02", ""), "backup_seconds ", "gone at 12:00:02")
	wantPoints(t, s, produced(t, "12:00:03", ""))
}

// TestWithoutCustomMetrics: a collector that is disabled or failed produces nothing.
func TestWithoutCustomMetrics(t *testing.T) {
	if scopes, err := (customProducer{machine: holding(at("12:00:00"), nil)}).Produce(t.Context()); err != nil || scopes != nil {
		t.Errorf("without a reading: %v, %v", scopes, err)
	}
}

// TestHistogramThatIsNotOne: buckets that fall must not become huge numbers.
func TestHistogramThatIsNotOne(t *testing.T) {
	count := func(n uint64) *uint64 { return &n }
	bound := func(v float64) *float64 { return &v }
	h := histogram(&dto.MetricFamily{Metric: []*dto.Metric{{Histogram: &dto.Histogram{
		SampleCount: count(2),
		Bucket:      []*dto.Bucket{{UpperBound: bound(1), CumulativeCount: count(5)}, {UpperBound: bound(2), CumulativeCount: count(3)}},
	}}}}, at("12:00:00"))
	for i, n := range h.DataPoints[0].BucketCounts {
		if n > 5 {
			t.Errorf("bucket %d holds %d", i, n)
		}
	}
}
