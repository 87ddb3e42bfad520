package api

import (
	"errors"
	"os"
	"regexp"
	"strings"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
)

// CheckWebConfig reads a web configuration file of the Prometheus world, with the
// certificates that it names, and tells whether it asks callers for anything: TLS
// or a password. Its error is one line and shows no value of the file.
func CheckWebConfig(path string) (protects bool, err error) {
	if err := readable(path); err != nil {
		return false, errors.New("cannot be read: " + err.Error())
	}
	if err := web.Validate(path); err != nil {
		// In back-quotes YAML shows a part of the value: perhaps of a password.
		text := regexp.MustCompile("`[^`]*`").ReplaceAllString(err.Error(), "a value")
		return false, errors.New("is no good web configuration file: " + printable(strings.Join(strings.Fields(text), " ")))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	var c web.Config
	if err := yaml.Unmarshal(text, &c); err != nil {
		return false, errors.New("is no good web configuration file")
	}
	return len(c.Users) > 0 || c.TLSConfig.IsEnabled(), nil
}
