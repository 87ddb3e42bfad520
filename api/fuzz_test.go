package api

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sysotel/agent/query"
	"sysotel/instruments/sanitize"
)

func FuzzMoment(f *testing.F) {
	for _, seed := range []string{"now", "-15m", "-7d", "1770028200", "1770028200.5", "2026-02-02T10:30:00Z", "2026-02-02T10:30:00 02:00", "-0", "1e300", "NaN", "0000-01-01T00:00:00Z"} {
		f.Add(seed)
	}
	now := time.Date(2026, 2, 2, 10, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		if at, ok := parseTime(text, now); ok {
			if strings.HasPrefix(text, "-") && at.After(now) {
				t.Errorf("%q is %s, after now", text, at)
			}
			if at.Year() > 9999 {
				t.Errorf("%q is the year %d", text, at.Year())
			}
		}
		from, to, invalid := timeRange(text, "now", time.Hour, now)
		if invalid == nil && (!from.Before(to) || to.Sub(from) > maxRange) {
			t.Errorf("%q is from %s to %s", text, from, to)
		}
		if step, ok := parseStep(text); ok && (step <= 0 || step > maxRange) {
			t.Errorf("the step %q is %s", text, step)
		}
	})
}

// FuzzQuery calls every operation with parameters. Whatever they are, the response
// is valid or a problem in valid JSON, never an internal error.
func FuzzQuery(f *testing.F) {
	f.Add("disk", "metric=disk_read_bytes&agg=avg,min&start=-1h&step=30s&device=sda", "application/json")
	f.Add("cpu", "core=cpu0&core=%ff&max_points=1&host=x%00", "text/csv;q=1, */*;q=NaN")
	f.Add("processes", "top=1&sort=cpu&q=%3Cimg%20onerror%3D%3E&at=now", "")
	f.Add("network", "start=0&end=253402300799&step=0.001", "text/csv")
	f.Add("events", "start=-1h&kind=gap&limit=1&cursor=1.1", "*/*")
	f.Add("memory", "agg=;&%zz&metric[]=x", "\xff,;q=")
	s := withHistory(f, &fakeHistory{answer: twoDisks})
	paths := []string{"disk", "cpu", "memory", "network", "processes", "current"}
	f.Fuzz(func(t *testing.T, path, query, accept string) {
		target := "/api/v1/events"
		for _, known := range paths {
			if path == known {
				target = seriesPath + path
			}
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		r.Host, r.URL.RawQuery = "localhost", query
		r.Header["Accept"] = []string{accept}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r.WithContext(withCaller(r.Context(), Caller{Role: Viewer})))
		body := w.Body.Bytes()
		switch {
		case w.Code == http.StatusInternalServerError:
			t.Fatalf("%s?%s failed: %s", target, query, body)
		case strings.Contains(w.Header().Get("Content-Type"), "json") && !json.Valid(body), !utf8.Valid(body):
			t.Fatalf("%s?%s gave %d %q", target, query, w.Code, body)
		}
	})
}

// FuzzCSV writes a table with a hostile label: it is read back as the same text in
// one cell that spreadsheets do not evaluate.
func FuzzCSV(f *testing.F) {
	returns := regexp.MustCompile("\r+\n")
	for _, seed := range []string{"sda", "=cmd|' /C calc'!A0", " =1+1", "\uff1d1+1", "a\r\nb,\"c", "\t@SUM(1)", "\xff", "'", "\u202e=1", "\r\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, label string) {
		a := &seriesResponse{
			plan: &seriesPlan{group: seriesGroup{name: "disk", labels: []string{"device"}}, aggregates: []string{"avg"}},
			series: []resultSeries{{
				SelectedSeries: query.SelectedSeries{T: []int64{0, 1}, Avg: []float64{1, 2}},
				metric:         "disk_read_bytes", unit: "bytes/s", scale: 1, names: []string{"device"}, values: []string{sanitize.ValidUTF8(label)},
			}},
		}
		var text strings.Builder
		w := bufio.NewWriter(&text)
		a.writeCSV(w)
		_ = w.Flush()
		lines, err := csv.NewReader(strings.NewReader(text.String())).ReadAll()
		if err != nil || len(lines) != 3 || len(lines[1]) != 5 {
			t.Fatalf("%q made %d lines of %q: %v", label, len(lines), text.String(), err)
		}
		cell := lines[1][3]
		// CSV readers may read \r\n as \n.
		plain := func(s string) string { return returns.ReplaceAllString(s, "\n") }
		got := plain(cell)
		if harmlessCell(sanitize.ValidUTF8(label)) != sanitize.ValidUTF8(label) {
			got = strings.TrimPrefix(got, "'")
		}
		if got != plain(sanitize.ValidUTF8(label)) {
			t.Errorf("%q is read as %q", label, cell)
		}
		if shown := strings.TrimSpace(cell); shown != "" && strings.ContainsAny(shown[:1], "=+-@|%") {
			t.Errorf("%q is a formula: %q", label, cell)
		}
	})
}

// FuzzHost: the origin check accepts only names of this machine, which browsers do
// not resolve to another host.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{"localhost:8080", "[::1]:80", "127.0.0.1.", "[::1", "localhost:x@evil", "[localhost]", "127.1", "::1"} {
		f.Add(seed)
	}
	g := newOriginCheck(HTTPConfig{Listen: "127.0.0.1:8080", ExternalURL: "https://box.example"})
	f.Fuzz(func(t *testing.T, host string) {
		if !g.knowsHost(host) {
			return
		}
		lower := strings.ToLower(host)
		for _, own := range []string{"localhost", "127.", "[::1", "[0", "[::ffff:", "::1", "0", "::ffff:", "box.example", "[localhost]", "[box.example]"} {
			if strings.HasPrefix(lower, own) || strings.HasPrefix(lower, "["+own) {
				return
			}
		}
		t.Errorf("%q is let through", host)
	})
}
