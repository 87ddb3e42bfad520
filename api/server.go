// Package api is the HTTP server of the agent: the REST operations with their
// OpenAPI document, the live stream, the documentation pages, and the checks of
// every request.
//
// It does not read the machine itself: Machine and the Options of New provide the
// readings and the state of the agent's components. Package instruments defines
// the metrics; the Prometheus page is a handler that is only mounted here.
//
// Read operation.go first: every operation goes through register. Then
// origin.go and middleware.go for the checks of every request, and current.go for
// the document that most clients want.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sysotel/agent/auth"
	"sysotel/agent/health"
	"sysotel/instruments"
)

// Machine provides the readings.
type Machine interface {
	// Newest returns the newest reading of a collector and the time of its tick; nil
	// if there is none: the collector is disabled, failed, or has not run yet.
	Newest(collector string) (instruments.Reading, time.Time)
	// Tick returns the number and the time of the newest complete tick, and a
	// channel that is closed when the next one is complete. The number is 0 before
	// the first.
	Tick() (seq uint64, at time.Time, next <-chan struct{})
}

// Options are the dependencies and the configuration of a Server.
type Options struct {
	// Config is the validated HTTP configuration.
	Config HTTPConfig
	// TLS is the validated TLS configuration, TLSDir the directory of the agent's own
	// certificate.
	TLS    TLSConfig
	TLSDir string
	// RateLimit limits each client, if enabled.
	RateLimit RateLimitConfig
	// Machine provides the readings.
	Machine Machine
	// Health returns the status of all components, the most important first.
	Health func() []health.Component
	// Hostname and Version appear in responses.
	Hostname, Version string
	// OS is the operating system; empty if unknown.
	OS string
	// Now is the time that relative times count from; nil is time.Now.
	Now func() time.Time
	// Interval is the sampling interval; 0 if unknown.
	Interval time.Duration
	// Socket is the path of the Unix socket for the sysotel commands; empty for none.
	Socket string
	// MetricsPage is the Prometheus page at /metrics; nil for none.
	MetricsPage http.Handler
	// History has the series; nil without a store. It requires SeriesNames.
	History     History
	SeriesNames SeriesNames
	// Storage describes what is kept; nil without a store.
	Storage func() Storage
	// Hosts lists the other machines in the history; nil if there is only this one.
	Hosts Hosts
	// Records has past processes and events; nil if none are kept.
	Records Records
	// Web has the files of the web app, served at /. If nil, / redirects to the
	// documentation.
	Web fs.FS
	// PromQL is the Prometheus HTTP API with paths below /api/v1/, served below
	// /prometheus. Nil for none.
	PromQL http.Handler
	// Alerting evaluates the alert rules and Notifier has the channels, both nil where
	// no history is kept.
	Alerting Alerting
	Notifier Notifier
	// Backup copies the history to a directory; nil if there is none. Errors of the
	// caller are ErrBackupRefused, and ErrBackupNotYet while the store is opening.
	Backup func(ctx context.Context, dir string, secrets bool) error
	// Auth has the users and tokens. Authenticate requires a login everywhere;
	// otherwise callers on this machine need none to view, and root and the agent's
	// user none to administer.
	Auth         *auth.Auth
	Authenticate bool
	// ProxyLogin is about users whom a reverse proxy has logged in.
	ProxyLogin ProxyLoginConfig
	// Settings returns the effective configuration without secrets; may be nil.
	Settings func() []Setting
	// Audit logs logins, refusals and changes; may be nil.
	Audit *slog.Logger
	// Logger logs problems.
	Logger *slog.Logger
}

// The limits of a connection. A client has headerTime to send the headers of a
// request and responseTime to read the response from its beginning; streams have their
// own, see stream.go.
const (
	headerTime   = 5 * time.Second
	responseTime = 30 * time.Second
	idleTime     = 120 * time.Second
	maxHeader    = 16 << 10
	// stopTime is how long requests in progress may take when the server stops.
	stopTime = 3 * time.Second
)

