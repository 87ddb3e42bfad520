package api

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRedirect(t *testing.T) {
	f := func(listen string, port int, method, host, target, want string) {
		t.Helper()
		c := HTTPConfig{Listen: listen, ExternalURL: "https://sysotel.example:8443/box"}
		handler := NewRedirect("127.0.0.1:0", c, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}, quiet).http.Handler
		r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
		r.Host = host
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if got := w.Header().Get("Location"); got != want || (want != "") != (w.Code == 308) {
			t.Errorf("%s %s of %q: %d %q, want %q", method, target, host, w.Code, got, want)
		}
		if want == "" {
			problemOf(t, w, 403)
			if strings.Contains(w.Body.String(), "evil") {
				t.Errorf("the answer repeats a hostile name: %s", w.Body)
			}
		}
	}
	f("127.0.0.1:8080", 8080, "GET", "localhost:80", "/docs?a=b%20c", "https://localhost:8080/docs?a=b%20c")
	f("127.0.0.1:8080", 8080, "POST", "127.0.0.1", "/api/v1/backup", "https://127.0.0.1:8080/api/v1/backup")
	f("127.0.0.1:443", 443, "GET", "localhost", "/", "https://localhost/")
	f("127.0.0.1:443", 443, "GET", "[::1]:80", "/", "https://[::1]/")
	f("192.0.2.7:8080", 8080, "GET", "192.0.2.7", "/x%2Fy", "https://192.0.2.7:8080/x%2Fy")
	f("127.0.0.1:8080", 8080, "GET", "Sysotel.example", "/", "https://sysotel.example:8443/")
	f("127.0.0.1:8080", 8080, "GET", "localhost", "//evil.example/a", "https://localhost:8080//evil.example/a")
	f("127.0.0.1:8080", 8080, "GET", "evil.example", "/", "")
	f("127.0.0.1:8080", 8080, "GET", "localhost.evil.example", "/", "")
	f("127.0.0.1:8080", 8080, "GET", "127.0.0.1@evil.example", "/", "")
	f("127.0.0.1:8080", 8080, "GET", "[::1].evil.example", "/", "")
	f("127.0.0.1:8080", 8080, "GET", "", "/", "")
}

func TestRedirectRuns(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue("server", soon())
	s, _ := serveTLS(t, TLSConfig{CertFile: cert, KeyFile: key}, nil)
	r := NewRedirect("127.0.0.1:0", s.options.Config, s.Addr(), quiet)
	if err := r.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	client := trusting(t, a.file, nil)
	response := shown(t, client, "http://"+r.Addr().String()+"/api/v1/health")
	if response.StatusCode != http.StatusPermanentRedirect || response.Header.Get("Strict-Transport-Security") != "" {
		t.Errorf("%s %v", response.Status, response.Header)
	}
	if response = shown(t, client, response.Header.Get("Location")); response.StatusCode != 200 {
		t.Errorf("the way leads to %s", response.Status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
