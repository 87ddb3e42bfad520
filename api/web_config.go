package api

import (
	"errors"
	"os"
	"regexp"
	"strings"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"

	"sysotel/instruments/sanitize"
)

// The scrape page is protected by the web configuration file that node_exporter and
// Prometheus use too, so that one file can serve all of them. The API has options of
// its own (tls.*) because that file has no self-signed certificates and no redirect.
// Both get their TLS from exporter-toolkit.

// CheckWebConfig reads a web configuration file and the certificates it names, and
// reports whether it requires TLS or a password. Its error is one line and contains
// no values of the file.
func CheckWebConfig(path string) (protects bool, err error) {
	if err := readable(path); err != nil {
		return false, errors.New("cannot be read: " + err.Error())
	}
	if err := web.Validate(path); err != nil {
		// YAML quotes a part of the value, which may be a password.
		text := regexp.MustCompile("`[^`]*`").ReplaceAllString(err.Error(), "a value")
		return false, errors.New("is not a valid web configuration file: " + sanitize.ValidUTF8(strings.Join(strings.Fields(text), " ")))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	var c web.Config
	if err := yaml.Unmarshal(text, &c); err != nil {
		return false, errors.New("is not a valid web configuration file")
	}
	return len(c.Users) > 0 || c.TLSConfig.IsEnabled(), nil
}
