package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// validateListeners decides who may reach the agent. The rule is here and not
// with each listener, so that it is the same for all of them.
func (c Config) validateListeners(wrong func(path string, value any, rule string)) {
	http, prometheus := c.API.HTTP.Listen, c.Pipeline.Prometheus.Listen
	switch local, ok := isLocal(http); {
	case !ok:
		wrong("http.listen", http, "must be HOST:PORT, such as 127.0.0.1:8080")
	case !local:
		wrong("http.listen", http, "authentication does not exist yet in this version; listen on 127.0.0.1 and reach it through an SSH tunnel or a reverse proxy on the same machine")
	}
	if prometheus == "" {
		return
	}
	switch local, ok := isLocal(prometheus); {
	case !ok:
		wrong("prometheus.listen", prometheus, "must be HOST:PORT, such as 127.0.0.1:9100, or empty for no scrape page")
	case !local && !c.Pipeline.Prometheus.Insecure:
		wrong("prometheus.listen", prometheus, "others could reach it without TLS and password; listen on 127.0.0.1, or set prometheus.insecure: true if that is meant")
	case prometheus == http && !strings.HasSuffix(http, ":0"):
		wrong("prometheus.listen", prometheus, "http.listen is the same address")
	}
}

// isLocal tells whether an address can be reached from this machine only, and
// whether it is an address to listen on at all. A name other than localhost may
// mean anything tomorrow and is not local.
func isLocal(address string) (local, ok bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false, false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false, false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback(), true
}
