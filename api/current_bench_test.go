package api

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// BenchmarkCurrent requests /current from a real server over 100 persistent
// connections. The requests/s include the client, which shares the processors and
// is therefore minimal.
func BenchmarkCurrent(b *testing.B) {
	const connections = 100
	s := newTestServer(b, ticked(), nil)
	if err := s.Listen(); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()
	address := s.Addr().String()
	request := []byte("GET /api/v1/metrics/current HTTP/1.1\r\nHost: " + address + "\r\n\r\n")
	clients := make([]net.Conn, connections)
	for i := range clients {
		conn, err := new(net.Dialer).DialContext(b.Context(), "tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		clients[i] = conn
	}
	b.ResetTimer()
	var all sync.WaitGroup
	for i, conn := range clients {
		n := b.N / connections
		if i < b.N%connections {
			n++
		}
		all.Go(func() {
			r := bufio.NewReaderSize(conn, 16<<10)
			for range n {
				if _, err := conn.Write(request); err != nil {
					b.Error(err)
					return
				}
				response, err := http.ReadResponse(r, nil)
				if err != nil || response.StatusCode != http.StatusOK {
					b.Errorf("%v %v", response, err)
					return
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					b.Error(err)
					return
				}
				_ = response.Body.Close()
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// BenchmarkCurrentHandler is a request without the network.
func BenchmarkCurrentHandler(b *testing.B) {
	h := newTestServer(b, ticked(), nil).Handler()
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v1/metrics/current", nil)
	r.Host = "127.0.0.1:8080"
	r = r.WithContext(withCaller(r.Context(), Caller{Role: Viewer}))
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		h.ServeHTTP(w, r)
	}
	if w.status != 0 || w.bytes == 0 {
		b.Fatalf("status %d, %d bytes", w.status, w.bytes)
	}
}

// BenchmarkCurrentEncode is the cost of encoding a tick.
func BenchmarkCurrentEncode(b *testing.B) {
	s := newTestServer(b, ticked(), nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.encodeCurrent(1, exampleTime); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNew is the cost of the server at the start of the agent.
func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		newTestServer(b, exampleMachine{}, nil)
	}
}

// discard is a connection that discards what is written.
type discard struct {
	header http.Header
	status int
	bytes  int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { d.bytes += len(b); return len(b), nil }
