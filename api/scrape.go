package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
)

// Scrape serves the Prometheus page on a port of its own, where every scraper
// looks for it, beside /metrics of the API.
type Scrape struct {
	address  string
	http     *http.Server
	listener net.Listener
}

// NewScrape makes the server of the page; it listens and answers only when told
// to. On a loopback address it answers only requests that name loopback, so
// that no web page can read it by DNS rebinding; on another address, which
// takes prometheus.insecure, everybody may read it anyway.
func NewScrape(address string, page http.Handler, log *slog.Logger) *Scrape {
	pages := &routes{mux: http.NewServeMux(), hint: "/metrics is the only page here."}
	// Who reaches the address may read the page: the address itself is the check.
	pages.admit = func(http.ResponseWriter, *http.Request, Access) bool { return true }
	pages.page(http.MethodGet, "/metrics", Access{Role: Public, Cost: Query}, page.ServeHTTP)
	pages.page(http.MethodGet, "/{$}", Access{Role: Public, Cost: Cheap}, redirectTo("/metrics"))
	pages.mux.HandleFunc("/", pages.lost)
	var handler http.Handler = pages
	if isLoopback(address) {
		handler = newGate(HTTPConfig{Listen: address}).through(handler)
	}
	return &Scrape{address: address, http: newHTTP(shield(log, handler), log)}
}

// isLoopback tells whether only programs of this machine reach an address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Listen takes the address. After it, Run or Close must be called.
func (s *Scrape) Listen() error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", s.address)
	if err != nil {
		return listenError("prometheus.listen", s.address, err)
	}
	s.listener = listener
	return nil
}

// Addr is the address that the page is on, nil before Listen.
func (s *Scrape) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Run answers scrapes until the context ends.
func (s *Scrape) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the Prometheus page: %w", err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	return errors.Join(unlessClosed(err), unlessClosed(<-served))
}

// Close gives the address back where Run was never called.
func (s *Scrape) Close() error {
	err := s.http.Close()
	if s.listener != nil {
		err = errors.Join(err, s.listener.Close())
	}
	return unlessClosed(err)
}
