package api

import (
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
)

// A page that uses DNS rebinding sends its own name in Host.
func TestHost(t *testing.T) {
	s := newTestServer(t, ticked(), func(o *Options) {
		o.Config.Listen = "127.0.0.2:8080"
		o.Config.ExternalURL = "https://Sysotel.example:8443/box"
	})
	for host, want := range map[string]int{
		"localhost":             200,
		"localhost:8080":        200,
		"LOCALHOST:1":           200,
		"localhost.:8080":       200,
		"127.0.0.1":             200,
		"127.0.0.1:8080":        200,
		"127.0.0.2:8080":        200,
		"127.9.9.9:80":          200,
		"[::1]":                 200,
		"[::1]:8080":            200,
		"[::ffff:127.0.0.1]:80": 200,
		"sysotel.example":       200,
		"sysotel.example:8443":  200,
		"":                      403,
		"evil.example":          403,
		"evil.example:8080":     403,
		"localhost.evil.com":    403,
		"evil-localhost":        403,
		"127.0.0.1.nip.io":      403,
		"127.0.0.1@evil.com":    403,
		"10.0.0.1:8080":         403,
		"0.0.0.0:8080":          403,
		"[::1].evil.com":        403,
		"sysotel.example.evil":  403,
	} {
		w := ask(s, http.MethodGet, "/api/v1/metrics/current", http.Header{"Host": {host}})
		if w.Code != want {
			t.Errorf("Host %q: %d, want %d", host, w.Code, want)
		}
		if want == 403 {
			detail, invalid := problemOf(t, w, 403)
			if !strings.Contains(detail, "http.external_url") || !strings.Contains(invalid["header.Host"], "sysotel.example") {
				t.Errorf("Host %q: %q %v does not say what is allowed", host, detail, invalid)
			}
		}
	}
}

func TestOrigin(t *testing.T) {
	s := newTestServer(t, ticked(), func(o *Options) {
		o.Config.ExternalURL = "https://sysotel.example"
		o.Config.CORS = []string{"https://home.example", "http://localhost:3000"}
	})
	for _, c := range []struct {
		origin  []string
		want    int
		allowed bool
	}{
		{nil, 200, false},
		{[]string{"http://localhost:8080"}, 200, false},
		{[]string{"HTTP://LOCALHOST:8080"}, 200, false},
		{[]string{"https://sysotel.example"}, 200, false},
		{[]string{"https://home.example"}, 200, true},
		{[]string{"http://localhost:3000"}, 200, true},
		{[]string{"https://localhost:8080"}, 403, false},
		{[]string{"http://localhost:8081"}, 403, false},
		{[]string{"http://127.0.0.1:8080"}, 403, false},
		{[]string{"http://home.example"}, 403, false},
		{[]string{"https://home.example.evil.com"}, 403, false},
		{[]string{"https://evil.example"}, 403, false},
		{[]string{"null"}, 403, false},
		{[]string{""}, 403, false},
		{[]string{"https://home.example", "https://evil.example"}, 403, false},
	} {
		header := http.Header{}
		if c.origin != nil {
			header["Origin"] = c.origin
		}
		w := ask(s, http.MethodGet, "/api/v1/metrics/current", header)
		if w.Code != c.want {
			t.Errorf("Origin %q: %d, want %d", c.origin, w.Code, c.want)
		}
		if got := w.Header().Get("Access-Control-Allow-Origin"); (got != "") != c.allowed || c.allowed && got != c.origin[0] {
			t.Errorf("Origin %q: Access-Control-Allow-Origin %q", c.origin, got)
		}
		if w.Header().Get("Vary") != "Origin" {
			t.Errorf("Origin %q: Vary does not have Origin", c.origin)
		}
		if c.want == 403 {
			if detail, _ := problemOf(t, w, 403); !strings.Contains(detail, "http.cors") {
				t.Errorf("%q does not say how to add an origin", detail)
			}
		}
	}
	preflight := func(origin string) http.Header {
		return http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"GET"}}
	}
	w := ask(s, http.MethodOptions, "/api/v1/metrics/current", preflight("https://home.example"))
	if w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Methods") != "GET, HEAD, POST, PUT, PATCH, DELETE" {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
	problemOf(t, ask(s, http.MethodOptions, "/api/v1/metrics/current", preflight("https://evil.example")), http.StatusForbidden)
}

func TestSecurityHeaders(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	for _, path := range []string{"/api/v1/metrics/current", "/api/v1/health", "/docs", "/openapi.json", "/metrics", "/nothing"} {
		h := ask(s, http.MethodGet, path, nil).Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
			"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, h.Get(name), want)
			}
		}
		policy := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: Content-Security-Policy %q", path, policy)
		}
	}
}

