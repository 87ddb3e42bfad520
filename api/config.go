package api

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// Config is the API's configuration. Its keys stand at the top level of
// sysotel.yaml.
type Config struct {
	HTTP HTTPConfig `yaml:"http" help:"The REST API and the dashboard."`
	Auth AuthConfig `yaml:"auth" help:"Who must log in, and for how long a log-in is good."`
}

// AuthConfig is who must log in.
type AuthConfig struct {
	// The word for yes is not "on": YAML 1.1 reads that as true.
	Mode       string        `yaml:"mode" enum:"auto|always" help:"When callers must log in: auto asks for it where others can reach the API, by http.listen or http.external_url, and not while only this machine can; always asks on this machine too."`
	AccessTTL  time.Duration `yaml:"access_ttl" help:"How long an access token of a log-in is good before it must be refreshed, from 1m to 24h."`
	SessionTTL time.Duration `yaml:"session_ttl" help:"How long a log-in is good, however often it is refreshed, from 1h to 8760h and not less than auth.access_ttl."`
}

// HTTPConfig is where the API is found and who may call it.
type HTTPConfig struct {
	Listen      string   `yaml:"listen" help:"Address of the API and the dashboard."`
	ExternalURL string   `yaml:"external_url" help:"Address under which people reach the dashboard, where it is not the one above; links and the check of the Host header use it."`
	CORS        []string `yaml:"cors" help:"Origins of other web pages that may call the API, such as https://home.example."`
}

// Defaults is the configuration of which nothing was said.
func Defaults() Config {
	return Config{
		HTTP: HTTPConfig{Listen: "127.0.0.1:8080"},
		Auth: AuthConfig{Mode: "auto", AccessTTL: 15 * time.Minute, SessionTTL: 30 * 24 * time.Hour},
	}
}

// Authenticates tells whether callers must log in. Where an address is given
// under which people reach the API from elsewhere, a proxy or a tunnel brings
// them, and all of them come from loopback: it then tells nothing of who they are.
func (c Config) Authenticates() bool {
	if c.Auth.Mode == "always" || !isLoopback(c.HTTP.Listen) {
		return true
	}
	u, err := url.Parse(c.HTTP.ExternalURL)
	return err == nil && u.Host != "" && !isLoopback(net.JoinHostPort(u.Hostname(), "0"))
}

// Validate calls wrong for every mistake with the path of the option, its value
// and the rule that it breaks. Whether an address may be listened on is judged
// in agent/config, for all listeners alike.
func (c Config) Validate(wrong func(path string, value any, rule string)) {
	if c.HTTP.ExternalURL != "" && !isURL(c.HTTP.ExternalURL) {
		value := c.HTTP.ExternalURL
		if strings.Contains(value, "@") {
			value = "<secret>"
		}
		wrong("http.external_url", value, "must be http:// or https:// with a host, such as https://sysotel.example, and without a password, ? and #")
	}
	if ttl := c.Auth.AccessTTL; ttl < time.Minute || ttl > 24*time.Hour {
		wrong("auth.access_ttl", ttl, "must be from 1m to 24h")
	}
	if ttl := c.Auth.SessionTTL; ttl < max(time.Hour, c.Auth.AccessTTL) || ttl > 365*24*time.Hour {
		wrong("auth.session_ttl", ttl, "must be from 1h to 8760h, and not less than auth.access_ttl")
	}
	for i, origin := range c.HTTP.CORS {
		// "*" is not an origin here: without a login it would let every page that
		// somebody on this machine opens read the machine.
		if !isURL(origin) || strings.Count(origin, "/") != 2 {
			if strings.Contains(origin, "@") {
				origin = "<secret>"
			}
			wrong(fmt.Sprintf("http.cors[%d]", i), origin, "must be an origin: http:// or https://, a host and no path, such as https://home.example")
		}
	}
}

// isURL tells whether s is the address of a web page without a password.
func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
}
