package api

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sysotel/agent/auth"
)

// authPath is the prefix of the login operations, the only ones that get the refresh cookie.
const authPath = "/api/v1/auth"

// The session cookies. Because of their prefixes browsers enforce that both are
// Secure and that the first is set by this host and for all of its paths. Below a base
// path the first cannot have that prefix: its path keeps it from the other servers
// behind the proxy.
const (
	accessName  = "__Host-sysotel"
	refreshName = "__Secure-sysotel-refresh"
)

// isSecure reports whether the browser used TLS, to the server or to a proxy in
// front of it.
func (s *Server) isSecure(r *http.Request) bool {
	return s.proxies.secure(r) || strings.HasPrefix(s.origin.external, "https://")
}

// accessCookie and refreshCookie are the names of the cookies. Without TLS, which
// is possible on loopback only, browsers reject the prefixes. Cookies are for all ports
// of a host, so that the port that the browser asked is in the name: two agents on one
// host would log each other out.
func (s *Server) accessCookie(r *http.Request) string {
	name := strings.TrimPrefix(accessName, "__Host-") + portOf(r)
	switch {
	case !s.isSecure(r):
		return name
	case s.base() != "":
		return "__Secure-" + name
	}
	return "__Host-" + name
}

func (s *Server) refreshCookie(r *http.Request) string {
	if s.isSecure(r) {
		return refreshName + portOf(r)
	}
	return strings.TrimPrefix(refreshName, "__Secure-") + portOf(r)
}

// portOf is the end of a cookie's name: the port in Host, such as -8080; empty for the
// standard ones.
func portOf(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	n, wrong := strconv.ParseUint(port, 10, 16)
	if err != nil || wrong != nil || n == 80 || n == 443 {
		return ""
	}
	return "-" + strconv.FormatUint(n, 10)
}

// cookie is the value of a cookie, "" if there is none.
func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// cookies are the cookies to set for a session; an empty grant clears them.
func (s *Server) cookies(r *http.Request, g auth.Grant) []http.Cookie {
	one := func(name, path, value string, until time.Time) http.Cookie {
		c := http.Cookie{ //nolint:gosec // Without TLS, which is on loopback only, a browser would drop a Secure one.
			Name: name, Value: value, Path: path, MaxAge: int(until.Sub(s.now()).Seconds()),
			HttpOnly: true, Secure: s.isSecure(r), SameSite: http.SameSiteStrictMode,
		}
		if value == "" || c.MaxAge < 1 {
			c.Value, c.MaxAge = "", -1
		}
		return c
	}
	return []http.Cookie{
		one(s.accessCookie(r), s.base()+"/", g.Access, g.AccessUntil),
		one(s.refreshCookie(r), s.base()+authPath, g.Refresh, g.RefreshUntil),
	}
}

// browser is embedded in the input of operations that use cookies.
type browser struct{ request *http.Request }

// Resolve implements huma.Resolver.
func (b *browser) Resolve(ctx huma.Context) []error {
	b.request, _ = humago.Unwrap(ctx)
	return nil
}

// fromOwnPage rejects requests from pages of other origins that would set or use
// cookies, such as login CSRF.
func (s *Server) fromOwnPage(r *http.Request) error {
	if s.origin.isOwn(r) {
		return nil
	}
	return problem(http.StatusForbidden, "Cookies are only for pages of this server, and the Origin of the request is not one of them. Programs: omit cookie and use the tokens.")
}
