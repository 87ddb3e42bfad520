package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sysotel/agent/auth"
)

// authPath is where log-ins are made; the cookie that prolongs one goes nowhere else.
const authPath = "/api/v1/auth"

// The cookies of a browser's session. Their prefixes have the browser itself see
// to it that they are Secure, and the first one that it is this host's own.
const (
	accessName  = "__Host-sysotel"
	refreshName = "__Secure-sysotel-refresh"
)

// isSecure tells whether the browser reached the server by TLS, at the server or
// at a proxy before it.
func (s *Server) isSecure(r *http.Request) bool {
	return s.proxies.secure(r) || strings.HasPrefix(s.gate.external, "https://")
}

// accessCookie and refreshCookie are the cookies' names. Without TLS, which is on
// loopback only, a browser would not keep them under their prefixes.
func (s *Server) accessCookie(r *http.Request) string {
	if s.isSecure(r) {
		return accessName
	}
	return strings.TrimPrefix(accessName, "__Host-")
}

func (s *Server) refreshCookie(r *http.Request) string {
	if s.isSecure(r) {
		return refreshName
	}
	return strings.TrimPrefix(refreshName, "__Secure-")
}

// cookie is the value of a cookie, "" where there is none.
func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// cookies are a session's, to be set; of a grant that is empty, to be taken away.
func (s *Server) cookies(r *http.Request, g auth.Grant) []http.Cookie {
	one := func(name, path, value string, until time.Time) http.Cookie {
		c := http.Cookie{ //nolint:gosec // Without TLS, which is on loopback only, a browser would drop a Secure one.
			Name: name, Value: value, Path: path, MaxAge: int(time.Until(until).Seconds()),
			HttpOnly: true, Secure: s.isSecure(r), SameSite: http.SameSiteStrictMode,
		}
		if value == "" || c.MaxAge < 1 {
			c.Value, c.MaxAge = "", -1
		}
		return c
	}
	return []http.Cookie{
		one(s.accessCookie(r), "/", g.Access, g.AccessUntil),
		one(s.refreshCookie(r), authPath, g.Refresh, g.RefreshUntil),
	}
}

// browser is embedded in the input of an operation that deals in cookies.
type browser struct{ request *http.Request }

// Resolve implements huma.Resolver.
func (b *browser) Resolve(ctx huma.Context) []error {
	b.request, _ = humago.Unwrap(ctx)
	return nil
}

// fromOwnPage refuses what would set or use cookies for a page of another server,
// such as logging somebody in as another.
func (s *Server) fromOwnPage(r *http.Request) error {
	if s.gate.isOwn(r) {
		return nil
	}
	return problem(http.StatusForbidden, "Cookies are only for pages of this server, and the Origin of the request is not one of them. Programs: omit cookie and use the tokens.")
}
