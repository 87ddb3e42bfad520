package api

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// originCheck admits only requests that name this server in Host and do not come
// from web pages of other origins.
//
// A web page anywhere can make a browser on this machine send requests to
// 127.0.0.1. The check of the Host header stops a page whose own name was made
// to resolve to 127.0.0.1 (DNS rebinding), which the browser considers the same
// origin.
//
// All others are stopped by what the browser says of the page: Origin, for requests
// that scripts send and for forms; Sec-Fetch-Site, also for images, scripts, frames
// and links, which have no Origin. Another port of this machine is another origin.
// A link may open a page, so that those in mails and chats work. Programs send
// neither header, and are admitted.
type originCheck struct {
	// hosts are the names of this server, in addition to loopback.
	hosts []string
	// external is the origin of http.external_url; may be empty.
	external string
	// cors are the origins of other pages that may call.
	cors []string
	// proxies are trusted to report whether a request came by TLS.
	proxies proxies
	// anyAddress accepts every IP address in Host: a page can only rebind a name,
	// not an address.
	anyAddress bool
	// anyHost accepts every Host.
	anyHost bool
	// accessOf is the access rules of what a request asks for; nil if it has none.
	accessOf func(*http.Request) Access
}

// newServerOriginCheck returns the check of the API, which also accepts the host
// name. A host name with dots is accepted only with authentication, because it
// may come from the network (DHCP).
func newServerOriginCheck(o Options) *originCheck {
	c := newOriginCheck(o.Config)
	c.anyAddress = o.Authenticate
	if name := strings.ToLower(o.Hostname); name != "" && (o.Authenticate || !strings.Contains(name, ".")) {
		c.hosts = append(c.hosts, name)
	}
	return c
}

// newOriginCheck returns the check that the configuration describes.
func newOriginCheck(config HTTPConfig) *originCheck {
	c := &originCheck{proxies: newProxies(config)}
	// An unspecified address is not a name.
	if host, _, err := net.SplitHostPort(config.Listen); err == nil && host != "" && host != "0.0.0.0" && host != "::" {
		c.hosts = append(c.hosts, strings.ToLower(host))
	}
	if u, err := url.Parse(config.ExternalURL); err == nil && u.Host != "" {
		c.hosts = append(c.hosts, strings.ToLower(u.Hostname()))
		c.external = strings.ToLower(u.Scheme + "://" + u.Host)
	}
	for _, origin := range config.CORS {
		c.cors = append(c.cors, strings.ToLower(origin))
	}
	return c
}

