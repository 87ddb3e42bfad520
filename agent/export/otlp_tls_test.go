package export

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // Its certificate in PEM form.
}

// certificate makes a key and a certificate, signed by an authority or by itself.
func certificate(t *testing.T, by *authority, name string) (pair tls.Certificate, cert, key string, made *authority) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, private
	if by == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		template.ExtKeyUsage = nil
	} else {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pair, err = tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair, cert, key, &authority{parsed, private, cert}
}

func pool(a *authority) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func TestTLS(t *testing.T) {
	t.Parallel()
	_, _, _, ours := certificate(t, nil, "our authority")
	_, _, _, other := certificate(t, nil, "another authority")
	server, _, _, _ := certificate(t, ours, "collector.example")
	_, clientCert, clientKey, _ := certificate(t, ours, "client")
	_, strangerCert, strangerKey, _ := certificate(t, other, "stranger")

	// Where the server refuses the client's certificate, the client learns of it
	// by the alert, or only by the connection that is closed on it: TLS 1.3 has
	// the client finish first.
	for _, c := range []struct {
		name   string
		server *tls.Config // More than the certificate.
		client TLSConfig
		health string // What health says; empty where the request arrives.
	}{
		{"own authority", &tls.Config{}, TLSConfig{CA: ours.file}, ""},
		{"name of the server", &tls.Config{}, TLSConfig{CA: ours.file, ServerName: "collector.example"}, ""},
		{"client certificate", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(ours)}, TLSConfig{CA: ours.file, Cert: clientCert, Key: clientKey}, ""},
		{"any certificate", &tls.Config{}, TLSConfig{InsecureSkipVerify: true}, ""},
		{"system's authorities", &tls.Config{}, TLSConfig{}, "certificate signed by unknown authority"},
		{"wrong authority", &tls.Config{}, TLSConfig{CA: other.file}, "certificate signed by unknown authority"},
		{"wrong name", &tls.Config{}, TLSConfig{CA: ours.file, ServerName: "other.example"}, "certificate is valid for collector.example, not other.example"},
		{"wrong client certificate", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(ours)}, TLSConfig{CA: ours.file, Cert: strangerCert, Key: strangerKey}, "requests wait"},
		{"no client certificate", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(ours)}, TLSConfig{CA: ours.file}, "requests wait"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.server.Certificates, c.server.MinVersion = []tls.Certificate{server}, tls.VersionTLS12
			r := &receiver{}
			a := pushTo(t, "https://"+r.serve(t, "127.0.0.1:0", c.server), func(config *Config) { config.OTLP.TLS = c.client })
			a.load(t, 0, 1)
			if c.health == "" {
				r.wait(t, 2)
				a.wantLoads(t, r, 0, 1)
				return
			}
			within(t, 20*time.Second, "health says "+c.health, func() bool {
				h := a.otlp.finest().health()
				return h.Status == "degraded" && strings.Contains(h.Reason, c.health)
			})
			equal(t, "requests that wait", a.otlp.finest().stats().Waiting, 2)
			equal(t, "requests that were dropped", a.otlp.finest().stats().Dropped, 0)
			equal(t, "requests that arrived", len(r.taken()), 0)
			a.log.soon(t, 1, "level=WARN", "cannot send to the receiver")
		})
	}
}

// TestTLSFiles: a file that cannot be used is named, with its option.
func TestTLSFiles(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.pem")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tls  TLSConfig
		want []string
	}{
		{TLSConfig{CA: filepath.Join(dir, "none.pem")}, []string{"otlp.tls", "none.pem", "no such file"}},
		{TLSConfig{CA: garbage}, []string{"otlp.tls", "no certificate"}},
		{TLSConfig{Cert: garbage, Key: garbage}, []string{"otlp.tls", "garbage.pem", "PEM"}},
	} {
		config := Defaults()
		config.OTLP.Endpoint, config.OTLP.TLS = "https://127.0.0.1:1", c.tls
		_, err := New(testOptions(t, config, &logbook{}))
		if err == nil {
			t.Errorf("%+v is taken", c.tls)
			continue
		}
		for _, word := range c.want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q does not say %q", err, word)
			}
		}
	}
}
