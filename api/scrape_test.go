package api

import (
	"context"
	"crypto/tls"
	"fmt"
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

// serveScrape runs a page with a web configuration file, and returns its host and path.
func serveScrape(t *testing.T, file string) (*Scrape, string) {
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

// TestScrapeStaysProtected: a web configuration file that loses its users, is broken or
// gone neither opens the page nor closes it.
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
	s, url := serveScrape(t, file)
	f(s, "http://"+url, 401, health.OK)
	f(s, "http://me:wrong@"+url, 401, health.OK)
	f(s, "http://me:topsecret@"+url, 200, health.OK)
	for _, bad := range []string{"rate_limit: {}\n", "nonsense", "basic_auth_users: {me: nothing}", "tls_server_config: {cert_file: absent.pem, key_file: absent.key}"} {
		write(bad)
		f(s, "http://"+url, 401, health.Degraded)
		f(s, "http://me:wrong@"+url, 401, health.Degraded)
		f(s, "http://me:topsecret@"+url, 200, health.Degraded)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	f(s, "http://"+url, 401, health.Degraded)
	f(s, "http://me:topsecret@"+url, 200, health.Degraded)
	write(strings.Replace(users, "me:", "you:", 1))
	f(s, "http://me:topsecret@"+url, 401, health.OK)
	f(s, "http://you:topsecret@"+url, 200, health.OK)

	// A file that never protected the page changes nothing.
	write("http_server_config: {headers: {X-Frame-Options: sameorigin}}")
	s, url = serveScrape(t, file)
	f(s, "http://"+url, 200, health.OK)
}

// TestScrapeTLS: certificates and the demand for one of the client are replaced while it
// runs; broken ones, and a file that ends TLS, leave the previous ones in force.
func TestScrapeTLS(t *testing.T) {
	a := newAuthority(t)
	first, firstKey := a.issue("first", soon())
	second, secondKey := a.issue("second", soon())
	file := filepath.Join(a.dir, "web.yml")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const named = "tls_server_config: {cert_file: %s.pem, key_file: %s.key%s}" // Relative to the file.
	write(file, fmt.Sprintf(named, "first", "first", ""))
	s, url := serveScrape(t, file)
	client := trusting(t, a.file, nil)
	serves := func(want string, status health.Status, reason string) {
		t.Helper()
		response := shown(t, client, "https://"+url)
		if got := response.TLS.PeerCertificates[0].Subject.CommonName; got != want || response.StatusCode != 200 || response.ProtoMajor != 2 {
			t.Errorf("%s serves %d by %s, want 200 by %s over HTTP/2", got, response.StatusCode, response.Proto, want)
		}
		if p := s.Health()[0]; p.Status != status || !strings.Contains(p.Reason, reason) || (status == health.OK) != p.Since.IsZero() {
			t.Errorf("the health is %+v, want %s for %q", p, status, reason)
		}
	}
	serves("first", health.OK, "")
	write(first, "nonsense")
	serves("first", health.Degraded, "PEM")
	for from, to := range map[string]string{second: first, secondKey: firstKey} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(to, string(text))
	}
	serves("second", health.OK, "")
	write(file, fmt.Sprintf(named, "first", "absent", ""))
	serves("second", health.Degraded, "absent.key")
	write(file, "http_server_config: {http2: false}")
	serves("second", health.Degraded, "no longer has")
	write(file, `basic_auth_users: {me: "$2a$04$vlGrjb4IOALxyRSFSWpTGua4k3yV1t6I8ApOgmimn38RK0T0idfCa"}`)
	serves("second", health.Degraded, "turns TLS on or off")
	a.issue("third", soon())
	write(file, fmt.Sprintf(named, "third", "third", ""))
	serves("third", health.OK, "")
	write(file, fmt.Sprintf(named, "third", "third", ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem"))
	if response, err := client.Get("https://" + url); err == nil {
		_ = response.Body.Close()
		t.Errorf("without a certificate the status is %d", response.StatusCode)
	}
	client = trusting(t, a.file, func(c *tls.Config) {
		own, err := tls.LoadX509KeyPair(filepath.Join(a.dir, "third.pem"), filepath.Join(a.dir, "third.key"))
		if err != nil {
			t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{own}
	})
	serves("third", health.OK, "")
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
