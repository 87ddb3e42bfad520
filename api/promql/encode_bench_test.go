package promql

import (
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// BenchmarkEncodeChart writes the data of a chart: 20 series of 500 points.
func BenchmarkEncodeChart(b *testing.B) {
	var m promql.Matrix
	for i := range 20 {
		s := promql.Series{Metric: labels.FromStrings(model.MetricNameLabel, "system_cpu_time_seconds_total", "host_name", "h", "cpu", strconv.Itoa(i))}
		for k := range int64(500) {
			s.Floats = append(s.Floats, promql.FPoint{T: 1763000000000 + 7200*k, F: float64(k) / 7})
		}
		m = append(m, s)
	}
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		e := newEncoder(w)
		e.value(m, nil)
		e.end(nil, "")
		e.free()
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) WriteHeader(int)             {}
func (discard) Write(p []byte) (int, error) { return io.Discard.Write(p) }
