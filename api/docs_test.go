package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"go.yaml.in/yaml/v3"
)

func TestGoldenOpenAPI(t *testing.T) {
	document, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "openapi.yaml", document)
}

// The served documents equal the golden file, in JSON and in YAML.
func TestServedDocuments(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	want, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	asYAML := ask(s, http.MethodGet, "/openapi.yaml", nil).Body.Bytes()
	if string(asYAML) != string(want) {
		t.Error("/openapi.yaml is another document than sysotel openapi prints")
	}
	var a, b map[string]any
	if err := yaml.Unmarshal(asYAML, &a); err != nil {
		t.Fatal(err)
	}
	asJSON := ask(s, http.MethodGet, "/openapi.json", nil).Body.Bytes()
	if err := json.Unmarshal(asJSON, &b); err != nil {
		t.Fatal(err)
	}
	if b["openapi"] != "3.1.0" || len(a["paths"].(map[string]any)) != len(b["paths"].(map[string]any)) {
		t.Errorf("openapi %v, %d paths in YAML, %d in JSON", b["openapi"], len(a["paths"].(map[string]any)), len(b["paths"].(map[string]any)))
	}
	if strings.Contains(string(asJSON), "$schema") {
		t.Error("$schema is in the document")
	}
}

// operationsOf lists the operations of a document.
func operationsOf(s *Server) map[Route]*huma.Operation {
	all := map[Route]*huma.Operation{}
	for _, route := range s.Routes() {
		if op := operationAt(s.api.OpenAPI(), route); op != nil {
			all[route] = op
		}
	}
	return all
}

// The example of every operation matches its schema.
func TestExamplesAreValid(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	for _, op := range operationsOf(s) {
		content := op.Responses["200"].Content["application/json"]
		if content == nil {
			continue
		}
		b, err := json.Marshal(content.Example)
		if err != nil {
			t.Fatal(err)
		}
		validatedAs(t, s, op, b)
	}
}

// Every operation has one tag, which the document describes, and no tag is without any.
func TestTags(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	unused := map[string]bool{}
	for _, tag := range s.api.OpenAPI().Tags {
		if tag.Description == "" {
			t.Errorf("the tag %s is not described", tag.Name)
		}
		unused[tag.Name] = true
	}
	known := maps.Clone(unused)
	for route, op := range operationsOf(s) {
		if len(op.Tags) != 1 || !known[op.Tags[0]] {
			t.Errorf("%s %s has the tags %v", route.Method, route.Path, op.Tags)
			continue
		}
		delete(unused, op.Tags[0])
	}
	if len(unused) > 0 {
		t.Errorf("no operation has the tags %v", unused)
	}
	// The page has the operations in these groups.
	page := ask(s, http.MethodGet, "/docs", nil).Body.String()
	for _, tag := range s.api.OpenAPI().Tags {
		_, group, found := strings.Cut(page, `<section class="group" id="group-`+tag.Name+`"`)
		group, _, _ = strings.Cut(group, `<section class="group"`)
		if !found || !strings.Contains(group, "<p>"+tag.Description+"</p>") {
			t.Errorf("the page has no group %s", tag.Name)
		}
		for _, op := range operationsOf(s) {
			if got := strings.Contains(group, `<section class="operation" id="`+op.OperationID+`"`); got != (op.Tags[0] == tag.Name) {
				t.Errorf("%s is in the group %s: %t", op.OperationID, tag.Name, got)
			}
		}
	}
}

