package api

import (
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Redirect answers plain HTTP with the way to the same page by HTTPS.
type Redirect struct{ port }

// NewRedirect makes the server that leads from an address to the API, which
// listens at target; it listens and answers only when told to.
func NewRedirect(address string, c HTTPConfig, target net.Addr, log *slog.Logger) *Redirect {
	handler := redirectToTLS(c, target)
	r := &Redirect{port{name: "the redirection to HTTPS", option: "tls.redirect", address: address, http: newHTTP(shield(log, handler), log)}}
	r.serve = r.http.Serve
	return r
}

// redirectToTLS sends whoever names this server to it. Another name is not
// repeated: the way would lead to whoever has it.
func redirectToTLS(c HTTPConfig, target net.Addr) http.Handler {
	names := newGate(c)
	_, number, _ := net.SplitHostPort(target.String())
	outside, err := url.Parse(c.ExternalURL)
	if err != nil {
		outside = &url.URL{}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !names.knowsHost(r.Host) {
			writeProblem(w, http.StatusForbidden, "The name in the Host header is not one of this server's names; add it with http.external_url.")
			return
		}
		named := url.URL{Host: r.Host}
		to := url.URL{Scheme: "https", Host: net.JoinHostPort(named.Hostname(), number), Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
		if outside.Scheme == "https" && strings.EqualFold(named.Hostname(), outside.Hostname()) {
			to.Host = outside.Host // Perhaps on another port than the agent's own.
		} else if number == "443" {
			to.Host = strings.TrimSuffix(to.Host, ":443")
		}
		w.Header().Set("Location", to.String())
		w.WriteHeader(http.StatusPermanentRedirect)
	})
}
