package api

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sysotel/agent/health"
	"sysotel/agent/records"
)

// tableOf is a response as CSV.
func tableOf(t *testing.T, w *httptest.ResponseRecorder) [][]string {
	t.Helper()
	if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || !strings.HasPrefix(got, "text/csv") || !strings.Contains(w.Header().Get("Content-Disposition"), ".csv") {
		t.Fatalf("%d %v: %s", w.Code, w.Header(), w.Body)
	}
	lines, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(lines) == 0 {
		t.Fatalf("%d lines: %v", len(lines), err)
	}
	return lines
}

// Every list of the API can be had as CSV, by parameter and by header; the header row has
// the names of the JSON.
func TestListsAreTables(t *testing.T) {
	s := newTestServer(t, ticked(), func(o *Options) {
		o.Health = func() []health.Component { return []health.Component{{Name: "cpu", Status: health.OK}} }
	})
	for target, list := range map[string]string{
		"/api/v1/metrics/processes?top=2": "processes", "/api/v1/health?": "parts", "/api/v1/hosts?": "hosts",
	} {
		var body map[string]any
		if err := json.Unmarshal(ask(s, http.MethodGet, target, nil).Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		rows, _ := body[list].([]any)
		if len(rows) == 0 {
			t.Fatalf("%s has no %s", target, list)
		}
		byParameter := tableOf(t, ask(s, http.MethodGet, target+"&format=csv", http.Header{"Accept": {"application/json"}}))
		byHeader := tableOf(t, ask(s, http.MethodGet, target, http.Header{"Accept": {"text/csv"}}))
		if !reflect.DeepEqual(byParameter[0], byHeader[0]) || len(byParameter) != len(rows)+1 {
			t.Errorf("%s: %d lines for %d rows; %v by header", target, len(byParameter), len(rows), byHeader[0])
		}
		for name := range rows[0].(map[string]any) {
			if !slices.Contains(byParameter[0], name) {
				t.Errorf("%s: no column %s in %v", target, name, byParameter[0])
			}
		}
		if w := ask(s, http.MethodGet, target+"&format=json", http.Header{"Accept": {"text/csv"}}); w.Header().Get("Content-Type") != jsonMedia {
			t.Errorf("%s: %v", target, w.Header())
		}
		problemOf(t, ask(s, http.MethodGet, target+"&format=xml", nil), http.StatusUnprocessableEntity)
	}
	// An error is a problem in any format.
	problemOf(t, ask(s, http.MethodGet, "/api/v1/metrics/processes?top=0&format=csv", nil), http.StatusUnprocessableEntity)
	problemOf(t, ask(s, http.MethodGet, "/api/v1/events?format=csv", nil), http.StatusServiceUnavailable)
}

// An operation whose response is a list has a table; a new one cannot be forgotten.
func TestEveryListIsATable(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	for route, op := range operationsOf(s) {
		content := op.Responses["200"].Content
		if content[jsonMedia] == nil || route.Method != http.MethodGet {
			continue
		}
		lists := 0
		body := elementOf(reflect.TypeOf(content[jsonMedia].Example))
		for _, c := range columnsOf(body) {
			if of := body.FieldByIndex(c.index).Type; of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct {
				lists++
			}
		}
		if route.Path == "/api/v1/metrics/current" {
			continue // A document with lists of different things.
		}
		if (lists > 0) != (content[csvMedia] != nil) {
			t.Errorf("%s has %d lists, and as CSV: %v", route.Path, lists, content[csvMedia] != nil)
		}
	}
}

// What is no table cannot be had as CSV.
func TestNotAcceptable(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	onlyCSV := http.Header{"Accept": {"text/csv"}}
	for _, path := range []string{"/api/v1/metrics/current", "/api/v1/metrics/stream", "/api/v1/auth/me", "/api/v1/alerts/rules/export"} {
		for _, w := range []*httptest.ResponseRecorder{ask(s, http.MethodGet, path+"?format=csv", nil), ask(s, http.MethodGet, path, onlyCSV)} {
			if detail, _ := problemOf(t, w, http.StatusNotAcceptable); !strings.Contains(detail, "no table") {
				t.Errorf("%s: %s", path, detail)
			}
		}
	}
	for _, accept := range []string{"*/*", "text/csv, */*;q=0.1", "application/json", "text/html", "", "text/csv;q=0", "application/*, text/csv"} {
		if w := ask(s, http.MethodGet, "/api/v1/metrics/current", http.Header{"Accept": {accept}}); w.Code != http.StatusOK {
			t.Errorf("%q: %d %s", accept, w.Code, w.Body)
		}
	}
	problemOf(t, askAs(s, Admin, http.MethodDelete, "/api/v1/tokens/x?format=csv", nil), http.StatusNotAcceptable)
}

// The cells are those of the JSON; the header row does not depend on the data.
func TestRowsOfATable(t *testing.T) {
	var text strings.Builder
	write := func(rows any) [][]string {
		text.Reset()
		w := bufio.NewWriter(&text)
		writeRows(w, reflect.ValueOf(rows))
		_ = w.Flush()
		lines, err := csv.NewReader(strings.NewReader(text.String())).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	at := exampleTime
	got := write([]Event{{ID: 7, Time: at, Kind: eventKind(records.OOMKill), Cause: "=1+1", Subject: "'a,\"b\"\n", To: &at, Detail: map[string]string{"a": "<b>"}}})
	want := [][]string{
		{"id", "time", "kind", "cause", "subject", "from", "to", "detail"},
		{"7", "2026-02-02T10:30:00Z", "oom_kill", "'=1+1", "''a,\"b\"\n", "", "2026-02-02T10:30:00Z", `{"a":"<b>"}`},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if empty := write([]Event{}); !reflect.DeepEqual(empty, want[:1]) {
		t.Errorf("no rows: %q", empty)
	}
	row := blank[ProcessRow]()
	row.Name, row.CPUPercent = "-bash", 1.25
	process := write([]ProcessRow{row})
	if process[1][0] != "'-bash" || process[1][slices.Index(process[0], "cpu_percent")] != "1.25" || process[1][slices.Index(process[0], "memory_rss")] != "" || !slices.Contains(process[0], "command_line") {
		t.Errorf("%q", process)
	}
	device := write([]CurrentDevice{blank[CurrentDevice]()})
	if !slices.Contains(device[0], "read_bytes_per_sec") {
		t.Errorf("embedded fields are missing: %q", device[0])
	}
}