// Server is the HTTP server of the agent.
type Server struct {
	options Options
	log     *slog.Logger
	api     huma.API
	routes  *routes
	current *currentCache
	// proxies are trusted to report the client's address and whether it used TLS.
	proxies proxies
	origin  *originCheck
	refused refusals
	// logins slows down password guessing; nil in some tests.
	logins *loginLimiter
	// proxyLogin identifies the users of a proxy; nil unless it is configured.
	proxyLogin *proxyLogin

	tcp, unix *http.Server
	// certificates are those of tcp; nil for plain HTTP.
	certificates *certificates

	closing  chan struct{} // Closed when the server starts to stop; ends the streams.
	stopping sync.Once

	mu       sync.Mutex
	listener net.Listener
	socket   net.Listener
	// socketInfo is the file of the socket, socketErr why there is none.
	socketInfo os.FileInfo
	socketErr  error
}

// New returns a server; it starts with Listen and Run.
func New(o Options) (*Server, error) {
	switch {
	case o.Machine == nil:
		return nil, errors.New("create the API server: Machine is missing")
	case o.Health == nil:
		return nil, errors.New("create the API server: Health is missing")
	case o.Logger == nil:
		return nil, errors.New("create the API server: Logger is missing")
	}
	if o.Audit == nil {
		o.Audit = slog.New(slog.DiscardHandler)
	}
	s := &Server{options: o, log: o.Logger, closing: make(chan struct{}), origin: newServerOriginCheck(o), proxies: newProxies(o.Config)}
	// Password guessing is slowed down even if requests are not limited.
	if o.RateLimit.Logins > 0 {
		s.logins = newLoginLimiter(o.RateLimit.Logins)
	}
	s.proxyLogin = newProxyLogin(o.ProxyLogin, s.proxies, s.origin, s.now)
	s.current = &currentCache{machine: o.Machine, encode: s.encodeCurrent}
	if err := s.addRoutes(); err != nil {
		return nil, err
	}
	s.origin.accessOf = s.routes.accessOf
	if err := s.addServers(); err != nil {
		return nil, err
	}
	if err := s.setUpTLS(); err != nil {
		return nil, err
	}
	return s, nil
}

// addRoutes creates the routes and adds all operations and pages.
func (s *Server) addRoutes() error {
	document := newDocument(s.base())
	s.routes = &routes{
		mux: http.NewServeMux(), registry: document.Components.Schemas, hint: "see /docs for what exists.",
		authorize: s.authorize, rates: newRates(s.options.RateLimit, s.proxies), proxies: s.proxies,
	}
	s.api = huma.NewAPI(huma.Config{
		OpenAPI: document,
		// Huma looks up "json" for the suffix of problem+json.
		Formats:       map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{withoutBodies},
	}, s.routes)
	s.addOperations()
	// Huma declares its list as nullable, which is absent instead.
	document.Components.Schemas.Map()["ErrorModel"].Properties["errors"].Nullable = false
	s.addPages()
	s.addLoginPages()
	if err := s.addWeb(); err != nil {
		return err
	}
	s.addPrometheus()
	s.addProbes()
	s.routes.mux.HandleFunc("/", s.routes.rates.limit(Cheap, s.routes.guard(Access{Role: Public}, s.routes.notFound)))
	return nil
}

// addServers creates the servers of the TCP address and the Unix socket with their
// middleware.
func (s *Server) addServers() error {
	compressed, err := compress(s.routes)
	if err != nil {
		return err
	}
	s.tcp = newHTTP(secure(s.log, below(s.base(), s.auditRefusals(s.origin.middleware(s.authenticate(compressed))))), s.log)
	s.tcp.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return s.proxyLogin.withConn(withCaller(ctx, callerOfConn(c, !s.options.Authenticate)), c)
	}
	newConnections(s.proxies).attach(s.tcp)
	// Web pages cannot reach a Unix socket: there is no Host or Origin to check.
	s.unix = newHTTP(secure(s.log, s.auditRefusals(s.routes)), s.log)
	s.unix.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return withCaller(ctx, callerOfConn(c, false))
	}
	return nil
}

// jsonFormat is JSON with <, > and & escaped: names in it are untrusted, and a
// careless page may insert them into HTML.
var jsonFormat = huma.Format{
	Marshal:   func(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) },
	Unmarshal: json.Unmarshal,
}

