package api

import (
	"log/slog"
	"net"
	"net/http"

	"sysotel/agent/health"
	"sysotel/agent/loopback"
)

// Scrape serves the Prometheus page on its own port, in addition to /metrics of
// the API.
type Scrape struct {
	extraListener
	access *scrapeAccess // Nil without a web configuration file.
}

// NewScrape returns the server of the page; it starts with Listen and Run. No web
// page of another site may ask for it; on a loopback address only a loopback Host is
// accepted, so that none can read it by DNS rebinding. On other addresses the web configuration
// file protects it; "" allows everyone (prometheus.insecure). The rate limits are
// those of the API.
func NewScrape(address, webConfig string, page http.Handler, limit RateLimitConfig, log *slog.Logger) *Scrape {
	pages := &routes{mux: http.NewServeMux(), hint: "the only page here is /metrics.", rates: newRates(limit, nil)}
	// Everyone who can reach the address may read the page.
	pages.authorize = func(http.ResponseWriter, *http.Request, Access) bool { return true }
	pages.page(http.MethodGet, "/metrics", Access{Role: Public, Cost: Query, Check: true}, page.ServeHTTP)
	pages.page(http.MethodGet, "/{$}", Access{Role: Public, Cost: Cheap}, redirectTo("/metrics"))
	pages.mux.HandleFunc("/", pages.rates.limit(Cheap, pages.notFound))
	origin := newOriginCheck(HTTPConfig{Listen: address})
	origin.accessOf = pages.accessOf
	origin.anyHost = !loopback.Address(address)
	handler := origin.middleware(pages)
	s := &Scrape{}
	handler = secure(log, handler)
	var failed error
	if webConfig != "" {
		if s.access, failed = newScrapeAccess(webConfig, log.With("listener", "prometheus page")); failed == nil {
			handler = s.access.middleware(handler)
		}
	}
	s.extraListener = extraListener{name: "the Prometheus page", option: "prometheus.listen", address: address, http: newHTTP(handler, log)}
	newConnections(nil).attach(s.http)
	switch {
	case failed != nil:
		s.serve = func(net.Listener) error { return failed }
	case s.access != nil && s.access.secureServer(s.http):
		s.serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	default:
		s.serve = s.http.Serve
	}
	return s
}

// Health reports whether the newest web configuration file is in force.
func (s *Scrape) Health() []health.Component {
	if s.access == nil {
		return nil
	}
	return []health.Component{s.access.health()}
}
