package api

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sysotel/agent/health"
)

// selfSignedOptions are the options of a server with its own certificate.
func selfSignedOptions(dir string) func(*Options) {
	return func(o *Options) {
		o.TLSDir, o.Hostname = dir, "Server-01"
		o.Config.ExternalURL = "https://sysotel.example/box"
	}
}

func TestSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	var first []byte
	// The second start finds the files of the first.
	for range 2 {
		s, url := serveTLS(t, TLSConfig{SelfSigned: true}, selfSignedOptions(dir))
		_, port, _ := net.SplitHostPort(s.Addr().String())
		client := trusting(t, certFile, nil)
		response := shown(t, client, url) // By its address.
		shown(t, client, "https://localhost:"+port+"/api/v1/health")
		if response.ProtoMajor != 2 || response.Header.Get("Strict-Transport-Security") != "" {
			t.Errorf("%s %v", response.Proto, response.Header)
		}
		leaf := response.TLS.PeerCertificates[0]
		names := namesOf(leaf)
		for _, want := range []string{"localhost", "127.0.0.1", "::1", "server-01", "sysotel.example"} {
			if !slices.Contains(names, want) {
				t.Errorf("the certificate is for %v, not for %s", names, want)
			}
		}
		for _, want := range ownAddresses() {
			if !slices.Contains(names, want) {
				t.Errorf("the certificate is for %v, not for the machine's address %s", names, want)
			}
		}
		if holds := leaf.NotAfter.Sub(leaf.NotBefore); holds > 397*24*time.Hour || holds < 396*24*time.Hour {
			t.Errorf("it holds for %s", holds)
		}
		text, err := os.ReadFile(certFile)
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && string(first) != string(text) {
			t.Error("the second start made another certificate")
		}
		first = text
	}
	info, err := os.Stat(keyFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v", info.Mode(), err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 2 {
		t.Errorf("the directory has %v", entries)
	}
}

// TestSelfSignedIsRenewed: before it expires, for a new name, and if a file is
// damaged or missing; a valid key is kept.
func TestSelfSignedIsRenewed(t *testing.T) {
	dir := t.TempDir()
	maker := newSelfSigned(Options{TLSDir: dir, Hostname: "one"})
	read := func() *tls.Certificate {
		t.Helper()
		if err := maker.ensure(); err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(maker.certFile, maker.keyFile)
		if err != nil {
			t.Fatal(err)
		}
		return &pair
	}
	was := read()
	f := func(what string, changed, keyChanged bool) {
		t.Helper()
		now := read()
		if got := !now.Leaf.Equal(was.Leaf); got != changed {
			t.Errorf("%s: another certificate is %v, want %v", what, got, changed)
		}
		if got := string(now.Leaf.RawSubjectPublicKeyInfo) != string(was.Leaf.RawSubjectPublicKeyInfo); got != keyChanged {
			t.Errorf("%s: another key is %v, want %v", what, got, keyChanged)
		}
		was = now
	}
	f("nothing", false, false)
	maker.names = append(maker.names, "two.example")
	f("a new name", true, false)
	maker.names = maker.names[:len(maker.names)-1]
	f("a name less", false, false)
	maker.names = append(maker.names, "2001:db8::7")
	f("a new IPv6 address", false, false)
	maker.names = append(maker.names, "no name", "-", "a\nb", "under_score", strings.Repeat("x", 70))
	f("what is no name", false, false)
	maker.names = append(maker.names, "bücher.example")
	f("a name of other letters", true, false)
	if err := os.WriteFile(maker.certFile, []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	f("a damaged certificate", true, false)
	if err := os.Remove(maker.certFile); err != nil {
		t.Fatal(err)
	}
	f("no certificate", true, false)
	if err := os.WriteFile(maker.keyFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f("a damaged key", true, true)
}

func TestSelfSignedIsRenewedWhileItRuns(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c, err := newCertificates(Options{TLS: TLSConfig{SelfSigned: true}, TLSDir: dir, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		first := leafOf(c.files.Get())
		for day := range 400 {
			time.Sleep(24 * time.Hour)
			served, err := c.forClient(nil)
			if err != nil {
				t.Fatal(err)
			}
			leaf := served.Certificates[0].Leaf
			if left := time.Until(leaf.NotAfter); left < renewTime-24*time.Hour {
				t.Fatalf("on day %d %s are left", day, left)
			}
			if day == 360 && !leaf.Equal(first) || day == 399 && leaf.Equal(first) {
				t.Errorf("on day %d the certificate of %s is served", day, leaf.NotBefore)
			}
		}
		// Health says if it cannot be renewed.
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if p := c.health(); p.Status != health.Degraded || !strings.Contains(p.Reason, "cannot be renewed") {
			t.Errorf("the health is %+v", p)
		}
	})
}

// TestSelfSignedWithoutDisk: while the certificate cannot be written it is served from
// memory, which health says; the files have the same one once they can be written.
func TestSelfSignedWithoutDisk(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "parent")
	if err := os.WriteFile(parent, nil, 0o600); err != nil { // No directory can be made below it.
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c, err := newCertificates(Options{TLS: TLSConfig{SelfSigned: true}, TLSDir: filepath.Join(parent, "tls"), Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		serves := func() *x509.Certificate {
			t.Helper()
			served, err := c.forClient(nil)
			if err != nil {
				t.Fatal(err)
			}
			return served.Certificates[0].Leaf
		}
		first := serves()
		time.Sleep(2 * time.Minute)
		if !serves().Equal(first) {
			t.Error("another certificate is served after two minutes")
		}
		if p := c.health(); p.Status != health.Degraded || !strings.Contains(p.Reason, "in memory only") {
			t.Errorf("the health is %+v", p)
		}
		if err := os.Remove(parent); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if !serves().Equal(first) || c.temporary != nil {
			t.Error("the certificate of the files is another one")
		}
		if p := c.health(); p.Status != health.OK {
			t.Errorf("the health is %+v", p)
		}
		pair, err := tls.LoadX509KeyPair(c.maker.certFile, c.maker.keyFile)
		if err != nil || !pair.Leaf.Equal(first) {
			t.Errorf("the files have another certificate: %v", err)
		}
	})
}
