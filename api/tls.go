package api

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/exporter-toolkit/web"

	"sysotel/agent/fresh"
	"sysotel/agent/health"
)

// TLSConfig configures HTTPS of the API.
type TLSConfig struct {
	CertFile     string `yaml:"cert_file" path:"file" help:"PEM file with the certificate of the API and the dashboard, followed by any intermediate certificates; enables HTTPS. Reloaded when it changes."`
	KeyFile      string `yaml:"key_file" path:"file" help:"PEM file with the private key of that certificate."`
	SelfSigned   bool   `yaml:"self_signed" help:"Whether the agent creates its own certificate at the first start, in the directory tls of data_dir, and renews it; clients can trust the file cert.pem there."`
	ClientAuth   string `yaml:"client_auth" enum:"none|request|require" help:"Whether clients must present a certificate: with request they may, with require they must. A certificate not issued by tls.client_ca_file is rejected. A certificate grants no role: it only opens the connection and does not replace a login."`
	ClientCAFile string `yaml:"client_ca_file" path:"file" help:"PEM file with the certificates of the authorities that issue client certificates. Reloaded when it changes."`
	MinVersion   string `yaml:"min_version" enum:"1.2|1.3" help:"Minimum TLS version."`
	Redirect     string `yaml:"redirect" help:"Address that redirects plain HTTP to HTTPS, such as 127.0.0.1:8081; empty for none."`
}

// Encrypted reports whether the API uses TLS.
func (c Config) Encrypted() bool { return c.TLS.on() }

func (c TLSConfig) on() bool { return c.CertFile != "" || c.SelfSigned }

// validate checks the options and the files they name. An expired certificate is
// valid: the agent serves it with a warning.
func (c TLSConfig) validate(wrong func(path string, value any, rule string)) {
	switch {
	case c.CertFile != "" && c.KeyFile == "":
		wrong("tls.cert_file", c.CertFile, "requires its key in tls.key_file")
	case c.CertFile == "" && c.KeyFile != "":
		wrong("tls.key_file", c.KeyFile, "requires its certificate in tls.cert_file")
	case c.CertFile != "" && c.SelfSigned:
		wrong("tls.self_signed", c.SelfSigned, "cannot be combined with tls.cert_file")
	}
	switch {
	case c.ClientAuth != "none" && !c.on():
		wrong("tls.client_auth", c.ClientAuth, "has no effect without TLS; set tls.cert_file and tls.key_file, or tls.self_signed: true")
	case c.ClientAuth != "none" && c.ClientCAFile == "":
		wrong("tls.client_auth", c.ClientAuth, "requires the issuing authorities in tls.client_ca_file")
	case c.ClientAuth == "none" && c.ClientCAFile != "":
		wrong("tls.client_ca_file", c.ClientCAFile, "has no effect while tls.client_auth is none; set that to request or require")
	}
	usable := true
	for _, f := range []struct{ option, path string }{{"tls.cert_file", c.CertFile}, {"tls.key_file", c.KeyFile}, {"tls.client_ca_file", c.ClientCAFile}} {
		if f.path == "" {
			continue
		}
		err := readable(f.path)
		if err == nil && f.option == "tls.client_ca_file" {
			err = holdsCertificates(f.path)
		}
		if err != nil {
			usable = false
			wrong(f.option, f.path, "cannot be used: "+err.Error())
		}
	}
	if !usable || c.CertFile == "" || c.KeyFile == "" {
		return
	}
	if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
		wrong("tls.cert_file", c.CertFile, "cannot be used with tls.key_file "+c.KeyFile+": "+err.Error())
	}
}

// largestPEM is the maximum size of a file: four times the bundle of all public
// authorities.
const largestPEM = 1 << 20

// readable returns why a file cannot be used. A file that is not regular, such as
// a pipe, could block a handshake.
func readable(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	if err == nil && info.Size() > largestPEM {
		return errors.New("it is larger than 1 MiB")
	}
	if err == nil {
		var f *os.File
		if f, err = os.Open(path); err == nil {
			err = f.Close()
		}
	}
	if inner := (*fs.PathError)(nil); errors.As(err, &inner) {
		return inner.Err // The caller knows the path.
	}
	return err
}

// holdsCertificates returns an error if a file contains no certificates. The
// library would accept it and then reject every client.
func holdsCertificates(path string) error {
	text, err := os.ReadFile(path)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
		err = errors.New("it contains no PEM certificates")
	}
	return err
}

