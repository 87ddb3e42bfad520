package api

import (
	"fmt"
	"net/url"
	"strings"
)

// Config is the API's configuration. Its keys stand at the top level of
// sysotel.yaml.
type Config struct {
	HTTP HTTPConfig `yaml:"http" help:"The REST API and the dashboard."`
	TLS  TLSConfig  `yaml:"tls" help:"HTTPS for the API and the dashboard. The scrape page has prometheus.web_config."`
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
		TLS:  TLSConfig{ClientAuth: "none", MinVersion: "1.2"},
	}
}

// Validate calls wrong for every mistake with the path of the option, its value
// and the rule that it breaks. Whether an address may be listened on is judged
// in agent/config, for all listeners alike.
func (c Config) Validate(wrong func(path string, value any, rule string)) {
	c.TLS.validate(wrong)
	if c.HTTP.ExternalURL != "" && !isURL(c.HTTP.ExternalURL) {
		value := c.HTTP.ExternalURL
		if strings.Contains(value, "@") {
			value = "<secret>"
		}
		wrong("http.external_url", value, "must be http:// or https:// with a host, such as https://sysotel.example, and without a password, ? and #")
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
