package notify

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestFrozenConnection: a connection on which nothing comes any more, HTTP/2 as well, is
// replaced within a minute.
func TestFrozenConnection(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("the request came over %s, the test is about HTTP/2", r.Proto)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}

	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	frozen := make(chan struct{})
	var mu sync.Mutex
	old := true
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
			if err != nil {
				return
			}
			t.Cleanup(func() { _, _ = from.Close(), to.Close() })
			mu.Lock()
			freezes := old
			mu.Unlock()
			for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					block := make([]byte, 64<<10)
					for {
						n, err := way[0].Read(block)
						if err != nil {
							return
						}
						if freezes {
							select {
							case <-frozen:
								_, _ = io.Copy(io.Discard, way[0])
								return
							default:
							}
						}
						_, _ = way[1].Write(block[:n])
					}
				}()
			}
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })

	p, err := newPoster(ca, "")
	if err != nil {
		t.Fatal(err)
	}
	post := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return p.post(ctx, "https://"+listener.Addr().String(), "x", func(*http.Request) {})
	}
	if err := post(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	old = false
	mu.Unlock()
	close(frozen)
	began := time.Now()
	attempts := 1
	for post() != nil {
		if attempts++; time.Since(began) > 2*time.Minute {
			t.Fatal("the frozen connection is still in use after two minutes")
		}
	}
	t.Logf("replaced after %s, with attempt %d", time.Since(began), attempts)
	if time.Since(began) > time.Minute {
		t.Error("want within a minute")
	}
}
