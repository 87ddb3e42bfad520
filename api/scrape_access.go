package api

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"sync"

	"github.com/prometheus/common/config"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/time/rate"

	"sysotel/agent/fresh"
	"sysotel/agent/health"
)

// maxAdmitted bounds the passwords that need not be hashed again.
const maxAdmitted = 100

// scrapeAccess lets in whom the web configuration file lets in. A new file that cannot
// be used, or that no longer protects the page, leaves the previous one in force: an
// editing mistake neither opens the page nor ends the scrapes.
type scrapeAccess struct {
	path  string
	log   *slog.Logger
	files *fresh.Files[*webConfig]
	// first is the file at the start. It decides on TLS, HTTP/2 and the limit.
	first   *webConfig
	limiter *rate.Limiter

	mu sync.Mutex // protects admitted
	// admitted are hashes of passwords that were right, with their bcrypt hashes.
	admitted map[[sha256.Size]byte]struct{}
	// hashing is held while bcrypt runs, which is slow on purpose: one at a time.
	hashing sync.Mutex
}

// newScrapeAccess reads the file for the first time.
func newScrapeAccess(path string, log *slog.Logger) (*scrapeAccess, error) {
	a := &scrapeAccess{path: path, log: log, admitted: map[[sha256.Size]byte]struct{}{}}
	var err error
	if a.files, err = fresh.Open([]string{path}, a.read, a.note); err != nil {
		return nil, err
	}
	a.first = a.files.Get()
	if l := a.first.RateLimiterConfig; l.Interval != 0 {
		a.limiter = rate.NewLimiter(rate.Every(l.Interval), l.Burst)
	}
	return a, nil
}

// read makes a configuration of a new file.
func (a *scrapeAccess) read(contents [][]byte) (*webConfig, error) {
	c, err := parseWebConfig(a.path, contents[0])
	if err != nil {
		return nil, errors.New("prometheus.web_config " + err.Error())
	}
	if first := a.first; first != nil {
		switch {
		case !c.protects() && first.protects():
			return nil, errors.New("prometheus.web_config no longer has basic_auth_users or tls_server_config; to serve the page without them, restart the agent")
		case c.TLSConfig.IsEnabled() != first.TLSConfig.IsEnabled():
			return nil, errors.New("prometheus.web_config turns TLS on or off; restart the agent to apply that")
		}
		c.HTTPConfig.HTTP2 = first.HTTPConfig.HTTP2
	}
	return c, c.openCertificates(a.note)
}

// note logs that new files cannot be used.
func (a *scrapeAccess) note(err error) {
	if err != nil {
		a.log.Warn("cannot use the new web configuration; the previous one stays in force", "err", err)
	}
}

// health is the component of the page.
func (a *scrapeAccess) health() health.Component {
	p := health.Component{Name: "prometheus page", Status: health.OK}
	since, err := a.files.Broken()
	if c := a.files.Get(); err == nil && c.certificates != nil {
		since, err = c.certificates.Broken()
	}
	if err != nil {
		p.Status, p.Since, p.Reason = health.Degraded, since, "cannot use the new web configuration, the previous one stays in force: "+err.Error()
	}
	return p
}

// secureServer has a server use TLS if the file asks for it, and reports whether it does.
func (a *scrapeAccess) secureServer(s *http.Server) bool {
	if a.first.certificates == nil {
		return false
	}
	s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return a.files.Get().certificates.Get(), nil
	}}
	if !a.first.HTTPConfig.HTTP2 {
		s.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	return true
}

// middleware answers those that are not let in.
func (a *scrapeAccess) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.limiter != nil && !a.limiter.Allow() {
			writeProblem(w, http.StatusTooManyRequests, "The rate_limit of the web configuration file is exceeded.")
			return
		}
		c := a.files.Get()
		for name, value := range c.HTTPConfig.Header {
			w.Header().Set(name, value)
		}
		if len(c.Users) > 0 && !a.admits(c.Users, r) {
			w.Header().Set("WWW-Authenticate", "Basic")
			writeProblem(w, http.StatusUnauthorized, "This page needs a user and a password of the web configuration file.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// admits reports whether a request has the name and the password of a user.
func (a *scrapeAccess) admits(users map[string]config.Secret, r *http.Request) bool {
	name, password, ok := r.BasicAuth()
	if !ok {
		return false
	}
	hash, known := users[name]
	if !known { // An unknown name takes as long as a known one.
		for _, hash = range users {
			break
		}
	}
	sum := sha256.Sum256([]byte(string(hash) + "\x00" + password))
	a.mu.Lock()
	_, right := a.admitted[sum]
	a.mu.Unlock()
	if !right {
		a.hashing.Lock()
		right = bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
		a.hashing.Unlock()
	}
	if !right || !known {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.admitted) >= maxAdmitted {
		clear(a.admitted)
	}
	a.admitted[sum] = struct{}{}
	return true
}
