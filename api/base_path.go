package api

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// BasePath is the path of http.external_url, below which a reverse proxy serves the
// agent, such as /sysotel; empty if that is the root.
func (c HTTPConfig) BasePath() string {
	u, err := url.Parse(c.ExternalURL)
	if err != nil {
		return ""
	}
	return strings.TrimRight(u.Path, "/")
}

// PublicURL is external_url without a slash at its end; empty if that is not set.
func (c HTTPConfig) PublicURL() string { return strings.TrimRight(c.ExternalURL, "/") }

// basePaths are the paths that http.external_url may have. None of their characters
// means anything in a cookie, in HTML or in a pattern of a route.
var basePaths = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?$`)

// ownPaths are the first segments of the agent's own paths. With a base path that
// begins with one, a request that a proxy passed on without it could not be told from
// one that a proxy passed on as it came.
var ownPaths = []string{
	"-", "alerts", "api", "assets", "docs", "hosts", "icon-192.png", "icon-512.png", "icon.svg", "login", "manifest.webmanifest",
	"metrics", "openapi.json", "openapi.yaml", "processes", "prometheus", "settings", "setup", "unbuilt.css",
}

// wrongBasePath is the rule that a base path violates, empty for a good one.
func wrongBasePath(u *url.URL) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	switch {
	case u.RawPath != "" || !basePaths.MatchString(u.Path) || len(u.Path) > 200:
		return "must have a path of at most 200 letters, digits and . _ ~ - between single slashes, such as https://host.example/sysotel/"
	case slices.Contains(ownPaths, first):
		return "must not have a path that begins with /" + first + ", which is one of the agent's own"
	}
	return ""
}

// below serves requests below a base path: those of a proxy that passes the path on as
// it came, and those of one that cuts the base path off. The routes know nothing of it:
// it is cut off their requests, and put before every redirect to a path of this server.
func below(base string, next http.Handler) http.Handler {
	if base == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if response, ok := w.(*responseWriter); ok {
			response.base = base
		}
		if r.URL.Path == base {
			to := url.URL{Path: "/", RawQuery: r.URL.RawQuery}
			redirectTo(to.String())(w, r)
			return
		}
		if path, ok := strings.CutPrefix(r.URL.Path, base+"/"); ok {
			u := *r.URL
			u.Path, u.RawPath = "/"+path, ""
			// The base path has no characters that would be escaped.
			if raw, ok := strings.CutPrefix(r.URL.RawPath, base+"/"); ok {
				u.RawPath = "/" + raw
			}
			inner := *r
			inner.URL = &u
			r = &inner
		}
		next.ServeHTTP(w, r)
	})
}

// rebase puts the base path before a redirect to a path of this server.
func rebase(base string, h http.Header) {
	if to := h.Get("Location"); base != "" && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") {
		h.Set("Location", base+to)
	}
}