// newHTTP returns a net/http server with our limits.
func newHTTP(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		WriteTimeout:      responseTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(serverLog{log.Handler()}, slog.LevelDebug),
	}
}

// serverLog is the log of net/http. Most lines are caused by clients and are for
// debugging; failing to accept connections is a problem of the agent.
type serverLog struct{ slog.Handler }

// Enabled implements slog.Handler; the level depends on the message.
func (serverLog) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (l serverLog) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "http: Accept error") {
		r.Level = slog.LevelWarn
	}
	if !l.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

// Handler is the handler of the TCP address, for tests and benchmarks.
func (s *Server) Handler() http.Handler { return s.tcp.Handler }

// Routes lists every route.
func (s *Server) Routes() []Route { return append([]Route(nil), s.routes.list...) }

// Listen opens the address and the Unix socket. Call Run or Close afterwards.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return nil
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", s.options.Config.Listen)
	if err != nil {
		return listenError("http.listen", s.options.Config.Listen, err)
	}
	if err := s.openSocket(); err != nil {
		_ = listener.Close()
		return err
	}
	s.listener = listener
	return nil
}

// ErrPortTaken is wrapped by the error of Listen if another program uses the port.
var ErrPortTaken = errors.New("the port is taken by another program")

// listenError explains why an address cannot be used and how to choose another. It
// wraps the system's error.
func listenError(option, address string, err error) error {
	_, port, _ := net.SplitHostPort(address)
	var number syscall.Errno
	errors.As(err, &number)
	// Windows has its own numbers: 10048 address in use, 10013 not permitted.
	windows := runtime.GOOS == "windows"
	switch {
	case number == syscall.EADDRINUSE || windows && number == 10048:
		return fmt.Errorf("port %s is in use, choose another with --%s: %w (%w)", port, option, ErrPortTaken, err)
	case number == syscall.EACCES || windows && number == 10013:
		return fmt.Errorf("this user may not listen on port %s, choose one above 1023 with --%s: %w", port, option, err)
	}
	return fmt.Errorf("cannot listen on %s (--%s): %w", address, option, err)
}

// Addr is the listen address, nil before Listen.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Run serves requests until the context ends, then ends the streams and gives the
// requests in progress a moment to finish.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Listen(); err != nil {
		return err
	}
	s.mu.Lock()
	listener := s.listener
	s.mu.Unlock()
	served := make(chan error, 2)
	serving := 1
	go func() { served <- s.serveTCP(listener) }()
	if s.options.Socket != "" {
		serving++
		go func() { served <- s.serveSocket() }()
	}
	failed := s.serve(ctx, served, &serving)
	failed = errors.Join(unlessClosed(failed), s.stop(ctx))
	for range serving {
		failed = errors.Join(failed, unlessClosed(<-served))
	}
	if failed != nil {
		return fmt.Errorf("serve the API: %w", failed)
	}
	return nil
}

// serve waits until the context ends or a server fails, and writes the combined
// refusals meanwhile.
func (s *Server) serve(ctx context.Context, served <-chan error, serving *int) error {
	every := time.NewTicker(refusalTime)
	defer every.Stop()
	defer s.writeRefusals(true)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-served:
			*serving--
			return err
		case <-every.C:
			s.writeRefusals(false)
		}
	}
}

// unlessClosed returns err, or nil if it only says that the server was closed.
func unlessClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// stop ends the streams, waits for requests in progress and closes the rest.
func (s *Server) stop(ctx context.Context) error {
	s.stopping.Do(func() { close(s.closing) })
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	var err error
	for _, server := range []*http.Server{s.tcp, s.unix} {
		if server.Shutdown(ctx) != nil { // Too slow: close the connections.
			err = errors.Join(err, server.Close())
		}
	}
	s.removeSocket()
	return unlessClosed(err)
}

// Close releases the address if Run was never called.
func (s *Server) Close() error {
	s.stopping.Do(func() { close(s.closing) })
	s.mu.Lock()
	listener := s.listener
	s.mu.Unlock()
	err := errors.Join(unlessClosed(s.tcp.Close()), unlessClosed(s.unix.Close()))
	if listener != nil {
		err = errors.Join(err, unlessClosed(listener.Close()))
	}
	s.removeSocket()
	return err
}
