package export

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sysotel/instruments"
)

// TestPageTextIsTheRegistrys: what is written from memory is what the exporter
// and its registry write, in both formats, again and again while series come,
// change and go.
func TestPageTextIsTheRegistrys(t *testing.T) {
	var log logbook
	p := shown(t, &log, instruments.Hostmetrics, typedReadings(t), true)
	registry := p.page.registry
	whole, moment := p.machine.Newest("disk")
	changed := *whole.(*instruments.Disk)
	changed.Devices = slices.Clone(changed.Devices)
	changed.Devices[0].ReadBytes += 4096
	for _, step := range []instruments.Reading{whole, &instruments.Disk{}, &changed, whole} {
		p.machine.(*machine).set("disk", step, moment)
		for _, accept := range []string{"", "application/openmetrics-text; version=1.0.0", "text/plain; version=1.0.0; q=0.9"} {
			ours := scrape(t, p, "Accept", accept)
			theirs := scrape(t, &Exporter{Page: registry}, "Accept", accept)
			equal(t, "content type", ours.Header().Get("Content-Type"), theirs.Header().Get("Content-Type"))
			equal(t, "the page", sorted(ours.Body.String()), sorted(theirs.Body.String()))
			for _, query := range []string{"name[]=node_load1&name[]=system_disk_io_bytes_total&name[]=no", "name[]=no"} {
				part := func(of http.Handler) string {
					request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics?"+query, nil)
					request.Header.Set("Accept", accept)
					page := httptest.NewRecorder()
					of.ServeHTTP(page, request)
					equal(t, "status", page.Code, http.StatusOK)
					return sorted(page.Body.String())
				}
				equal(t, query, part(p.Page), part(registry))
			}
		}
	}
	log.want(t, 0, "")
	for _, c := range []struct{ path, accept, has, lacks string }{
		{"/metrics?name[]=node_load1", "", "node_load1{", "node_load5{"},
		{"/metrics", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", "node_load1", "# HELP"},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil)
		request.Header.Set("Accept", c.accept)
		page := httptest.NewRecorder()
		p.Page.ServeHTTP(page, request)
		if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), c.has) || strings.Contains(page.Body.String(), c.lacks) {
			t.Errorf("%s as %q: %d %.200s", c.path, c.accept, page.Code, page.Body)
		}
	}
}

// TestPageTakesWhatIsCollectedAnyway: where the page is asked for at every tick the
// SDK collects each tick once, for the page and the push; the page is the same.
func TestPageTakesWhatIsCollectedAnyway(t *testing.T) {
	c := Defaults()
	c.OTLP.Endpoint = "http://127.0.0.1:1"
	a, err := newAgent(testOptions(t, c, &logbook{}), &logbook{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Shutdown(context.WithoutCancel(t.Context())) })
	var collections int
	counted := &countedReader{Reader: a.page.text.reader, collected: &collections}
	a.page.text.reader = counted
	for second := range 10 {
		a.tick(t, second, map[string]instruments.Reading{
			"load": &instruments.Load{One: float64(second)}, "custom": custom(t, customText),
			"cpu": &instruments.CPU{Cores: []instruments.Core{core("cpu0", float64(second))}, Logical: 1},
		})
		if second == 5 || second == 6 {
			continue // Nobody asks; the next page is collected for itself.
		}
		for range 2 {
			ours, theirs := scrape(t, a.Exporter), scrape(t, &Exporter{Page: a.page.registry})
			equal(t, "the page", sorted(ours.Body.String()), sorted(theirs.Body.String()))
			if load := fmt.Sprintf("system_cpu_load_average_1m{host_name=\"host-1\"} %d\n", second); !strings.Contains(ours.Body.String(), load) {
				t.Errorf("the page of second %d has not %s", second, load)
			}
		}
	}
	equal(t, "collections for the page alone", collections, 2)
	// A collector that failed is not on the page.
	a.tick(t, 10, map[string]instruments.Reading{"load": &instruments.Load{One: 10}, "cpu": nil})
	if page := scrape(t, a.Exporter).Body.String(); strings.Contains(page, "system_cpu_time") || !strings.Contains(page, "system_cpu_load_average") {
		t.Errorf("the page without the CPU is %s", page)
	}
	equal(t, "collections for the page alone", collections, 2)
}

// countedReader counts the collections.
type countedReader struct {
	sdkmetric.Reader
	collected *int
}

// Collect implements sdkmetric.Reader.
func (r *countedReader) Collect(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	*r.collected++
	return r.Reader.Collect(ctx, rm)
}

// sorted are the lines of a page in an order of their own: custom metrics stand
// last on ours and by their names on the registry's.
func sorted(page string) string {
	return strings.Join(slices.Sorted(strings.Lines(page)), "")
}
