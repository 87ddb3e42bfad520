package api

import (
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Redirect redirects plain HTTP to HTTPS.
type Redirect struct{ extraListener }

// NewRedirect returns the server that redirects from address to the API, which
// listens on target; it starts with Listen and Run.
func NewRedirect(address string, c HTTPConfig, target net.Addr, log *slog.Logger) *Redirect {
	handler := redirectToTLS(c, target)
	r := &Redirect{extraListener{name: "the redirection to HTTPS", option: "tls.redirect", address: address, http: newHTTP(secure(log, handler), log)}}
	r.serve = r.http.Serve
	return r
}

// redirectToTLS redirects requests whose Host names this server. It never repeats
// another name: that would be an open redirect.
func redirectToTLS(c HTTPConfig, target net.Addr) http.Handler {
	check := newOriginCheck(c)
	_, number, _ := net.SplitHostPort(target.String())
	outside, err := url.Parse(c.ExternalURL)
	if err != nil {
		outside = &url.URL{}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !check.knowsHost(r.Host) {
			writeProblem(w, http.StatusForbidden, "The name in the Host header is not one of this server's names; add it with http.external_url.")
			return
		}
		named := url.URL{Host: r.Host}
		to := url.URL{Scheme: "https", Host: net.JoinHostPort(named.Hostname(), number), Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
		if outside.Scheme == "https" && strings.EqualFold(named.Hostname(), outside.Hostname()) {
			to.Host = outside.Host // Its port may differ from the agent's.
		} else if number == "443" {
			to.Host = strings.TrimSuffix(to.Host, ":443")
		}
		w.Header().Set("Location", to.String())
		w.WriteHeader(http.StatusPermanentRedirect)
	})
}
