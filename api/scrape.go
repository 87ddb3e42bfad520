package api

import (
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/exporter-toolkit/web"

	"sysotel/agent/loopback"
)

// Scrape serves the Prometheus page on a port of its own, where every scraper
// looks for it, beside /metrics of the API.
type Scrape struct {
	port
	webConfig string
	// guarded tells that the file asked callers for something at the start.
	guarded bool
}

// NewScrape makes the server of the page; it listens and answers only when told
// to. On a loopback address it answers only requests that name loopback, so
// that no web page can read it by DNS rebinding; on another address who may read
// it is said by the web configuration file, "" for everybody (prometheus.insecure).
// Each client is limited as on the API.
func NewScrape(address, webConfig string, page http.Handler, limit RateLimitConfig, log *slog.Logger) *Scrape {
	pages := &routes{mux: http.NewServeMux(), hint: "the only page here is /metrics.", rates: newRates(limit, nil)}
	// Who reaches the address may read the page: the address itself is the check.
	pages.admit = func(http.ResponseWriter, *http.Request, Access) bool { return true }
	pages.page(http.MethodGet, "/metrics", Access{Role: Public, Cost: Query}, page.ServeHTTP)
	pages.page(http.MethodGet, "/{$}", Access{Role: Public, Cost: Cheap}, redirectTo("/metrics"))
	pages.mux.HandleFunc("/", pages.rates.through(Cheap, pages.lost))
	var handler http.Handler = pages
	if loopback.Address(address) {
		handler = newGate(HTTPConfig{Listen: address}).through(handler)
	}
	s := &Scrape{webConfig: webConfig}
	if webConfig != "" {
		if s.guarded, _ = CheckWebConfig(webConfig); s.guarded { // Serving tells the error.
			handler = stayGuarded(webConfig, handler)
		}
	}
	s.port = port{name: "the Prometheus page", option: "prometheus.listen", address: address, http: newHTTP(shield(log, handler), log)}
	newConnections(nil).guard(s.http)
	s.serve = s.http.Serve
	if webConfig != "" {
		// The ecosystem's own server reads the file again at every connection.
		s.serve = func(l net.Listener) error {
			return web.Serve(l, s.http, &web.FlagConfig{WebConfigFile: &webConfig}, log.With("listener", "prometheus page"))
		}
	}
	return s
}

// Health are the page's own parts of /health: what was good when the agent
// started can have been changed for the worse.
func (s *Scrape) Health() []Part {
	if s.webConfig == "" {
		return nil
	}
	p := Part{Name: "prometheus page", Status: OK}
	protects, err := CheckWebConfig(s.webConfig)
	switch {
	case err != nil:
		p.Status, p.Reason = Degraded, "scrapes are refused: prometheus.web_config "+err.Error()
	case !protects && s.guarded:
		p.Status, p.Reason = Degraded, "scrapes are refused: "+unguarded
	}
	return []Part{p}
}

// unguarded says that a file does not protect the page any more.
const unguarded = "prometheus.web_config no longer has basic_auth_users or tls_server_config; to serve the page without them, restart the agent"

// stayGuarded refuses all callers where a file that was to protect the page has
// come to protect nothing: a slip in an editor must not open it.
func stayGuarded(webConfig string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if protects, err := CheckWebConfig(webConfig); err != nil || !protects {
			writeProblem(w, http.StatusServiceUnavailable, "The web configuration file no longer protects this page, so it is not served.")
			return
		}
		next.ServeHTTP(w, r)
	})
}
