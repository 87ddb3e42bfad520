package api

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sysotel/agent/health"
)

func TestScrape(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	for _, c := range []struct {
		listen, host, path string
		want               int
	}{
		{"127.0.0.1:9100", "localhost:9100", "/metrics", 200},
		{"127.0.0.1:9100", "127.0.0.1:9100", "/", 303},
		{"127.0.0.1:9100", "evil.example:9100", "/metrics", 403},
		{"localhost:9100", "evil.example:9100", "/metrics", 403},
		{"[::1]:9100", "evil.example:9100", "/metrics", 403},
		{"127.0.0.1:9100", "localhost:9100", "/docs", 404},
		// Off loopback scrapers may use any name of the machine.
		{":9100", "box.lan:9100", "/metrics", 200},
		{"0.0.0.0:9100", "box.lan:9100", "/metrics", 200},
		{"192.0.2.7:9100", "192.0.2.7:9100", "/metrics", 200},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil)
		r.Host = c.host
		NewScrape(c.listen, "", page, RateLimitConfig{}, quiet).http.Handler.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s asked as %s for %s: %d, want %d", c.listen, c.host, c.path, w.Code, c.want)
		}
		if c.want == 404 {
			if detail, _ := problemOf(t, w, 404); !strings.Contains(detail, "/metrics") {
				t.Errorf("%q does not say where the page is", detail)
			}
		}
	}
	for _, listen := range []string{"127.0.0.1:9100", ":9100"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
		r.Host = "localhost:9100"
		r.Header.Set("Sec-Fetch-Site", "same-site")
		NewScrape(listen, "", page, RateLimitConfig{}, quiet).http.Handler.ServeHTTP(w, r)
		if problemOf(t, w, http.StatusForbidden); strings.Contains(w.Body.String(), "up 1") {
			t.Errorf("%s: a page of another site reads %s", listen, w.Body)
		}
	}
}

func TestScrapeRuns(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	s := NewScrape("127.0.0.1:0", "", page, RateLimitConfig{}, quiet)
	if s.Addr() != nil {
		t.Error("an address before Listen")
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	if status, body := get(t, streamClient(t), "http://"+s.Addr().String()+"/metrics"); status != 200 || body != "up 1\n" {
		t.Errorf("%d %q", status, body)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	unused := NewScrape("127.0.0.1:0", "", page, RateLimitConfig{}, quiet)
	if err := unused.Listen(); err != nil {
		t.Fatal(err)
	}
	if err := unused.Close(); err != nil {
		t.Error(err)
	}
}

// TestScrapeStaysProtected: a web configuration file that loses its users does not
// open the page.
func TestScrapeStaysProtected(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The password is "topsecret".
	const users = `basic_auth_users: {me: "$2a$04$vlGrjb4IOALxyRSFSWpTGua4k3yV1t6I8ApOgmimn38RK0T0idfCa"}`
	serve := func() (*Scrape, string) {
		t.Helper()
		page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
		s := NewScrape("127.0.0.1:0", file, page, RateLimitConfig{}, quiet)
		if err := s.Listen(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		return s, s.Addr().String() + "/metrics"
	}
	f := func(s *Scrape, url string, want int, status health.Status) {
		t.Helper()
		if got, body := get(t, streamClient(t), url); got != want {
			t.Errorf("%s is answered %d %s, want %d", url, got, body, want)
		}
		if p := s.Health()[0]; p.Status != status {
			t.Errorf("the health is %+v, want %s", p, status)
		}
	}
	write(users)
	s, url := serve()
	f(s, "http://"+url, 401, health.OK)
	f(s, "http://me:wrong@"+url, 401, health.OK)
	f(s, "http://me:topsecret@"+url, 200, health.OK)
	write("rate_limit: {}\n")
	f(s, "http://me:topsecret@"+url, 503, health.Degraded)
	write("nonsense")
	f(s, "http://me:topsecret@"+url, 500, health.Degraded)
	write(users)
	f(s, "http://me:topsecret@"+url, 200, health.OK)

	// A file that never protected the page changes nothing.
	write("http_server_config: {headers: {X-Frame-Options: sameorigin}}")
	s, url = serve()
	f(s, "http://"+url, 200, health.OK)
}

func TestServerLog(t *testing.T) {
	var logged strings.Builder
	l := newHTTP(http.NotFoundHandler(), textLogger(&logged)).ErrorLog
	l.Print("http: URL query contains semicolon")
	if logged.Len() != 0 {
		t.Errorf("a caller can fill the log: %s", logged.String())
	}
	l.Print("http: Accept error: accept tcp: too many open files; retrying in 5ms")
	if !strings.Contains(logged.String(), "level=WARN") || !strings.Contains(logged.String(), "too many open files") {
		t.Errorf("the log lacks that connections cannot be accepted: %q", logged.String())
	}
}
