package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sysotel/agent/health"
)

// authority issues certificates for a test.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// file has the authority's own certificate.
	file string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: t.Name()}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = a.sign(template)
	a.file = filepath.Join(a.dir, "ca.pem")
	a.write(a.file, "CERTIFICATE", a.cert.Raw)
	return a
}

// sign creates a key and its certificate, signed by the authority or, if that has no
// key yet, by itself.
func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	parent, with := template, key
	if a.key != nil {
		parent, with = a.cert, a.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), with)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) write(path, kind string, content []byte) {
	a.t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// issue writes a certificate for localhost, by its common name, and its key.
func (a *authority) issue(name string, ends time.Time) (certFile, keyFile string) {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: ends.Add(-2 * time.Hour), NotAfter: ends,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	a.write(certFile, "CERTIFICATE", cert.Raw)
	a.write(keyFile, "PRIVATE KEY", encoded)
	return certFile, keyFile
}

// soon is when the certificates of tests expire.
func soon() time.Time { return time.Now().Add(time.Hour) }

// trusting returns a client that trusts the certificates in a file.
func trusting(t testing.TB, file string, change func(*tls.Config)) *http.Client {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	c.RootCAs.AppendCertsFromPEM(text)
	if change != nil {
		change(c)
	}
	// Each request has its own connection, and so a handshake.
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// shown requests the health and returns the response with its body read.
func shown(t testing.TB, client *http.Client, url string) *http.Response {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response
}

// logged is a log that a test reads concurrently.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

// serveTLS runs a server with TLS options.
func serveTLS(t testing.TB, c TLSConfig, change func(*Options)) (*Server, string) {
	t.Helper()
	s := newTestServer(t, ticked(), func(o *Options) {
		o.TLS = c
		if change != nil {
			change(o)
		}
	})
	run(t, s)
	return s, s.URL() + "/api/v1/health"
}

func TestVersionsOfTLS(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue("server", soon())
	for _, c := range []struct {
		least string
		spoke uint16
		want  bool
	}{
		{"1.2", tls.VersionTLS11, false},
		{"1.2", tls.VersionTLS12, true},
		{"1.2", tls.VersionTLS13, true},
		{"1.3", tls.VersionTLS12, false},
		{"1.3", tls.VersionTLS13, true},
	} {
		_, url := serveTLS(t, TLSConfig{CertFile: cert, KeyFile: key, MinVersion: c.least}, nil)
		client := trusting(t, a.file, func(tc *tls.Config) { tc.MinVersion, tc.MaxVersion = tls.VersionTLS10, c.spoke })
		response, err := client.Get(url)
		if (err == nil) != c.want {
			t.Errorf("least %s, client %s: %v", c.least, tls.VersionName(c.spoke), err)
		}
		if err != nil {
			if !strings.Contains(err.Error(), "protocol version") {
				t.Errorf("least %s, client %s is refused for another reason: %v", c.least, tls.VersionName(c.spoke), err)
			}
			continue
		}
		_ = response.Body.Close()
		if response.TLS.Version != c.spoke || response.Proto != "HTTP/2.0" || response.TLS.NegotiatedProtocol != "h2" {
			t.Errorf("least %s, client %s: %s over %s", c.least, tls.VersionName(c.spoke), response.Proto, tls.VersionName(response.TLS.Version))
		}
		if got := response.Header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
			t.Errorf("Strict-Transport-Security: %q", got)
		}
	}
}

func TestPlainRequestIsToldSo(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue("server", soon())
	_, url := serveTLS(t, TLSConfig{CertFile: cert, KeyFile: key}, nil)
	status, body := get(t, streamClient(t), strings.Replace(url, "https", "http", 1))
	if status != 400 || !strings.Contains(body, "HTTPS server") {
		t.Errorf("%d %s", status, body)
	}
}

// TestStreamOverHTTP2: handlers that set deadlines work there too.
func TestStreamOverHTTP2(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue("server", soon())
	s, _ := serveTLS(t, TLSConfig{CertFile: cert, KeyFile: key}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/api/v1/metrics/stream", nil)
	response, err := trusting(t, a.file, nil).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text := make([]byte, 12)
	if _, err := io.ReadFull(response.Body, text); err != nil || response.ProtoMajor != 2 || !strings.HasPrefix(string(text), "retry: 2000") {
		t.Errorf("%s %q %v", response.Proto, text, err)
	}
}

func TestCertificateIsReplaced(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue("first", soon())
	var log logged
	s, url := serveTLS(t, TLSConfig{CertFile: cert, KeyFile: key}, func(o *Options) { o.Logger = textLogger(&log) })
	client := trusting(t, a.file, nil)
	serves := func(want string, status health.Status, reason string) {
		t.Helper()
		for range 3 {
			if got := shown(t, client, url).TLS.PeerCertificates[0].Subject.CommonName; got != want {
				t.Errorf("the certificate is %s, want %s", got, want)
			}
		}
		if p := s.Health()[0]; p.Status != status || !strings.Contains(p.Reason, reason) || (status == health.OK) != p.Since.IsZero() {
			t.Errorf("the health is %+v, want %s for %q", p, status, reason)
		}
	}
	replace := func(path, by string) {
		t.Helper()
		if err := os.Rename(by, path); err != nil {
			t.Fatal(err)
		}
	}
	serves("first", health.OK, "")
	newCert, newKey := a.issue("second", soon())
	replace(cert, newCert) // The key does not match yet.
	serves("first", health.Degraded, "does not match")
	if n := log.count("still serving"); n != 1 {
		t.Errorf("one change is logged %d times", n)
	}
	replace(key, newKey)
	serves("second", health.OK, "")
	if err := os.WriteFile(cert, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	serves("second", health.Degraded, "PEM")
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	serves("second", health.Degraded, "no such file")
	if n := log.count("still serving"); n != 2 {
		t.Errorf("two changes are logged %d times", n)
	}
	newCert, newKey = a.issue("third", soon())
	replace(key, newKey)
	replace(cert, newCert)
	serves("third", health.OK, "")
	if n := log.count(`msg="serving certificate"`); n != 3 {
		t.Errorf("three certificates are logged %d times", n)
	}
}

func TestUnsafeFilesAreLogged(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue("old", time.Now().Add(-48*time.Hour))
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	var log logged
	s := newTestServer(t, ticked(), func(o *Options) {
		o.TLS, o.Logger = TLSConfig{CertFile: cert, KeyFile: key}, textLogger(&log)
	})
	if p := s.Health()[0]; p.Status != health.Degraded || !strings.Contains(p.Reason, "expired on 20") {
		t.Errorf("the health is %+v", p)
	}
	if log.count("expired on") != 1 || log.count("is readable by every user") != 1 {
		t.Errorf("the log is %s", log.text.String())
	}
}

func TestClientCertificates(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	cert, key := ours.issue("server", soon())
	with := func(a *authority) func(*tls.Config) {
		if a == nil {
			return nil
		}
		file, keyFile := a.issue("client", soon())
		pair, err := tls.LoadX509KeyPair(file, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		// Clients ask the server for its authorities; malicious ones do not.
		return func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
	}
	for _, c := range []struct {
		auth   string
		client *authority
		want   bool
	}{
		{"none", nil, true},
		{"none", others, true},
		{"request", nil, true},
		{"request", ours, true},
		{"request", others, false},
		{"require", nil, false},
		{"require", ours, true},
		{"require", others, false},
	} {
		config := TLSConfig{CertFile: cert, KeyFile: key, ClientAuth: c.auth, ClientCAFile: ours.file}
		if c.auth == "none" {
			config.ClientCAFile = ""
		}
		_, url := serveTLS(t, config, nil)
		response, err := trusting(t, ours.file, with(c.client)).Get(url)
		if (err == nil) != c.want {
			t.Errorf("%s, with a certificate of ours %v, of others %v: %v", c.auth, c.client == ours, c.client == others, err)
		}
		if err == nil {
			_ = response.Body.Close()
		}
	}
}

// TestClientCertificateIsNoRole: a client certificate grants no role.
func TestClientCertificateIsNoRole(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue("server", soon())
	s := newTestServer(t, ticked(), func(o *Options) {
		o.TLS = TLSConfig{CertFile: cert, KeyFile: key, ClientAuth: "require", ClientCAFile: a.file}
	})
	s.routes.page(http.MethodGet, "/admins", Access{Role: Admin, Guarded: true}, func(http.ResponseWriter, *http.Request) {})
	run(t, s)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	client := trusting(t, a.file, func(c *tls.Config) { c.Certificates = []tls.Certificate{pair} })
	if status, _ := get(t, client, s.URL()+"/admins"); status != 403 {
		t.Errorf("a client certificate opens what is for administrators: %d", status)
	}
}

func TestNewSaysWhatIsWrongWithFiles(t *testing.T) {
	_, err := New(Options{
		Machine: ticked(), Health: func() []health.Component { return nil }, Logger: quiet,
		TLS: TLSConfig{CertFile: "absent.pem", KeyFile: "absent.key"},
	})
	if err == nil || !strings.Contains(err.Error(), "cannot read the file absent.pem: no such file") {
		t.Errorf("%v", err)
	}
}

func TestExamplesNameHTTPS(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue("server", soon())
	s := newTestServer(t, ticked(), func(o *Options) { o.TLS = TLSConfig{CertFile: cert, KeyFile: key} })
	if got := s.baseURL(); !strings.HasPrefix(got, "https://") {
		t.Errorf("the examples begin with %s", got)
	}
}
