package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

const testBase = "/box/sysotel"

// served is a server below a base path.
func served(o *Options) {
	o.Config.ExternalURL = "https://host.example" + testBase + "/"
	o.Web = fstest.MapFS{"index.html": {Data: []byte("the page")}, "assets/a-1.js": {Data: []byte("1")}, "icon.svg": {Data: []byte("<svg/>")}}
}

func TestPathsWithAndWithoutTheBase(t *testing.T) {
	s := newTestServer(t, ticked(), served)
	for _, route := range s.Routes() {
		if route.Method != http.MethodGet || strings.Contains(route.Path, "{") && route.Path != "/{$}" || route.Access.Cost == Stream {
			continue
		}
		path := strings.TrimSuffix(route.Path, "{$}")
		stripped, whole := ask(s, http.MethodGet, path, nil), ask(s, http.MethodGet, testBase+path, nil)
		if stripped.Code != whole.Code || !bytes.Equal(stripped.Body.Bytes(), whole.Body.Bytes()) || whole.Code == http.StatusNotFound {
			t.Errorf("%s: %d, below the base %d", path, stripped.Code, whole.Code)
		}
	}
	for path, want := range map[string]string{
		testBase:                          testBase + "/",
		testBase + "?range=6h":            testBase + "/?range=6h",
		testBase + "/prometheus/":         testBase + "/",
		"/prometheus/":                    testBase + "/",
		testBase + "//docs":               testBase + "/docs", // Of http.ServeMux.
		"/docs//history":                  testBase + "/docs/history",
		testBase + "/docs/../api/v1/x":    testBase + "/api/v1/x",
		testBase + "/%2F%2Fevil.example/": "",
		testBase + "x":                    "",
		testBase + testBase + "/docs":     "",
	} {
		w := ask(s, http.MethodGet, path, nil)
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("%s: %d, leads to %q, want %q", path, w.Code, got, want)
		}
		if want == "" && w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	// An escaped path reaches its operation as it was.
	if w := ask(s, http.MethodGet, testBase+"/prometheus/api/v1/label/a%2Fb/values", nil); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// Without a base path nothing is cut off.
	if w := ask(newTestServer(t, ticked(), nil), http.MethodGet, testBase+"/docs", nil); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
}

// linked finds the addresses in a page.
var linked = regexp.MustCompile(`(?:href|src)="([^"]*)"`)

func TestPagesLinkBelowTheBase(t *testing.T) {
	s := newAuthServer(t, served)
	if _, err := s.auth.AddUser(t.Context(), "ada", testPassword, Admin); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/docs", "/docs/history", "/login", "/setup"} {
		page := askAs(s.Server, Viewer, http.MethodGet, path, http.Header{"Host": {"host.example"}})
		links := linked.FindAllStringSubmatch(page.Body.String(), -1)
		if page.Code != http.StatusOK || len(links) < 2 {
			t.Fatalf("%s: %d with %d links", path, page.Code, len(links))
		}
		for _, link := range links {
			if to := link[1]; strings.HasPrefix(to, "/") && !strings.HasPrefix(to, testBase+"/") {
				t.Errorf("%s links to %s", path, to)
			}
		}
	}
	if link := s.SetupLink("c0de"); link != "https://host.example"+testBase+"/setup#c0de" {
		t.Error(link)
	}
	// Before the login every page leads to it, and it leads back.
	w := askAs(s.Server, Public, http.MethodGet, testBase+"/docs/history?a=b", http.Header{"Host": {"host.example"}, "Accept": {"text/html"}})
	if got := w.Header().Get("Location"); got != testBase+"/login?next=%2Fdocs%2Fhistory%3Fa%3Db" {
		t.Errorf("%d %q", w.Code, got)
	}
	var document struct{ Servers []struct{ URL string } }
	text, err := s.documentJSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &document); err != nil || len(document.Servers) != 1 || document.Servers[0].URL != testBase {
		t.Errorf("%v %v", document, err)
	}
}

func TestCookiesAreForTheBase(t *testing.T) {
	s := newAuthServer(t, served)
	s.user("ada", Admin)
	for _, path := range []string{authPath + "/login", testBase + authPath + "/login"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(`{"name":"ada","password":"`+testPassword+`","cookie":true}`))
		r.Host = "host.example"
		r.Header = http.Header{"Content-Type": {"application/json"}, "Origin": {"https://host.example"}}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		found := map[string]string{}
		again := http.Header{"Host": {"host.example"}}
		for _, c := range w.Result().Cookies() {
			found[c.Name] = c.Path
			again.Add("Cookie", c.Name+"="+c.Value)
		}
		// A browser drops a cookie with __Host- whose path is not /.
		if w.Code != http.StatusOK || len(found) != 2 || found["__Secure-sysotel"] != testBase+"/" || found["__Secure-sysotel-refresh"] != testBase+authPath {
			t.Errorf("%s: %d %v %s", path, w.Code, found, w.Body)
		}
		if me := askAs(s.Server, Public, http.MethodGet, testBase+authPath+"/me", again); me.Code != http.StatusOK || !strings.Contains(me.Body.String(), `"name":"ada"`) {
			t.Errorf("with the cookies: %d %s", me.Code, me.Body)
		}
	}
}

func TestBasePathsAreChecked(t *testing.T) {
	for value, want := range map[string]string{
		"https://host.example":                  "",
		"https://host.example/":                 "",
		"https://host.example/sysotel":          "",
		"https://host.example/a/b-c_d.e~f/":     "",
		"https://host.example/a//b":             "single slashes",
		"https://host.example/a/":               "",
		"https://host.example/a//":              "single slashes",
		"https://host.example/../a":             "letters",
		"https://host.example/a/..":             "letters",
		"https://host.example/.":                "letters",
		"https://host.example/a%2Fb":            "letters",
		"https://host.example/a%20b":            "letters",
		"https://host.example/a;b":              "letters",
		"https://host.example/a,b":              "letters",
		"https://host.example/{a}":              "letters",
		"https://host.example/\"><script>":      "letters",
		"https://host.example/é":                "letters",
		"https://host.example/api":              "begins with /api",
		"https://host.example/docs/a":           "begins with /docs",
		"https://host.example/prometheus":       "begins with /prometheus",
		"https://host.example/apis":             "",
		"https://h/" + strings.Repeat("a", 200): "at most 200",
	} {
		found := ""
		c := Defaults()
		c.HTTP.ExternalURL = value
		c.Validate(func(path string, _ any, rule string) { found += path + " " + rule })
		if (want == "") != (found == "") || !strings.Contains(found, want) {
			t.Errorf("%s: %q, want %q", value, found, want)
		}
	}
	// Every first segment of a route is taken.
	s := newTestServer(t, ticked(), served)
	for _, route := range s.Routes() {
		first, _, _ := strings.Cut(strings.TrimPrefix(route.Path, "/"), "/")
		if rule := wrongBasePath(mustURL(t, "https://h/"+first)); first != "{$}" && rule == "" {
			t.Errorf("a base path may begin with /%s, and so does %s", first, route.Path)
		}
	}
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
