package notify

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sysotel/agent/loopback"
)

func (c EmailConfig) validate(wrong func(path string, value any, rule string)) {
	host, _, err := net.SplitHostPort(c.Server)
	if err != nil || host == "" {
		wrong("server", c.Server, "must be HOST:PORT, such as smtp.example.org:587")
	}
	if c.TLS == "none" && c.Password != "" {
		wrong("tls", c.TLS, "would send the password for all to read; take starttls or tls")
	}
	if c.Password != "" && c.Username == "" {
		wrong("username", c.Username, "must be there with the password")
	}
	if c.Username != "" && c.Password == "" {
		wrong("password", "", "must be there with the user name")
	}
	checkSecret(c.Password, "password", wrong)
	checkCA(c.CA, "ca", wrong)
	if _, err := mail.ParseAddress(c.From); err != nil {
		wrong("from", c.From, "must be an address, such as sysotel@example.org")
	}
	if len(c.To) == 0 {
		wrong("to", "", "must name who gets it")
	}
	for i, to := range c.To {
		if _, err := mail.ParseAddress(to); err != nil {
			wrong(fmt.Sprintf("to[%d]", i), to, "must be an address, such as ops@example.org")
		}
	}
}

func (c SlackConfig) validate(wrong func(path string, value any, rule string)) {
	u := checkURL(c.URL, "url", wrong)
	if u != nil && u.Scheme != "https" && !loopback.Host(u.Hostname()) {
		wrong("url", c.URL, "must begin with https://; over http:// anybody on the way could read and use the address (http:// is allowed to this machine only)")
	}
}

func (c WebhookConfig) validate(wrong func(path string, value any, rule string)) {
	u := checkURL(c.URL, "url", wrong)
	if u != nil && u.Scheme != "https" && len(c.Headers) > 0 && !loopback.Host(u.Hostname()) {
		wrong("url", c.URL, "must begin with https:// where webhook.headers holds secrets; over http:// anybody on the way could read them (http:// is allowed to this machine only)")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			wrong("headers."+name, name, "the name of a header is of letters, digits, - and _")
		}
		checkSecret(c.Headers[name], "headers."+name, wrong)
	}
	checkCA(c.CA, "ca", wrong)
}

func (c AlertmanagerConfig) validate(wrong func(path string, value any, rule string)) {
	const at = "external_alertmanager."
	for i, text := range c.URLs {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
			wrong(fmt.Sprintf("%surls[%d]", at, i), withoutPassword(text), "must be http://HOST:PORT or https://HOST:PORT, such as http://localhost:9093")
		case u.User != nil:
			wrong(fmt.Sprintf("%surls[%d]", at, i), withoutPassword(text), "a password goes into alerting.external_alertmanager.password")
		case c.Password != "" && u.Scheme != "https" && !loopback.Host(u.Hostname()):
			wrong(fmt.Sprintf("%surls[%d]", at, i), text, "must begin with https:// where there is a password; over http:// anybody on the way could read it (http:// is allowed to this machine only)")
		}
		if slices.Index(c.URLs, text) < i {
			wrong(fmt.Sprintf("%surls[%d]", at, i), withoutPassword(text), "is there twice")
		}
	}
	if c.Password != "" && c.Username == "" {
		wrong(at+"username", c.Username, "must be there with the password")
	}
	checkSecret(c.Password, at+"password", wrong)
	checkCA(c.CA, at+"ca", wrong)
}

func (c HeartbeatConfig) validate(wrong func(path string, value any, rule string)) {
	if c.Interval < 10*time.Second || c.Interval > 24*time.Hour {
		wrong("heartbeat.interval", c.Interval, "must be from 10s to 24h")
	}
	if c.URL != "" {
		checkURL(c.URL, "heartbeat.url", wrong)
	}
}

// checkSecret reports a secret that cannot be found.
func checkSecret(s Secret, path string, wrong func(path string, value any, rule string)) {
	if _, err := s.Reveal(); err != nil {
		wrong(path, s, err.Error())
	}
}

// checkURL reports an address that is none. The address is not shown: whoever
// knows it can use it.
func checkURL(s Secret, path string, wrong func(path string, value any, rule string)) *url.URL {
	text, err := s.Reveal()
	if err != nil {
		wrong(path, s, err.Error())
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		wrong(path, s, "must be an address that begins with https:// or http://")
		return nil
	}
	return u
}

// checkCA reports a file without certificates.
func checkCA(file, path string, wrong func(path string, value any, rule string)) {
	if _, err := tlsConfig(file, ""); err != nil {
		wrong(path, file, err.Error())
	}
}

// tlsConfig trusts the certificates of a file, those of the system where none is
// named.
func tlsConfig(ca, server string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: server}
	if ca == "" {
		return config, nil
	}
	content, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificates: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(content) {
		return nil, errors.New("the file holds no certificate in PEM form")
	}
	return config, nil
}

// withoutPassword hides what stands before the host in an address.
func withoutPassword(address string) string {
	i := strings.LastIndex(address, "@")
	if i < 0 {
		return address
	}
	scheme, _, ok := strings.Cut(address[:i], "://")
	if !ok {
		return secret + address[i:]
	}
	return scheme + "://" + secret + address[i:]
}

func (c Config) validateLogDirs(wrong func(path string, value any, rule string)) {
	for i, dir := range c.LogDirs {
		if !filepath.IsAbs(dir) || filepath.Dir(dir) == dir {
			wrong(fmt.Sprintf("log_directories[%d]", i), dir, "must be an absolute path of a directory other than the root")
		}
	}
}
