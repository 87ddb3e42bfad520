package api

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"sysotel/agent/loopback"
)

// Config is the configuration of the API. Its keys are at the top level of
// sysotel.yaml.
type Config struct {
	HTTP      HTTPConfig      `yaml:"http" help:"REST API and dashboard."`
	TLS       TLSConfig       `yaml:"tls" help:"HTTPS for the API and the dashboard. The scrape page has prometheus.web_config."`
	RateLimit RateLimitConfig `yaml:"rate_limit" help:"Limits per client: a logged-in user or token, otherwise an IPv4 address or the /64 of an IPv6 address. Requests beyond them get status 429. The Unix socket is not limited."`
	Auth      AuthConfig      `yaml:"auth" help:"Who must log in, and how long a login lasts."`
}

// AuthConfig configures logins.
type AuthConfig struct {
	// There is no value "on": YAML 1.1 reads it as true.
	Mode       string        `yaml:"mode" enum:"auto|always" help:"When callers must log in: auto requires it only if the API is reachable from other machines, according to http.listen, http.external_url, http.behind_proxy or auth.proxy; always requires it on this machine too."`
	AccessTTL  time.Duration `yaml:"access_ttl" help:"Lifetime of an access token before it must be refreshed, from 1m to 24h."`
	SessionTTL time.Duration `yaml:"session_ttl" help:"Maximum lifetime of a login, no matter how often it is refreshed, from 1h to 8760h and not less than auth.access_ttl."`

	Proxy ProxyLoginConfig `yaml:"proxy" help:"Users whom a reverse proxy with single sign-on has logged in. Off unless user_header is set."`
}

// HTTPConfig configures the HTTP server.
type HTTPConfig struct {
	Listen      string   `yaml:"listen" help:"Listen address of the API and the dashboard."`
	ExternalURL string   `yaml:"external_url" help:"URL at which people reach the dashboard if it differs from the listen address, with the path under which a reverse proxy serves it, such as https://host.example/sysotel/; used for links, redirects, cookies and to check the Host header."`
	CORS        []string `yaml:"cors" help:"Origins of other web pages that may call the API, such as https://home.example."`
	// BehindProxy is set if a reverse proxy handles TLS.
	BehindProxy    bool     `yaml:"behind_proxy" help:"Whether a reverse proxy in front of the API handles TLS. Its addresses are trusted_proxies; if that is empty, it runs on this machine."`
	TrustedProxies []string `yaml:"trusted_proxies" help:"Addresses and networks of reverse proxies, such as 10.0.0.5 or 10.0.0.0/24, whose X-Forwarded-For and X-Forwarded-Proto headers are trusted; from any other client they are ignored. The proxy must append to the headers or replace them."`
}

// RateLimitConfig limits each client.
type RateLimitConfig struct {
	Enabled  bool `yaml:"enabled" help:"Whether requests, queries, streams and wrong credentials are limited. Logins are always limited."`
	Requests Pace `yaml:"requests" help:"Cheap requests, such as the newest reading."`
	Queries  Pace `yaml:"queries" help:"Expensive requests: series, PromQL, processes, the Prometheus page."`
	Streams  int  `yaml:"streams" help:"Number of live streams a client may have open."`
	Logins   int  `yaml:"logins" help:"Failed logins allowed per address before each further attempt must wait, first 1s, then doubling up to 15m; and four times as many per user name from all addresses, up to 5m."`
}

// Pace is a rate with bursts.
type Pace struct {
	PerSecond int `yaml:"per_second" help:"Average rate per second."`
	Burst     int `yaml:"burst" help:"Burst size."`
}

