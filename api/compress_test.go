package api

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestCompress: what is worth it is compressed for those who accept that, and says the
// same.
func TestCompress(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	large := strings.Repeat(`{"name":"a process"},`, 1000)
	s.routes.page(http.MethodGet, "/test/large", Access{Role: Public}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, large)
	})
	s.routes.page(http.MethodGet, "/test/small", Access{Role: Public}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, large[:minCompressed-1])
	})
	s.routes.page(http.MethodGet, "/test/image", Access{Role: Public}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		_, _ = io.WriteString(w, large)
	})
	f := func(h http.Handler, path, accepts, want string, compressed bool) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Host = "localhost"
		r.Header.Set("Accept-Encoding", accepts)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Encoding") == "gzip"; w.Code != http.StatusOK || got != compressed {
			t.Fatalf("%s for %q: status %d, compressed %v", path, accepts, w.Code, got)
		}
		sent := w.Body.Len()
		var body io.Reader = w.Body
		if compressed {
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			body = z
		}
		text, err := io.ReadAll(body)
		if err != nil || string(text) != want {
			t.Errorf("%s for %q: %d bytes, %v", path, accepts, len(text), err)
		}
		if compressed && sent > len(want)/10 {
			t.Errorf("%s for %q: %d of %d bytes", path, accepts, sent, len(want))
		}
		if vary := w.Header().Get("Vary"); compressed && vary != "Accept-Encoding" {
			t.Errorf("%s for %q: Vary %q", path, accepts, vary)
		}
	}
	f(s.tcp.Handler, "/test/large", "gzip, deflate, br", large, true)
	f(s.tcp.Handler, "/test/large", "", large, false)
	f(s.tcp.Handler, "/test/large", "gzip;q=0", large, false)
	f(s.tcp.Handler, "/test/small", "gzip", large[:minCompressed-1], false)
	f(s.tcp.Handler, "/test/image", "gzip", large, false)
	// On the socket the client is on the same machine.
	f(s.unix.Handler, "/test/large", "gzip", large, false)
}

// TestStreamIsNotCompressed: an event must not wait for others.
func TestStreamIsNotCompressed(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, run(t, s)+streamPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "gzip")
	response, err := streamClient(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, len("retry: "))
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "retry: " || response.Header.Get("Content-Encoding") != "" {
		t.Errorf("the stream begins with %q, %v, %v", first, err, response.Header)
	}
}
