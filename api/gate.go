package api

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// gate answers only requests that name this server and come from its own pages.
//
// A web page anywhere can make a browser on this machine send requests to
// 127.0.0.1. The check of the Host header stops a page whose own name was made
// to resolve to 127.0.0.1 (DNS rebinding), which the browser takes for the same
// origin; the check of the Origin header stops all others.
type gate struct {
	// hosts are the names this server goes by, beside those of loopback.
	hosts []string
	// external is the origin of http.external_url, empty where there is none.
	external string
	// cors are the origins of other pages that may call.
	cors []string
	// proxies tell whether a request came by TLS.
	proxies proxies
	// anyAddress lets through every address in Host, whoever it belongs to: a page
	// cannot make an address resolve to another, only a name.
	anyAddress bool
}

// newServerGate makes the gate of the API. The machine's own name is one of its
// names; one with dots only where authentication is on, because a name that the
// network gave the machine may be anybody's.
func newServerGate(o Options) *gate {
	g := newGate(o.Config)
	g.anyAddress = o.Authenticate
	if name := strings.ToLower(o.Hostname); name != "" && (o.Authenticate || !strings.Contains(name, ".")) {
		g.hosts = append(g.hosts, name)
	}
	return g
}

// newGate makes the gate that the configuration describes.
func newGate(c HTTPConfig) *gate {
	g := &gate{proxies: newProxies(c)}
	// An address that stands for all addresses is nobody's name.
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && host != "" && host != "0.0.0.0" && host != "::" {
		g.hosts = append(g.hosts, strings.ToLower(host))
	}
	if u, err := url.Parse(c.ExternalURL); err == nil && u.Host != "" {
		g.hosts = append(g.hosts, strings.ToLower(u.Hostname()))
		g.external = strings.ToLower(u.Scheme + "://" + u.Host)
	}
	for _, origin := range c.CORS {
		g.cors = append(g.cors, strings.ToLower(origin))
	}
	return g
}

// through wraps the server's handler.
func (g *gate) through(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.knowsHost(r.Host) {
			writeProblem(w, http.StatusForbidden,
				"The name in the Host header is not one of this server's names; add it with http.external_url.",
				mistake("header.Host", r.Host, "must be "+g.listHosts()))
			return
		}
		if len(g.cors) > 0 {
			w.Header().Add("Vary", "Origin")
		}
		if origin := r.Header["Origin"]; len(origin) > 0 && !g.admit(w, r, origin) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// knowsHost tells whether a Host header names this server, on whatever port: a
// tunnel may lead here from another one.
func (g *gate) knowsHost(header string) bool {
	host := header
	if inside, ok := strings.CutPrefix(host, "["); ok {
		var rest string
		if host, rest, _ = strings.Cut(inside, "]"); rest != "" && rest[0] != ':' {
			return false
		}
	} else if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	if host == "localhost" || host == "127.0.0.1" {
		return true
	}
	if addr, err := netip.ParseAddr(host); err == nil && g.knowsAddress(addr.Unmap().WithZone("")) {
		return true
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host == "localhost" || slices.Contains(g.hosts, host)
}

// knowsAddress tells whether an address in Host can be this server's. 0.0.0.0 is
// none, although browsers take it for this machine.
func (g *gate) knowsAddress(addr netip.Addr) bool {
	if addr.IsLoopback() || addr.IsUnspecified() {
		return addr.IsLoopback()
	}
	if g.anyAddress {
		return true
	}
	own, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr() == addr
	})
}

// isOwn tells whether a page of this server sent a request.
func (g *gate) isOwn(r *http.Request) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return r.Header.Get("Sec-Fetch-Site") == "same-origin"
	}
	return len(origins) == 1 && g.isOwnOrigin(r, strings.ToLower(origins[0]))
}

// isForeign tells whether a page of another origin sent a request.
func (g *gate) isForeign(r *http.Request) bool { return len(r.Header["Origin"]) > 0 && !g.isOwn(r) }

func (g *gate) isOwnOrigin(r *http.Request, origin string) bool {
	scheme := "http://"
	if g.proxies.secure(r) {
		scheme = "https://"
	}
	return origin == scheme+strings.ToLower(r.Host) || g.external != "" && origin == g.external
}

// listHosts says which hosts are known.
func (g *gate) listHosts() string {
	names := []string{"localhost", "127.0.0.1", "[::1]"}
	for _, host := range g.hosts {
		if !slices.Contains(names, host) && host != "::1" {
			names = append(names, host)
		}
	}
	if g.anyAddress {
		return "an IP address, or one of " + strings.Join(names, ", ")
	}
	return "one of " + strings.Join(names, ", ") + ", or an IP address of this machine"
}

// admit judges a request that a web page sent. It returns false where it has
// answered itself: a refusal, or a browser's question before the request.
func (g *gate) admit(w http.ResponseWriter, r *http.Request, origins []string) bool {
	origin := strings.ToLower(origins[0])
	if len(origins) == 1 && g.isOwnOrigin(r, origin) {
		return true
	}
	if len(origins) != 1 || !slices.Contains(g.cors, origin) {
		writeProblem(w, http.StatusForbidden,
			"The web page that sent this request may not call this server; add its origin with http.cors.",
			mistake("header.Origin", strings.Join(origins, ", "), "must be the server's own origin or one of http.cors"))
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origins[0])
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return true
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE")
	h.Set("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Last-Event-ID")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return false
}
