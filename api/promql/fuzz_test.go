package promql

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/promqltest"

	"sysotel/agent/query"
)

// FuzzParameters requests every path with any parameters. Whatever they are, the
// response has Prometheus' envelope and is no internal error.
func FuzzParameters(f *testing.F) {
	for _, seed := range []struct{ path, form string }{
		{"query", "query=up&time=1&timeout=1s&limit=1"},
		{"query", "query=rate(cpu_total[1m])&time=1e300"},
		{"query_range", "query=sum(up)&start=0&end=60&step=10"},
		{"query_range", "query=increase(cpu_total[5m:1s])&start=-1&end=9223372036854775807&step=NaN"},
		{"series", "match[]={__name__=~\".%2B\"}&start=0&limit=-1"},
		{"labels", "match[]=up&end=2026-02-02T10:30:00Z"},
		{"label/host_name/values", "match[]=%7B%7D"},
		{"label/%ff/values", "start=292277025-08-18T07:12:54.999999999Z"},
		{"metadata", "metric=up&limit=1&limit_per_metric=x"},
		{"format_query", "query=a%2Bb"},
		{"status/buildinfo", "%zz"},
		{"../../etc/passwd", "query=%00"},
	} {
		f.Add(seed.path, seed.form)
	}
	limits := query.DefaultLimits()
	limits.Timeout, limits.Memory, limits.Points = time.Second, 1<<20, 1_000
	storage := promqltest.LoadedStorage(f, script)
	h := New(Config{
		Querier: query.NewQuerier(query.Config{
			Tiers: func() []query.Source { return []query.Source{oneTier{storage}} }, Interval: time.Minute, Limits: limits,
		}),
		Metadata: func() map[string]Metadata { return map[string]Metadata{"up": {Type: "gauge"}} },
		Now:      func() time.Time { return time.Unix(20, 0) }, Log: slog.New(slog.DiscardHandler),
	})
	f.Fuzz(func(t *testing.T, path, form string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL.Path, r.URL.RawQuery = "/api/v1/"+path, form
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= http.StatusMultipleChoices && w.Code < http.StatusBadRequest {
			return // The mux redirects to the clean path.
		}
		if w.Code == http.StatusInternalServerError || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s?%s gave %d %q", path, form, w.Code, w.Body)
		}
	})
}