// TestCrossSite: what browsers send for another site's images, scripts, forms, frames
// and links. The same host on another port is another site.
func TestCrossSite(t *testing.T) {
	s := newTestServer(t, ticked(), func(o *Options) {
		o.Config.ExternalURL = "https://sysotel.example"
		o.Config.CORS = []string{"https://home.example"}
		o.PromQL = http.HandlerFunc(answerOK)
		o.Web = fstest.MapFS{"index.html": {Data: []byte("<!doctype html>")}, "assets/a.js": {Data: []byte("1")}}
	})
	fetch := func(site, mode, dest string) http.Header {
		return http.Header{"Sec-Fetch-Site": {site}, "Sec-Fetch-Mode": {mode}, "Sec-Fetch-Dest": {dest}, "Accept": {"text/html"}}
	}
	const page, rest = 1, 2 // What is answered.
	for _, c := range []struct {
		name   string
		header http.Header
		want   int
	}{
		{"a program", http.Header{}, page | rest},
		{"our page", fetch("same-origin", "cors", "empty"), page | rest},
		{"an address that was typed", fetch("none", "navigate", "document"), page | rest},
		{"a link", fetch("cross-site", "navigate", "document"), page},
		{"a link on another port", fetch("same-site", "navigate", "document"), page},
		{"a frame", fetch("cross-site", "navigate", "iframe"), 0},
		{"an object", fetch("cross-site", "navigate", "object"), 0},
		{"an image", fetch("cross-site", "no-cors", "image"), 0},
		{"an image on another port", fetch("same-site", "no-cors", "image"), 0},
		{"a script", fetch("cross-site", "no-cors", "script"), 0},
		{"a fetch without CORS", fetch("cross-site", "no-cors", "empty"), 0},
		{"an unknown site", fetch("somewhere", "no-cors", "empty"), 0},
		{"two sites", http.Header{"Sec-Fetch-Site": {"none", "cross-site"}}, 0},
		{"our page through a redirect elsewhere", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Referer": {"http://localhost:8080/"}}, 0},
		{"a fetch of a page that is named", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"cors"}, "Origin": {"https://home.example"}}, page | rest},
		{"an image of a page that is named", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Referer": {"https://home.example/"}}, 0},
		{"an old browser's image", http.Header{"Referer": {"https://evil.example/page"}, "Accept": {"image/*"}}, 0},
		{"an old browser's link", http.Header{"Referer": {"https://evil.example/page"}, "Accept": {"text/html,*/*"}}, page},
		{"an old browser, our page", http.Header{"Referer": {"http://localhost:8080/docs"}}, page | rest},
		{"an old browser, our page outside", http.Header{"Referer": {"https://sysotel.example/"}}, page | rest},
		{"an old browser, a page that is named", http.Header{"Referer": {"https://home.example/"}}, page | rest},
		{"an old browser, a part of a name", http.Header{"Referer": {"http://localhost:8080.evil.example/"}}, 0},
		{"an old browser, a user name", http.Header{"Referer": {"http://localhost:8080@evil.example/"}}, 0},
		{"an old browser, no address", http.Header{"Referer": {"http://[::1"}}, 0},
	} {
		for _, path := range []string{"/", "/alerts", "/docs", "/docs/alerts", "/login", "/setup"} {
			if w := ask(s, http.MethodGet, path, c.header); (w.Code == http.StatusOK) != (c.want&page != 0) {
				t.Errorf("%s: %s: %d", c.name, path, w.Code)
			}
		}
		for _, path := range []string{
			"/api/v1/metrics/current", "/api/v1/health", "/prometheus/api/v1/query?query=up", "/metrics", "/openapi.json", "/assets/a.js", "/docs/style.css",
		} {
			w := ask(s, http.MethodGet, path, c.header)
			if (w.Code == http.StatusOK) != (c.want&rest != 0) {
				t.Errorf("%s: %s: %d", c.name, path, w.Code)
			}
			if w.Code != http.StatusOK {
				if _, invalid := problemOf(t, w, http.StatusForbidden); len(invalid) == 0 {
					t.Errorf("%s: %s: %s does not say by what it was judged", c.name, path, w.Body)
				}
			}
		}
		if w := ask(s, http.MethodPost, "/prometheus/api/v1/query", c.header); (w.Code == http.StatusOK) != (c.want&rest != 0) {
			t.Errorf("%s: a query by POST: %d", c.name, w.Code)
		}
	}
}