// Defaults is the default configuration.
func Defaults() Config {
	return Config{
		HTTP: HTTPConfig{Listen: "127.0.0.1:8080"},
		TLS:  TLSConfig{ClientAuth: "none", MinVersion: "1.2"},
		Auth: AuthConfig{Mode: "auto", AccessTTL: 15 * time.Minute, SessionTTL: 30 * 24 * time.Hour, Proxy: ProxyLoginConfig{Admins: []string{"admin"}}},
		// A dashboard with 20 charts plus a scraper stays below these.
		RateLimit: RateLimitConfig{
			Enabled:  true,
			Requests: Pace{PerSecond: 100, Burst: 200},
			Queries:  Pace{PerSecond: 20, Burst: 100},
			Streams:  10,
			Logins:   5,
		},
	}
}

// Authenticates reports whether callers must log in. An external URL implies a
// proxy or a tunnel, whose clients all connect from loopback.
func (c Config) Authenticates() bool {
	if c.Auth.Mode == "always" || c.HTTP.BehindProxy || c.Auth.Proxy.UserHeader != "" || !loopback.Address(c.HTTP.Listen) {
		return true
	}
	u, err := url.Parse(c.HTTP.ExternalURL)
	return err == nil && u.Host != "" && !loopback.Host(u.Hostname())
}

// Validate calls wrong for every invalid option with its path, its value and the
// violated rule. Listen addresses are checked in agent/config, for all listeners.
func (c Config) Validate(wrong func(path string, value any, rule string)) {
	c.TLS.validate(wrong)
	c.HTTP.validateExternalURL(wrong)
	if ttl := c.Auth.AccessTTL; ttl < time.Minute || ttl > 24*time.Hour {
		wrong("auth.access_ttl", ttl, "must be from 1m to 24h")
	}
	if ttl := c.Auth.SessionTTL; ttl < max(time.Hour, c.Auth.AccessTTL) || ttl > 365*24*time.Hour {
		wrong("auth.session_ttl", ttl, "must be from 1h to 8760h, and not less than auth.access_ttl")
	}
	for i, origin := range c.HTTP.CORS {
		// "*" is not allowed: without a login, every page opened on this machine could
		// read everything.
		if !isURL(origin) || strings.Count(origin, "/") != 2 {
			if strings.Contains(origin, "@") {
				origin = "<secret>"
			}
			wrong(fmt.Sprintf("http.cors[%d]", i), origin, "must be an origin: http:// or https:// and a host, without a path, such as https://home.example")
		}
	}
	for i, text := range c.HTTP.TrustedProxies {
		if _, err := parseNetwork(text); err != nil {
			wrong(fmt.Sprintf("http.trusted_proxies[%d]", i), text, err.Error())
		}
	}
	c.Auth.Proxy.validate(newProxies(HTTPConfig{TrustedProxies: c.HTTP.TrustedProxies}), wrong)
	c.RateLimit.validate(wrong)
}

// highestPace is the maximum; to remove the limit set enabled: false.
const highestPace = 1_000_000

func (c RateLimitConfig) validate(wrong func(path string, value any, rule string)) {
	for _, number := range []struct {
		key         string
		value, most int
	}{
		{"requests.per_second", c.Requests.PerSecond, highestPace},
		{"requests.burst", c.Requests.Burst, highestPace},
		{"queries.per_second", c.Queries.PerSecond, highestPace},
		{"queries.burst", c.Queries.Burst, highestPace},
		{"streams", c.Streams, maxStreams},
		{"logins", c.Logins, 100},
	} {
		if number.value < 1 || number.value > number.most {
			wrong("rate_limit."+number.key, number.value, fmt.Sprintf("must be from 1 to %d", number.most))
		}
	}
}

// validateExternalURL checks external_url.
func (c HTTPConfig) validateExternalURL(wrong func(path string, value any, rule string)) {
	value := c.ExternalURL
	if value == "" {
		return
	}
	if !isURL(value) {
		if strings.Contains(value, "@") {
			value = "<secret>"
		}
		wrong("http.external_url", value, "must be an http:// or https:// URL with a host, such as https://sysotel.example, without a password, ? or #")
		return
	}
	if u, err := url.Parse(value); err == nil {
		if rule := wrongBasePath(u); rule != "" {
			wrong("http.external_url", value, rule)
		}
	}
}

// isURL reports whether s is a web URL without a password.
func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
}
