package api

import (
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/exporter-toolkit/web"

	"sysotel/agent/health"
	"sysotel/agent/loopback"
)

// Scrape serves the Prometheus page on its own port, in addition to /metrics of
// the API.
type Scrape struct {
	extraListener
	webConfig string
	// protected is whether the web configuration file required TLS or a password at
	// the start.
	protected bool
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
	pages.page(http.MethodGet, "/metrics", Access{Role: Public, Cost: Query}, page.ServeHTTP)
	pages.page(http.MethodGet, "/{$}", Access{Role: Public, Cost: Cheap}, redirectTo("/metrics"))
	pages.mux.HandleFunc("/", pages.rates.limit(Cheap, pages.notFound))
	origin := newOriginCheck(HTTPConfig{Listen: address})
	origin.anyHost = !loopback.Address(address)
	handler := origin.middleware(pages)
	s := &Scrape{webConfig: webConfig}
	if webConfig != "" {
		if s.protected, _ = CheckWebConfig(webConfig); s.protected { // Serving reports the error.
			handler = requireProtection(webConfig, handler)
		}
	}
	s.extraListener = extraListener{name: "the Prometheus page", option: "prometheus.listen", address: address, http: newHTTP(secure(log, handler), log)}
	newConnections(nil).attach(s.http)
	s.serve = s.http.Serve
	if webConfig != "" {
		// The Prometheus exporter toolkit reads the file again for every connection.
		s.serve = func(l net.Listener) error {
			return web.Serve(l, s.http, &web.FlagConfig{WebConfigFile: &webConfig}, log.With("listener", "prometheus page"))
		}
	}
	return s
}

// Health reports whether the web configuration file is still valid.
func (s *Scrape) Health() []health.Component {
	if s.webConfig == "" {
		return nil
	}
	p := health.Component{Name: "prometheus page", Status: health.OK}
	protects, err := CheckWebConfig(s.webConfig)
	switch {
	case err != nil:
		p.Status, p.Reason = health.Degraded, "scrapes are refused: prometheus.web_config "+err.Error()
	case !protects && s.protected:
		p.Status, p.Reason = health.Degraded, "scrapes are refused: "+unprotected
	}
	return []health.Component{p}
}

// unprotected is the reason if the file no longer protects the page.
const unprotected = "prometheus.web_config no longer has basic_auth_users or tls_server_config; to serve the page without them, restart the agent"

// requireProtection rejects all requests once the web configuration file no longer
// protects the page: an editing mistake must not open it.
func requireProtection(webConfig string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if protects, err := CheckWebConfig(webConfig); err != nil || !protects {
			writeProblem(w, http.StatusServiceUnavailable, "The web configuration file no longer protects this page, so it is not served.")
			return
		}
		next.ServeHTTP(w, r)
	})
}
