package config

import (
	"net"
	"strconv"
	"strings"

	"sysotel/agent/loopback"
	"sysotel/api"
)

// validateListeners decides who may reach the agent. The rule is here and not
// with each listener, so that it is the same for all of them.
func (c Config) validateListeners(wrong func(path string, value any, rule string)) {
	http := c.API.HTTP.Listen
	switch local, ok := isLocal(http); {
	case !ok:
		wrong("http.listen", http, "must be HOST:PORT, such as 127.0.0.1:8080")
	case !local && !c.API.Encrypted() && !c.API.HTTP.BehindProxy:
		// Who can reach it must log in (api.Config.Authenticates); what is missing is
		// that nobody on the way reads the password.
		wrong("http.listen", http, "others could read passwords on the way; set tls.cert_file and tls.key_file, or tls.self_signed: true, or http.behind_proxy: true where a proxy before it does TLS; or listen on 127.0.0.1 and reach it through an SSH tunnel (ssh -L 8080:127.0.0.1:8080 HOST)")
	}
	c.validateScrape(wrong)
	c.validateRedirect(wrong)
}

// validateScrape decides who may reach the scrape page. Its web configuration
// file is read for that: one that asks callers for nothing protects nothing.
func (c Config) validateScrape(wrong func(path string, value any, rule string)) {
	listen, file := c.Pipeline.Prometheus.Listen, c.Pipeline.Prometheus.WebConfig
	local, ok := isLocal(listen)
	protects, good := false, true
	if file != "" {
		var err error
		if protects, err = api.CheckWebConfig(file); err != nil {
			good = false
			wrong("prometheus.web_config", file, err.Error())
		}
	}
	switch {
	case listen == "":
	case !ok:
		wrong("prometheus.listen", listen, "must be HOST:PORT, such as 127.0.0.1:9100, or empty for no scrape page")
	case sameAddress(listen, c.API.HTTP.Listen):
		wrong("prometheus.listen", listen, "http.listen is the same address")
	case local || c.Pipeline.Prometheus.Insecure || protects || !good:
	case file != "":
		wrong("prometheus.web_config", file, "has neither tls_server_config nor basic_auth_users, so that it protects nothing at "+listen+", which others can reach; add one of them, listen on 127.0.0.1, or set prometheus.insecure: true if that is meant")
	default:
		wrong("prometheus.listen", listen, "others could reach it without TLS and password; give it both with prometheus.web_config, listen on 127.0.0.1, or set prometheus.insecure: true if that is meant")
	}
}

// validateRedirect judges the address that leads to HTTPS. Others may reach it:
// it tells nothing but the way.
func (c Config) validateRedirect(wrong func(path string, value any, rule string)) {
	redirect := c.API.TLS.Redirect
	if redirect == "" {
		return
	}
	switch _, ok := isLocal(redirect); {
	case !ok:
		wrong("tls.redirect", redirect, "must be HOST:PORT, such as 127.0.0.1:8081, or empty for none")
	case !c.API.Encrypted():
		wrong("tls.redirect", redirect, "there is no HTTPS to lead to; set tls.cert_file and tls.key_file, or tls.self_signed: true")
	case sameAddress(redirect, c.API.HTTP.Listen):
		wrong("tls.redirect", redirect, "http.listen is the same address")
	case sameAddress(redirect, c.Pipeline.Prometheus.Listen):
		wrong("tls.redirect", redirect, "prometheus.listen is the same address")
	}
}

// sameAddress tells whether two listeners would be in each other's way; at port
// 0 each gets one of its own.
func sameAddress(a, b string) bool { return a == b && !strings.HasSuffix(a, ":0") }

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
	return loopback.Host(host), true
}
