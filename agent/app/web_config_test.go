package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"sysotel/agent/health"
)

// writeWebConfig writes a web configuration file with TLS and a password; the
// certificate is one that an agent created.
func writeWebConfig(t *testing.T, path, certificates, user, password string) {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("tls_server_config: {cert_file: %[1]s/cert.pem, key_file: %[1]s/key.pem}\nbasic_auth_users: {%[2]s: %[3]q}\n", certificates, user, hash)
	// Replace the file, as editors and configuration managers do.
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// scrapes requests the page by HTTPS with a password.
func scrapes(t *testing.T, certificates, address, user, password string) (int, error) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(certificates, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		request.SetBasicAuth(user, password)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// TestPrometheusScrapesByTLSWithPassword has a real Prometheus scrape a page that a web
// configuration file protects, at an address open to the network.
func TestPrometheusScrapesByTLSWithPassword(t *testing.T) {
	t.Parallel()
	// Another agent makes the certificate.
	maker := configure(t, "--tls.self-signed")
	run(t, maker)
	certificates := filepath.Join(maker.DataDir, tlsDir)
	file := filepath.Join(t.TempDir(), "web.yml")
	writeWebConfig(t, file, certificates, "prometheus", "old")

	a := run(t, configure(t, "--prometheus.listen=0.0.0.0:0", "--prometheus.web-config="+file))
	_, port, _ := net.SplitHostPort(a.ScrapeAddr().String())
	address := "127.0.0.1:" + port
	a.ticks(3)
	expect := func(user, password string, want int) {
		t.Helper()
		if got, err := scrapes(t, certificates, address, user, password); got != want {
			t.Errorf("%s with %s gets %d, %v, want %d", user, password, got, err, want)
		}
	}
	expect("", "", 401)
	expect("prometheus", "wrong", 401)
	expect("unknown", "old", 401)
	expect("prometheus", "old", 200)

	passwordFile := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(passwordFile, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPrometheus(t, address, "scheme: https", fmt.Sprintf("tls_config: {ca_file: %q}", filepath.Join(certificates, "cert.pem")),
		fmt.Sprintf("basic_auth: {username: prometheus, password_file: %q}", passwordFile))
	up := func(want string) {
		t.Helper()
		poll(t, func() error {
			samples, _, err := p.query("up")
			if err == nil && (len(samples) != 1 || samples[0].Value[1] != want) {
				err = fmt.Errorf("up is %v, want %s", samples, want)
			}
			return err
		})
	}
	up("1")
	samples, _, err := p.query("system_memory_limit_bytes")
	if err != nil || len(samples) != 1 {
		t.Errorf("Prometheus has %v, %v", samples, err)
	}
	p.checkLog()

	// Another password takes effect without a restart, for Prometheus too.
	writeWebConfig(t, file, certificates, "prometheus", "new")
	expect("prometheus", "old", 401)
	expect("prometheus", "new", 200)
	up("0")
	if err := os.WriteFile(passwordFile, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	up("1")

	check := func(status health.Status, reason string) {
		t.Helper()
		for _, part := range a.health() {
			if part.Name == "prometheus page" && (part.Status != status || !strings.Contains(part.Reason, reason)) {
				t.Errorf("the page's health is %+v, want %s for %q", part, status, reason)
			}
		}
	}
	// A broken file, or one without protection, leaves the previous one in force.
	check(health.OK, "")
	for _, text := range []string{"basic_auth_users: nonsense\n", ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		expect("", "", 401)
		expect("prometheus", "old", 401)
		expect("prometheus", "new", 200)
		check(health.Degraded, "the previous one stays in force: prometheus.web_config ")
	}
	if text := a.journal.String(); strings.Count(text, "cannot use the new web configuration") != 1 {
		t.Errorf("the log does not say once that the file cannot be used:\n%s", text)
	}
	writeWebConfig(t, file, certificates, "prometheus", "newest")
	expect("prometheus", "new", 401)
	expect("prometheus", "newest", 200)
	check(health.OK, "")
}

// TestCertificateIsRefused: files that became invalid after the configuration was
// checked.
func TestCertificateIsRefused(t *testing.T) {
	c := configure(t)
	c.API.TLS.CertFile, c.API.TLS.KeyFile = "absent.pem", "absent.key"
	refused(t, c, "tls: cannot read the file absent.pem")
	taken, err := occupy(t, 0)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, configure(t, "--tls.self-signed", "--tls.redirect="+taken), "--tls.redirect", "is taken")
}

// TestTLSNeedsRestart: Reload reports changed TLS options.
func TestTLSNeedsRestart(t *testing.T) {
	c := configure(t)
	a := run(t, c)
	changed := load(t, "--data-dir="+c.DataDir, "--http.listen=127.0.0.1:0", "--prometheus.listen=127.0.0.1:0", "--tls.self-signed", "--tls.min-version=1.3")
	if restart := strings.Join(a.Reload(changed), " "); restart != "tls.self_signed tls.min_version" {
		t.Errorf("Reload wants a restart for %s", restart)
	}
}
