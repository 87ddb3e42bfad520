package pipeline

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"sysotel/instruments"
)

// TestPageTextIsTheRegistrys: what is written from memory is what the exporter
// and its registry write, in both formats, again and again while series come,
// change and go.
func TestPageTextIsTheRegistrys(t *testing.T) {
	var log logbook
	p := shown(t, &log, instruments.Hostmetrics, typedReadings(t), true)
	registry := p.page.registry
	f := p.byName["disk"]
	whole := f.newest.Load()
	none := &snapshot{reading: &instruments.Disk{}, at: whole.at}
	changed := *whole.reading.(*instruments.Disk)
	changed.Devices = slices.Clone(changed.Devices)
	changed.Devices[0].ReadBytes += 4096
	for _, step := range []*snapshot{whole, none, {reading: &changed, at: whole.at}, whole} {
		f.newest.Store(step)
		for _, accept := range []string{"", "application/openmetrics-text; version=1.0.0", "text/plain; version=1.0.0; q=0.9"} {
			ours := scrape(t, p, "Accept", accept)
			theirs := scrape(t, &Pipeline{Page: registry}, "Accept", accept)
			equal(t, "content type", ours.Header().Get("Content-Type"), theirs.Header().Get("Content-Type"))
			equal(t, "the page", sorted(ours.Body.String()), sorted(theirs.Body.String()))
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

// sorted are the lines of a page in an order of their own: custom metrics stand
// last on ours and by their names on the registry's.
func sorted(page string) string {
	return strings.Join(slices.Sorted(strings.Lines(page)), "")
}