// load makes a configuration of the contents of the files. Cipher suites and curves are
// Go's defaults.
func (c TLSConfig) load(contents [][]byte) (*tls.Config, error) {
	clientCA := ""
	if c.ClientCAFile != "" {
		clientCA = string(contents[2])
		if !x509.NewCertPool().AppendCertsFromPEM(contents[2]) {
			return nil, fmt.Errorf("%s cannot be used: it contains no PEM certificates", c.ClientCAFile)
		}
	}
	of := &web.TLSConfig{
		TLSCert: string(contents[0]), TLSKey: config.Secret(contents[1]), ClientCAsText: clientCA,
		ClientAuth: map[string]string{"request": "VerifyClientCertIfGiven", "require": "RequireAndVerifyClientCert"}[c.ClientAuth],
		MinVersion: tls.VersionTLS12,
	}
	if c.MinVersion == "1.3" {
		of.MinVersion = tls.VersionTLS13
	}
	made, err := makeTLS(of)
	if inner := errors.Unwrap(err); inner != nil {
		err = inner // The prefix is about option names of the web configuration file.
	}
	return made, err
}

// makeTLS makes a configuration with one certificate, which is in it.
func makeTLS(of *web.TLSConfig) (*tls.Config, error) {
	made, err := web.ConfigToTLSConfig(of)
	if err != nil {
		return nil, err
	}
	// GetCertificate would read the files at every handshake, not only on changes.
	certificate, err := made.GetCertificate(nil)
	if err != nil {
		return nil, err
	}
	made.GetCertificate, made.Certificates = nil, []tls.Certificate{*certificate}
	made.NextProtos = []string{"h2", "http/1.1"}
	return made, nil
}

// files lists what load reads.
func (c TLSConfig) files() []string {
	return slices.DeleteFunc([]string{c.CertFile, c.KeyFile, c.ClientCAFile}, func(path string) bool { return path == "" })
}

// certificates serves the newest valid certificate files. Each handshake checks
// whether the files have changed and reloads them.
type certificates struct {
	config TLSConfig
	files  *fresh.Files[*tls.Config]
	// maker renews the agent's own certificate; nil for certificates from files.
	maker *selfSigned
	log   *slog.Logger

	mu sync.Mutex // Protects what follows, and files until it is set.
	// temporary serves while the agent's own certificate cannot be written for the first
	// time: the directory is on a disk that is full or read-only.
	temporary *tls.Config
	// renewal is why the agent's own certificate cannot be renewed, empty if it can.
	renewal string
	since   time.Time
	looked  time.Time // When the maker last checked.
}

// newCertificates loads or creates the files for the first time.
func newCertificates(o Options) (*certificates, error) {
	c := &certificates{config: o.TLS, log: o.Logger}
	var failed error
	if o.TLS.SelfSigned {
		c.maker = newSelfSigned(o)
		failed = c.maker.ensure()
		c.looked = time.Now()
		c.config.CertFile, c.config.KeyFile = c.maker.certFile, c.maker.keyFile
	}
	var err error
	c.files, err = fresh.Open(c.config.files(), c.load, c.note)
	switch {
	case err != nil && failed != nil && c.maker.made != nil:
		contents := c.maker.made[:]
		if o.TLS.ClientCAFile != "" {
			text, err := os.ReadFile(o.TLS.ClientCAFile)
			if err != nil {
				return nil, fmt.Errorf("tls: %w", err)
			}
			contents = append(contents, text)
		}
		if c.temporary, err = c.load(contents); err != nil {
			return nil, fmt.Errorf("tls.self_signed: %w", err)
		}
		c.failed(failed)
	case err != nil && failed != nil:
		return nil, fmt.Errorf("tls.self_signed: %w", failed)
	case err != nil:
		return nil, fmt.Errorf("tls: %w", err)
	case failed != nil: // The old one serves, on a disk that cannot be written.
		c.failed(failed)
	}
	return c, nil
}

// current is what is served now.
func (c *certificates) current() *tls.Config {
	if c.temporary != nil {
		return c.temporary
	}
	return c.files.Get()
}

// failed notes why the agent's own certificate cannot be written.
func (c *certificates) failed(err error) {
	reason := "cannot be renewed: "
	if c.temporary != nil {
		reason = "is in memory only and another one after a restart: "
	}
	if c.renewal == "" {
		c.since = time.Now()
		c.log.Warn("the certificate "+strings.TrimSuffix(reason, ": "), "err", err)
	}
	c.renewal = reason + err.Error()
}

// forClient is the configuration of one handshake.
func (c *certificates) forClient(*tls.ClientHelloInfo) (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renew()
	return c.current(), nil
}

