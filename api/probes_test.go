package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"sysotel/agent/health"
)

// asLoadBalancer sends a request of HTTP/1.0 without headers, as load balancers do.
func asLoadBalancer(t *testing.T, address, method, path string, headers ...string) int {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.0\r\n%s\r\n", method, path, strings.Join(headers, ""))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

func TestChecksWithoutAHost(t *testing.T) {
	open := run(t, newTestServer(t, ticked(), served))
	closed := run(t, newAuthServer(t, nil).Server)
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	scrape := NewScrape("127.0.0.1:0", "", page, RateLimitConfig{}, quiet)
	if err := scrape.Listen(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = scrape.Run(t.Context()) }()
	t.Cleanup(func() { _ = scrape.Close() })
	for _, c := range []struct {
		address, method, path string
		want                  int
	}{
		{open, "GET", "/api/v1/health", 200},
		{open, "HEAD", "/api/v1/health", 200},
		{open, "GET", testBase + "/api/v1/health", 200},
		{open, "GET", "/metrics", 200},
		{open, "GET", "/-/healthy", 200},
		{open, "GET", "/-/ready", 200},
		{open, "GET", "/prometheus/-/ready", 200},
		{closed, "GET", "/api/v1/health", 200},
		{closed, "GET", "/-/ready", 200},
		{closed, "GET", "/metrics", 401},
		{"http://" + scrape.Addr().String(), "GET", "/metrics", 200},
		{"http://" + scrape.Addr().String(), "GET", "/", 403},
		// Nothing else.
		{open, "GET", "/", 403},
		{open, "GET", "/docs", 403},
		{open, "GET", "/api/v1/metrics/current", 403},
		{open, "GET", "/api/v1/metrics/processes", 403},
		{open, "GET", "/prometheus/api/v1/query", 403},
		{open, "GET", "/api/v1/health/../metrics/current", 403},
		{open, "GET", "//metrics", 307}, // To /metrics.
		{open, "POST", "/api/v1/health", 403},
		{open, "OPTIONS", "/api/v1/health", 403},
		{open, "GET", "/api/v1/config", 403},
	} {
		if got := asLoadBalancer(t, c.address, c.method, c.path); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, got, c.want)
		}
		// A page that rebinds its own name has a Host.
		if got := asLoadBalancer(t, c.address, c.method, c.path, "Host: evil.example\r\n"); got != 403 {
			t.Errorf("%s %s of another host: %d", c.method, c.path, got)
		}
	}
	if got := asLoadBalancer(t, open, "GET", "/metrics", "Origin: http://evil.example\r\n"); got != 403 {
		t.Errorf("of another origin: %d", got)
	}
}

func TestDoorbells(t *testing.T) {
	machine := newFakeMachine(exampleReadings())
	parts := []health.Component{{Name: "store", Status: health.Degraded}}
	s := newTestServer(t, machine, func(o *Options) {
		o.Health = func() []health.Component { return parts }
		o.Authenticate = true
	})
	check := func(ready int) {
		t.Helper()
		for _, root := range []string{"", "/prometheus"} {
			for path, want := range map[string]int{"/-/healthy": http.StatusOK, "/-/ready": ready} {
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					w := askAs(s, Public, method, root+path, nil)
					if w.Code != want || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") || strings.Contains(w.Body.String(), "store") {
						t.Errorf("%s %s: %d %s", method, root+path, w.Code, w.Body)
					}
				}
			}
		}
	}
	check(http.StatusServiceUnavailable) // There is no reading yet.
	machine.tick()
	check(http.StatusOK)
	parts[0].Status = health.Failed
	check(http.StatusServiceUnavailable)
	for path, want := range map[string]string{"/prometheus": "/", "/prometheus/": "/", "/prometheus/graph": "/", "/prometheus/query": "/", "/prometheus/alerts": "/alerts"} {
		if w := askAs(s, Public, http.MethodGet, path, nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Location"))
		}
	}
}
