package api

import (
	"net/http"
	"strings"
	"testing"
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
			"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin",
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
