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
	// certificateTime is the validity of the agent's own certificate. Browsers accept
	// at most 398 days.
	certificateTime = 397 * 24 * time.Hour
	// renewTime is how long before it expires it is renewed.
	renewTime = 30 * 24 * time.Hour
	// longestCommonName is ub-common-name of RFC 5280.
	longestCommonName = 64
)

// selfSigned creates the certificate of an agent without one. It is its own
// authority, so that clients that trust the file can verify the agent.
type selfSigned struct {
	certFile, keyFile string
	// names are the host names, in addition to the machine's addresses.
	names []string
	// made has the certificate and the key, in PEM, while they cannot be written.
	made *[2][]byte
}

// newSelfSigned uses the names in the options.
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

// ensure creates the certificate, or renews it if it expires soon or lacks a name. What
// it made and cannot write it keeps for the next time.
func (s *selfSigned) ensure() error {
	if s.made == nil {
		want := s.template()
		pair, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
		if err == nil && holds(pair.Leaf, want) {
			return nil
		}
		if errors.Is(err, fs.ErrPermission) {
			return err // Do not replace files of another user.
		}
		if s.made, err = s.make(want); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(s.certFile), 0o700); err != nil {
		return err
	}
	if err := errors.Join(write(s.keyFile, 0o600, s.made[1]), write(s.certFile, 0o644, s.made[0])); err != nil {
		return err
	}
	s.made = nil
	return nil
}

// make creates the certificate and, if there is none, the key.
func (s *selfSigned) make(want *x509.Certificate) (*[2][]byte, error) {
	key, err := s.key()
	if err != nil {
		return nil, fmt.Errorf("create the key: %w", err)
	}
	certificate, err := x509.CreateCertificate(rand.Reader, want, want, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("create the certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("create the key: %w", err)
	}
	return &[2][]byte{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}

// holds reports whether a certificate has all names of want and does not expire
// soon. New IPv6 addresses do not count: privacy extensions create one every day.
func holds(have, want *x509.Certificate) bool {
	has := namesOf(have)
	return time.Until(have.NotAfter) > renewTime && !time.Now().Before(have.NotBefore) &&
		!slices.ContainsFunc(namesOf(want), func(name string) bool {
			ip := net.ParseIP(name)
			return (ip == nil || ip.To4() != nil) && !slices.Contains(has, name)
		})
}

// key returns the key in its file, or a new one if there is none: clients that
// pin the key (curl --pinnedpubkey) keep working after a renewal. Clients that
// trust the certificate file need the new one.
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
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// template is the certificate as it should be now.
func (s *selfSigned) template() *x509.Certificate {
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "sysotel", Organization: []string{"self-signed by sysotel"}},
		NotBefore: time.Now().Add(-time.Hour).Truncate(time.Second), // Clocks may differ.
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
		// Invalid DNS names cannot be in a certificate.
		if ascii, err := dns.ToASCII(name); err == nil && ascii != "" && !slices.Contains(t.DNSNames, ascii) {
			t.DNSNames = append(t.DNSNames, ascii)
		}
	}
	if len(t.DNSNames) > 1 { // The first is localhost.
		// Clients look up authorities by subject, so each machine needs its own.
		name := "sysotel on " + t.DNSNames[1]
		t.Subject.CommonName = name[:min(len(name), longestCommonName)]
	}
	return t
}

// ownAddresses are the addresses at which other machines reach this one.
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

// write writes a file; a directory in its place is moved aside.
func write(path string, mode os.FileMode, content []byte) error {
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		if err := os.Rename(path, path+".broken-"+time.Now().UTC().Format("20060102T150405")); err != nil {
			return err
		}
	}
	if err := atomicfile.Write(path, content, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