// middleware rejects requests that fail the check.
func (c *originCheck) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.anyHost && !c.knowsHost(r.Host) && !c.isCheck(r) {
			writeProblem(w, http.StatusForbidden,
				"The name in the Host header is not one of this server's names; add it with http.external_url.",
				invalidValue("header.Host", r.Host, "must be "+c.listHosts()))
			return
		}
		if len(c.cors) > 0 {
			w.Header().Add("Vary", "Origin")
		}
		if origin := r.Header["Origin"]; len(origin) > 0 {
			if !c.allowOrigin(w, r, origin) {
				return
			}
		} else if !c.isOwnSite(r) && !(opensPage(r) && c.access(r).Page) {
			writeProblem(w, http.StatusForbidden,
				"A web page of another site sent this request, so nothing is answered; to see this, type the address yourself.",
				invalidValue("header."+siteHeader(r), r.Header.Get(siteHeader(r)), "must be this server's own; add the page's origin with http.cors if its scripts may call"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// access is the access rules of what a request asks for.
func (c *originCheck) access(r *http.Request) Access {
	if c.accessOf == nil {
		return Access{}
	}
	return c.accessOf(r)
}

// isCheck reports whether a request is that of a load balancer or a probe without a
// Host, as HTTP/1.0 has it. Web pages cannot send one: every browser names the host.
func (c *originCheck) isCheck(r *http.Request) bool {
	return r.Host == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) && c.access(r).Check
}

// isOwnSite reports whether a request without an Origin comes from a page of this
// server, from the user or from a program. Browsers set Sec-Fetch-Site wherever a
// page cannot be changed on its way, as over TLS and on loopback; elsewhere and in
// old ones, of before 2023, there may be a Referer. A redirect on the way makes
// Sec-Fetch-Site foreign, but leaves the Referer as it is.
func (c *originCheck) isOwnSite(r *http.Request) bool {
	switch site := r.Header["Sec-Fetch-Site"]; {
	case len(site) == 1:
		return site[0] == "same-origin" || site[0] == "none"
	case len(site) > 1:
		return false
	}
	for _, referer := range r.Header["Referer"] {
		u, err := url.Parse(referer)
		if err != nil {
			return false
		}
		origin := strings.ToLower(u.Scheme + "://" + u.Host)
		if !c.isOwnOrigin(r, origin) && !slices.Contains(c.cors, origin) {
			return false
		}
	}
	return true
}

// siteHeader is the header on which isOwnSite decides.
func siteHeader(r *http.Request) string {
	if len(r.Header["Sec-Fetch-Site"]) > 0 {
		return "Sec-Fetch-Site"
	}
	return "Referer"
}

// opensPage reports whether a browser opens what it asks for in a window, and not in
// a frame or as a part of a page.
func opensPage(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if len(r.Header["Sec-Fetch-Site"]) == 0 {
		return strings.Contains(r.Header.Get("Accept"), "text/html")
	}
	mode, to := r.Header["Sec-Fetch-Mode"], r.Header["Sec-Fetch-Dest"]
	return len(mode) == 1 && mode[0] == "navigate" && len(to) == 1 && to[0] == "document"
}

// knowsHost reports whether a Host header names this server, on any port: a
// tunnel may use another one.
func (c *originCheck) knowsHost(header string) bool {
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
	if addr, err := netip.ParseAddr(host); err == nil && c.knowsAddress(addr.Unmap().WithZone("")) {
		return true
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host == "localhost" || slices.Contains(c.hosts, host)
}

// knowsAddress reports whether an address in Host can belong to this server.
// 0.0.0.0 is rejected, although browsers connect it to this machine.
func (c *originCheck) knowsAddress(addr netip.Addr) bool {
	if addr.IsLoopback() || addr.IsUnspecified() {
		return addr.IsLoopback()
	}
	if c.anyAddress {
		return true
	}
	own, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr() == addr
	})
}

// isOwn reports whether a request was sent by a page of this server.
func (c *originCheck) isOwn(r *http.Request) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return r.Header.Get("Sec-Fetch-Site") == "same-origin"
	}
	return len(origins) == 1 && c.isOwnOrigin(r, strings.ToLower(origins[0]))
}

// isForeign reports whether a request was sent by a page of another origin.
func (c *originCheck) isForeign(r *http.Request) bool {
	return len(r.Header["Origin"]) > 0 && !c.isOwn(r)
}

func (c *originCheck) isOwnOrigin(r *http.Request, origin string) bool {
	scheme := "http://"
	if c.proxies.secure(r) {
		scheme = "https://"
	}
	return origin == scheme+strings.ToLower(r.Host) || c.external != "" && origin == c.external
}

// listHosts describes the accepted hosts.
func (c *originCheck) listHosts() string {
	names := []string{"localhost", "127.0.0.1", "[::1]"}
	for _, host := range c.hosts {
		if !slices.Contains(names, host) && host != "::1" {
			names = append(names, host)
		}
	}
	if c.anyAddress {
		return "an IP address, or one of " + strings.Join(names, ", ")
	}
	return "one of " + strings.Join(names, ", ") + ", or an IP address of this machine"
}

// allowOrigin checks a request with an Origin header. It returns false if it has
// already responded: with an error, or to a CORS preflight request.
func (c *originCheck) allowOrigin(w http.ResponseWriter, r *http.Request, origins []string) bool {
	origin := strings.ToLower(origins[0])
	if len(origins) == 1 && c.isOwnOrigin(r, origin) {
		return true
	}
	if len(origins) != 1 || !slices.Contains(c.cors, origin) {
		writeProblem(w, http.StatusForbidden,
			"The web page that sent this request may not call this server; add its origin with http.cors.",
			invalidValue("header.Origin", strings.Join(origins, ", "), "must be the server's own origin or one of http.cors"))
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