// YAML 1.1 reserves a bare =, and PyYAML refuses it.
func TestTheDocumentIsYAML11(t *testing.T) {
	document, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?m)^.*[-:] (=|<<)$`).Find(document); found != nil {
		t.Errorf("the document has %q", found)
	}
}

// Every field of every response and every parameter has a description.
func TestEverythingIsDescribed(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	for name, schema := range s.routes.registry.Map() {
		for field, property := range schema.Properties {
			if property.Description == "" {
				t.Errorf("%s.%s has no description", name, field)
			}
		}
	}
	for route, op := range operationsOf(s) {
		for _, p := range op.Parameters {
			if p.Description == "" {
				t.Errorf("%s?%s has no description", route.Path, p.Name)
			}
		}
	}
}

func TestDocs(t *testing.T) {
	s := newTestServer(t, ticked(), func(o *Options) {
		o.Hostname, o.Config.Listen = `<script>alert("x")</script>`, "127.0.0.1:9999"
	})
	w := ask(s, http.MethodGet, "/docs", nil)
	page := w.Body.String()
	for _, want := range []string{
		"<!doctype html>", "/api/v1/metrics/current", "/api/v1/metrics/processes", "/api/v1/metrics/stream", "/api/v1/health",
		"curl http://127.0.0.1:9999/api/v1/metrics/current", "curl -N http://127.0.0.1:9999/api/v1/metrics/stream",
		"curl &#39;http://127.0.0.1:9999/api/v1/metrics/processes?sort=cpu&amp;top=2&#39;",
		"a whole number from 1 to 1000, default 20", "cpu_percent_core", "Prometheus page", "openapi.yaml", "http://127.0.0.1:9999/prometheus", "cpu_usage_per_core", "text, repeatable", `<span class="n">45.2</span>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	// The page loads nothing from other servers and runs no scripts.
	for _, part := range regexp.MustCompile(`(?:src|href|action)="[^"]*"`).FindAllString(page, -1) {
		if !regexp.MustCompile(`^href="(#[a-z-]+|/[a-z0-9./?=_&;-]*|data:image/svg\+xml,[^"]*)"$`).MatchString(part) && !strings.HasPrefix(part, `href="/docs/style.css?v=`) {
			t.Errorf("the page asks for %s", part)
		}
	}
	for _, bad := range []string{"<script", "style=", "onclick", "javascript:", "ZgotmplZ", "<no value>"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	style := regexp.MustCompile(`/docs/style\.css\?v=[0-9a-f]+`).FindString(page)
	css := ask(s, http.MethodGet, style, nil)
	if css.Code != 200 || css.Header().Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(css.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("style: %d %v", css.Code, css.Header())
	}
	if text := css.Body.String(); !strings.Contains(text, "prefers-color-scheme: dark") || strings.Contains(text, "@import") || strings.Contains(text, "url(") {
		t.Error("the style has no dark side, or asks for more")
	}
	// All internal links lead somewhere.
	for _, link := range regexp.MustCompile(`href="#([a-z-]+)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, `id="`+link[1]+`"`) {
			t.Errorf("#%s leads nowhere", link[1])
		}
	}
	if root := ask(s, http.MethodGet, "/", nil); root.Code != http.StatusSeeOther || root.Header().Get("Location") != "/docs" {
		t.Errorf("/: %d %v", root.Code, root.Header())
	}
}

func TestDocsWithoutAPrometheusPage(t *testing.T) {
	s := newTestServer(t, ticked(), func(o *Options) { o.MetricsPage, o.Config.ExternalURL = nil, "https://box.example/" })
	page := ask(s, http.MethodGet, "/docs", nil).Body.String()
	if strings.Contains(page, "Prometheus page") || !strings.Contains(page, "curl https://box.example/api/v1/health") {
		t.Error("the page shows what is not there, or another address than the external one")
	}
	problemOf(t, ask(s, http.MethodGet, "/metrics", nil), http.StatusNotFound)
}

// TestOddPathsAndMethods: pages are in memory and no path leads to a file; anything
// else is a problem, whatever the path and method.
func TestOddPathsAndMethods(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	for _, path := range []string{
		"/docs/../../../etc/passwd", "/docs/..%2f..%2f..%2fetc%2fpasswd", "/docs/%2e%2e/%2e%2e/etc/passwd", "/docs.css/../../etc/passwd",
		"/docs%00.css", "/docs/..%5c..%5cwindows", "//etc/passwd", "/./etc/passwd", "/docs;/x", "/%", "/api/v1/..;/config", "/..", "/docs/%c0%ae%c0%ae/",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodTrace, http.MethodConnect, http.MethodOptions, "PROPFIND", "GETX"} {
			r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
			r.Host = "localhost"
			decoded, err := url.PathUnescape(path)
			if err != nil {
				decoded = path
			}
			r.URL = &url.URL{Path: decoded, RawPath: path}
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r.WithContext(withCaller(r.Context(), Caller{Role: Viewer})))
			switch {
			case w.Code >= 300 && w.Code < 400: // The mux redirects to the clean path on this server.
				if to := w.Header().Get("Location"); !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n") {
					t.Errorf("%s %s leads to %q", method, path, to)
				}
			case w.Code < 400 || w.Code >= 500:
				t.Errorf("%s %s gives %d: %.100s", method, path, w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "root:") {
				t.Errorf("%s %s returns a file", method, path)
			}
		}
	}
	for _, page := range []string{"/docs", docsStylePath, "/openapi.json", "/openapi.yaml"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodTrace, "PROPFIND"} {
			if w := ask(s, method, page, nil); w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound {
				t.Errorf("%s %s gives %d", method, page, w.Code)
			}
		}
	}
}