// renew has the maker check its certificate once a day, and once a minute one that could
// not be written.
func (c *certificates) renew() {
	every := 24 * time.Hour
	if c.temporary != nil {
		every = time.Minute
	}
	if c.maker == nil || time.Since(c.looked) < every {
		return
	}
	c.looked = time.Now()
	err := c.maker.ensure()
	if err == nil && c.temporary != nil {
		c.files, err = fresh.Open(c.config.files(), c.load, c.note)
	}
	if err != nil {
		c.failed(err)
		return
	}
	c.temporary, c.renewal = nil, ""
}

// load makes the configuration of new files, and logs what they are.
func (c *certificates) load(contents [][]byte) (*tls.Config, error) {
	made, err := c.config.load(contents)
	if err != nil {
		return nil, err
	}
	leaf := leafOf(made)
	c.log.Info("serving certificate", "file", c.config.CertFile, "names", strings.Join(namesOf(leaf), " "), "expires", leaf.NotAfter, "sha256", fingerprint(leaf))
	if reason := expired(leaf); reason != "" {
		c.log.Warn("clients will refuse the certificate", "reason", reason, "file", c.config.CertFile)
	}
	// Windows has no such modes.
	if info, err := os.Stat(c.config.KeyFile); err == nil && info.Mode()&0o007 != 0 && runtime.GOOS != "windows" {
		c.log.Warn("the private key is readable by every user of this machine; fix with chmod o=", "file", c.config.KeyFile, "mode", info.Mode().String())
	}
	return made, nil
}

// note logs that new files cannot be used.
func (c *certificates) note(err error) {
	if err != nil {
		c.log.Warn("cannot use the new certificate; still serving the previous one", "err", err)
	}
}

// leafOf is the certificate that is served.
func leafOf(c *tls.Config) *x509.Certificate { return c.Certificates[0].Leaf }

// expired explains why a certificate is not valid now; empty if it is.
func expired(leaf *x509.Certificate) string {
	switch now := time.Now(); {
	case now.After(leaf.NotAfter):
		return "the certificate expired on " + leaf.NotAfter.Format(time.DateOnly)
	case now.Before(leaf.NotBefore):
		return "the certificate is not valid before " + leaf.NotBefore.Format(time.DateOnly)
	}
	return ""
}

// health is the component of /health.
func (c *certificates) health() health.Component {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renew()
	p := health.Component{Name: "tls", Status: health.OK}
	var reasons []string
	if c.temporary != nil {
		// There are no files yet.
	} else if since, err := c.files.Broken(); err != nil {
		reasons, p.Since = append(reasons, "cannot use the new certificate, still serving the previous one: "+err.Error()), since
	}
	if c.renewal != "" {
		reasons, p.Since = append(reasons, "the certificate "+c.renewal), c.since
	}
	if reason := expired(leafOf(c.current())); reason != "" {
		reasons = append(reasons, reason)
	}
	if len(reasons) > 0 {
		p.Status, p.Reason = health.Degraded, strings.Join(reasons, "; ")
	}
	return p
}

// namesOf lists the names and addresses of a certificate.
func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, address := range leaf.IPAddresses {
		names = append(names, address.String())
	}
	return names
}

// fingerprint is the SHA-256 of a certificate as openssl and browsers show it.
func fingerprint(leaf *x509.Certificate) string {
	return strings.ReplaceAll(fmt.Sprintf("% X", sha256.Sum256(leaf.Raw)), " ", ":")
}

// strictTransport sets HSTS. It is for certificates from files: with a self-signed
// one, browsers would no longer let users past their warning.
func strictTransport(next http.Handler) http.Handler {
	oneYear := []string{"max-age=31536000"}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			w.Header()["Strict-Transport-Security"] = oneYear
		}
		next.ServeHTTP(w, r)
	})
}

// setUpTLS configures TLS of the TCP server.
func (s *Server) setUpTLS() error {
	if !s.options.TLS.on() {
		return nil
	}
	var err error
	if s.certificates, err = newCertificates(s.options); err != nil {
		return err
	}
	s.tcp.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: s.certificates.forClient}
	if s.options.TLS.CertFile != "" {
		s.tcp.Handler = strictTransport(s.tcp.Handler)
	}
	return nil
}

// serveTCP serves the TCP listener until the server is closed.
func (s *Server) serveTCP(l net.Listener) error {
	if s.certificates != nil {
		return s.tcp.ServeTLS(l, "", "")
	}
	return s.tcp.Serve(l)
}

// URL is the URL of the server, after Listen.
func (s *Server) URL() string {
	if s.certificates != nil {
		return "https://" + s.Addr().String()
	}
	return "http://" + s.Addr().String()
}

// Health are the server's own components of /health.
func (s *Server) Health() []health.Component {
	parts := s.socketHealth()
	if s.certificates != nil {
		parts = append(parts, s.certificates.health())
	}
	return parts
}
