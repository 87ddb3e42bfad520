package api

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/config"
	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"

	"sysotel/agent/fresh"
	"sysotel/instruments/sanitize"
)

// The scrape page is protected by the web configuration file that node_exporter and
// Prometheus use too, so that one file can serve all of them. The API has options of
// its own (tls.*) because that file has no self-signed certificates and no redirect.
// Both get their TLS from exporter-toolkit.

// webConfig is what a web configuration file asks for.
type webConfig struct {
	web.Config
	// certificates are what the file names, nil without TLS.
	certificates *fresh.Files[*tls.Config]
}

// protects reports whether it asks for TLS or a password.
func (c *webConfig) protects() bool { return len(c.Users) > 0 || c.TLSConfig.IsEnabled() }

// CheckWebConfig reads a web configuration file and the certificates it names, and
// reports whether it requires TLS or a password. Its error is one line and contains
// no values of the file.
func CheckWebConfig(path string) (protects bool, err error) {
	if err := readable(path); err != nil {
		return false, errors.New("cannot be read: " + err.Error())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	c, err := parseWebConfig(path, content)
	if err != nil {
		return false, err
	}
	return c.protects(), nil
}

// parseWebConfig reads the content of the file at path.
func parseWebConfig(path string, content []byte) (*webConfig, error) {
	if err := web.Validate(path); err != nil {
		// YAML quotes a part of the value, which may be a password.
		text := regexp.MustCompile("`[^`]*`").ReplaceAllString(err.Error(), "a value")
		return nil, errors.New("is not a valid web configuration file: " + sanitize.ValidUTF8(strings.Join(strings.Fields(text), " ")))
	}
	// The defaults of exporter-toolkit.
	c := &webConfig{Config: web.Config{
		TLSConfig:  web.TLSConfig{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13, PreferServerCipherSuites: true},
		HTTPConfig: web.HTTPConfig{HTTP2: true},
	}}
	if err := yaml.Unmarshal(content, &c.Config); err != nil {
		return nil, errors.New("is not a valid web configuration file")
	}
	c.TLSConfig.SetDirectory(filepath.Dir(path))
	return c, nil
}

// openCertificates loads what the file names. After that note is called as by
// fresh.Open.
func (c *webConfig) openCertificates(note func(error)) (err error) {
	if !c.TLSConfig.IsEnabled() {
		return nil
	}
	named := []string{c.TLSConfig.TLSCertPath, c.TLSConfig.TLSKeyPath, c.TLSConfig.ClientCAs}
	named = slices.DeleteFunc(named, func(path string) bool { return path == "" })
	c.certificates, err = fresh.Open(named, c.load, note)
	return err
}

// load makes a configuration of the contents of the files.
func (c *webConfig) load(contents [][]byte) (*tls.Config, error) {
	of := c.TLSConfig
	content := func(path *string) string {
		text := string(contents[0])
		*path, contents = "", contents[1:]
		return text
	}
	if of.TLSCertPath != "" {
		of.TLSCert = content(&of.TLSCertPath)
	}
	if of.TLSKeyPath != "" {
		of.TLSKey = config.Secret(content(&of.TLSKeyPath))
	}
	if of.ClientCAs != "" {
		of.ClientCAsText = content(&of.ClientCAs)
	}
	made, err := makeTLS(&of)
	if err == nil && !c.HTTPConfig.HTTP2 {
		made.NextProtos = []string{"http/1.1"}
	}
	return made, err
}
