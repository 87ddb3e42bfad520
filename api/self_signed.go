package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/net/idna"

	"sysotel/agent/atomicfile"
)

const (
	// certificateTime is how long the agent's own certificate holds. Browsers take
	// none that holds for longer than 398 days.
	certificateTime = 397 * 24 * time.Hour
	// renewTime is how long before its end it is renewed.
	renewTime = 30 * 24 * time.Hour
	// longestCommonName is ub-common-name of RFC 5280.
	longestCommonName = 64
)

// selfSigned makes the certificate of an agent that was given none. It is its own
// authority, so that a client that has the file can check the agent by it.
type selfSigned struct {
	certFile, keyFile string
	// names are what the agent is called, beside the machine's addresses.
	names []string
}

// newSelfSigned takes the names from the options.
func newSelfSigned(o Options) *selfSigned {
	s := &selfSigned{
		certFile: filepath.Join(o.TLSDir, "cert.pem"), keyFile: filepath.Join(o.TLSDir, "key.pem"),
		names: []string{"localhost", "127.0.0.1", "::1"},
	}
	host, _, _ := net.SplitHostPort(o.Config.Listen)
	s.names = append(s.names, host, o.Hostname)
	if name, err := os.Hostname(); err == nil {
		s.names = append(s.names, name)
	}
	if u, err := url.Parse(o.Config.ExternalURL); err == nil {
		s.names = append(s.names, u.Hostname())
	}
	return s
}

// ensure makes the certificate, or renews it where it ends soon or lacks a name.
func (s *selfSigned) ensure() error {
	if err := os.MkdirAll(filepath.Dir(s.certFile), 0o700); err != nil {
		return err
	}
	want := s.template()
	pair, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
	if err == nil && holds(pair.Leaf, want) {
		return nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return err // Files of another user are not ours to replace.
	}
	key, err := s.key()
	if err != nil {
		return err
	}
	certificate, err := x509.CreateCertificate(rand.Reader, want, want, key.Public(), key)
	if err != nil {
		return fmt.Errorf("create the certificate: %w", err)
	}
	return write(s.certFile, 0o644, "CERTIFICATE", certificate)
}

// holds tells whether a certificate has the names of another and time left. What
// it has besides does no harm. That an IPv6 address is new is no reason to renew:
// with privacy extensions there is a new one each day.
func holds(have, want *x509.Certificate) bool {
	has := namesOf(have)
	return time.Until(have.NotAfter) > renewTime && !time.Now().Before(have.NotBefore) &&
		!slices.ContainsFunc(namesOf(want), func(name string) bool {
			ip := net.ParseIP(name)
			return (ip == nil || ip.To4() != nil) && !slices.Contains(has, name)
		})
}

// key is the key in its file, or a new one where there is none that is good: who
// has pinned it (curl --pinnedpubkey) need not change anything at a renewal. Who
// trusts the certificate's file needs the new one.
func (s *selfSigned) key() (*ecdsa.PrivateKey, error) {
	if text, err := os.ReadFile(s.keyFile); err == nil {
		if block, _ := pem.Decode(text); block != nil {
			if parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				if key, ok := parsed.(*ecdsa.PrivateKey); ok {
					return key, nil
				}
			}
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create the key: %w", err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("create the key: %w", err)
	}
	return key, write(s.keyFile, 0o600, "PRIVATE KEY", bytes)
}

// template is what the certificate should say now.
func (s *selfSigned) template() *x509.Certificate {
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "sysotel", Organization: []string{"self-signed by sysotel"}},
		NotBefore: time.Now().Add(-time.Hour).Truncate(time.Second), // Clocks differ.
		NotAfter:  time.Now().Add(certificateTime - time.Hour).Truncate(time.Second),
		KeyUsage:  x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	t.SerialNumber, _ = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand does not fail.
	dns := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(true))
	for _, name := range slices.Concat(s.names, ownAddresses()) {
		if ip := net.ParseIP(name); ip != nil {
			known := slices.ContainsFunc(t.IPAddresses, ip.Equal)
			if !known && !ip.IsUnspecified() {
				t.IPAddresses = append(t.IPAddresses, ip)
			}
			continue
		}
		// What is no name in the DNS cannot stand in a certificate.
		if ascii, err := dns.ToASCII(name); err == nil && ascii != "" && !slices.Contains(t.DNSNames, ascii) {
			t.DNSNames = append(t.DNSNames, ascii)
		}
	}
	if len(t.DNSNames) > 1 { // The first is localhost.
		// Clients look authorities up by this, so that each machine needs one of its own.
		name := "sysotel on " + t.DNSNames[1]
		t.Subject.CommonName = name[:min(len(name), longestCommonName)]
	}
	return t
}

// ownAddresses are the addresses under which other machines reach this one.
func ownAddresses() []string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var own []string
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			own = append(own, n.IP.String())
		}
	}
	return own
}

// write writes a PEM file.
func write(path string, mode os.FileMode, kind string, content []byte) error {
	if err := atomicfile.Write(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
