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
	case !local && !encrypted(c) && !behindProxy(c):
		// Who can reach it must log in (api.Config.Authenticates); what is missing is
		// that nobody on the way reads the password.
		wrong("http.listen", http, "others could read passwords on the way; set tls.cert_file and tls.key_file, or tls.self_signed: true, or http.behind_proxy: true where a proxy before it does TLS; or listen on 127.0.0.1 and reach it through an SSH tunnel (ssh -L 8080:127.0.0.1:8080 HOST)")
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

// encrypted tells whether the API speaks TLS. It does not know how to yet.
func encrypted(Config) bool { return false }

// behindProxy tells whether a proxy before the API speaks TLS. There is no
// option to say so yet.
func behindProxy(Config) bool { return false }

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
