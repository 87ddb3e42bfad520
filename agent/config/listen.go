package config

import (
	"net"
	"strconv"
	"strings"

	"sysotel/agent/loopback"
	"sysotel/api"
)

// validateListeners checks who can reach the agent. The rule is here and not with
// each listener, so that it is the same for all.
func (c Config) validateListeners(wrong func(path string, value any, rule string)) {
	http := c.API.HTTP.Listen
	switch local, ok := isLocal(http); {
	case !ok:
		wrong("http.listen", http, "must be HOST:PORT, such as 127.0.0.1:8080")
	case !local && !c.API.Encrypted() && !c.API.HTTP.BehindProxy:
		// Remote clients must log in (api.Config.Authenticates), so passwords must be
		// encrypted.
		wrong("http.listen", http, "would send passwords unencrypted over the network; set tls.cert_file and tls.key_file, or tls.self_signed: true, or http.behind_proxy: true if a proxy in front does TLS; or listen on 127.0.0.1 and use an SSH tunnel (ssh -L 8080:127.0.0.1:8080 HOST)")
	}
	c.validateScrape(wrong)
	c.validateRedirect(wrong)
}

// validateScrape checks who can reach the scrape page. It reads the web
// configuration file: one without TLS and passwords protects nothing.
func (c Config) validateScrape(wrong func(path string, value any, rule string)) {
	listen, file := c.Export.Prometheus.Listen, c.Export.Prometheus.WebConfig
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
	case local || c.Export.Prometheus.Insecure || protects || !good:
	case file != "":
		wrong("prometheus.web_config", file, "has neither tls_server_config nor basic_auth_users, so "+listen+" is open to the network; add one of them, listen on 127.0.0.1, or set prometheus.insecure: true to allow it")
	default:
		wrong("prometheus.listen", listen, "is open to the network without TLS and password; set both with prometheus.web_config, listen on 127.0.0.1, or set prometheus.insecure: true to allow it")
	}
}

// validateRedirect checks the address that redirects to HTTPS. It may be open to the
// network: it serves nothing else.
func (c Config) validateRedirect(wrong func(path string, value any, rule string)) {
	redirect := c.API.TLS.Redirect
	if redirect == "" {
		return
	}
	switch _, ok := isLocal(redirect); {
	case !ok:
		wrong("tls.redirect", redirect, "must be HOST:PORT, such as 127.0.0.1:8081, or empty for none")
	case !c.API.Encrypted():
		wrong("tls.redirect", redirect, "needs HTTPS to redirect to; set tls.cert_file and tls.key_file, or tls.self_signed: true")
	case sameAddress(redirect, c.API.HTTP.Listen):
		wrong("tls.redirect", redirect, "http.listen is the same address")
	case sameAddress(redirect, c.Export.Prometheus.Listen):
		wrong("tls.redirect", redirect, "prometheus.listen is the same address")
	}
}

// sameAddress reports whether two listeners would conflict; with port 0 each gets
// its own port.
func sameAddress(a, b string) bool { return a == b && !strings.HasSuffix(a, ":0") }

// isLocal reports whether an address is loopback, and whether it is a valid address
// to listen on.
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
