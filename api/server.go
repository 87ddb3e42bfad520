// Package api is the HTTP door to the agent: the REST operations with their
// OpenAPI document, the live stream, the documentation page, and the checks that
// every request passes.
//
// It asks the machine nothing itself: Machine and the options of New bring the
// readings and the state of the agent's parts. Names of metrics and how they
// are measured belong to package instruments; the Prometheus page is a handler
// from elsewhere that is only mounted here.
//
// Read operation.go first: every operation comes through register. Then
// gate.go and shield.go for what every request passes, and current.go for the
// document that most callers want.
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
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sysotel/agent/auth"
	"sysotel/instruments"
)

// Machine is what the API asks about the machine.
type Machine interface {
	// Newest returns the newest reading of a family and the time of its tick; nil
	// where there is none: the family is off, failed, or has not read yet.
	Newest(family string) (instruments.Reading, time.Time)
	// Tick returns the number and the time of the newest complete tick, and a
	// channel that is closed when the next one is complete. The number is 0 before
	// the first.
	Tick() (seq uint64, at time.Time, next <-chan struct{})
}

// Options are what a server is made of.
type Options struct {
	// Config is the HTTP configuration, already validated.
	Config HTTPConfig
	// TLS is how the TCP address speaks HTTPS, already validated, and TLSDir where
	// the agent's own certificate is kept.
	TLS    TLSConfig
	TLSDir string
	// RateLimit is how much each client may ask for; nothing is limited where it
	// is not enabled.
	RateLimit RateLimitConfig
	// Machine is where readings come from.
	Machine Machine
	// Health lists the agent's parts and how they fare, the most important first.
	Health func() []Part
	// Hostname and Version are told in the answers.
	Hostname, Version string
	// OS is the machine's operating system, empty where it is not known.
	OS string
	// Interval is the tick, 0 where it is not known.
	Interval time.Duration
	// Socket is the path of the Unix socket for the commands of sysotel, empty
	// for none.
	Socket string
	// MetricsPage is the Prometheus page at /metrics, nil for none.
	MetricsPage http.Handler
	// History answers how series went, nil where no store is kept; SeriesNames must
	// be set with it.
	History     History
	SeriesNames SeriesNames
	// Hosts knows which other machines the history is of, nil where it is of this
	// one alone.
	Hosts Hosts
	// Records answers which processes ran and what happened, nil where none are kept.
	Records Records
	// Web is the files of the web app, found at / and below; nil for none, and then
	// / leads to the documentation.
	Web fs.FS
	// PromQL is the Prometheus HTTP API, whose own paths begin with /api/v1/; it is
	// found under /prometheus. Nil for none.
	PromQL http.Handler
	// Alerting evaluates the alert rules and Notifier has the channels, both nil where
	// no history is kept.
	Alerting Alerting
	Notifier Notifier
	// Backup copies the history into a directory, nil where none is kept. What the
	// caller did wrong is ErrBackupRefused.
	Backup func(ctx context.Context, dir string) error
	// Auth knows users and tokens. With Authenticate callers must log in; without,
	// who is on the machine need not, and may where it takes more than that.
	Auth         *auth.Auth
	Authenticate bool
	// Settings tells the configuration as it is in effect, nil where there is none
	// to tell. It holds no secrets.
	Settings func() []Setting
	// Audit takes a line for each log-in, refusal and change, nil for nobody.
	Audit *slog.Logger
	// Logger takes what goes wrong.
	Logger *slog.Logger
}

// The limits of a connection. A caller has headerTime to send a request's
// headers and answerTime to take an answer; streams set their own, see stream.go.
const (
	headerTime = 5 * time.Second
	answerTime = 30 * time.Second
	idleTime   = 120 * time.Second
	maxHeader  = 16 << 10
	// stopTime is how long answers in progress may take when the server stops.
	stopTime = 3 * time.Second
)

// Server answers HTTP requests about the machine.
type Server struct {
	options Options
	log     *slog.Logger
	api     huma.API
	routes  *routes
	current *newest
	// proxies tell whose a request is and whether it came by TLS.
	proxies proxies
	gate    *gate
	refused refusals
	// logins slows down whoever guesses passwords, nil where a test lets it.
	logins *loginLimiter

	tcp, unix *http.Server
	// certificates are what tcp shows to its clients, nil where it speaks plain HTTP.
	certificates *certificates

	closing  chan struct{} // Closed when the server begins to stop; ends the streams.
	stopping sync.Once

	mu       sync.Mutex
	listener net.Listener
	socket   net.Listener
}

// New makes a server; it listens and answers only when told to.
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
	s := &Server{options: o, log: o.Logger, closing: make(chan struct{}), gate: newServerGate(o), proxies: newProxies(o.Config)}
	// Guessing is slowed down even where requests are not limited.
	if o.RateLimit.Logins > 0 {
		s.logins = newLoginLimiter(o.RateLimit.Logins)
	}
	s.current = &newest{machine: o.Machine, encode: s.encodeCurrent}

	document := newDocument()
	s.routes = &routes{mux: http.NewServeMux(), registry: document.Components.Schemas, hint: "see /docs for what exists.", admit: s.admit, rates: newRates(o.RateLimit, s.proxies)}
	s.api = huma.NewAPI(huma.Config{
		OpenAPI: document,
		// "json" is what Huma looks for after the + of problem+json.
		Formats:       map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{withoutBodies},
	}, s.routes)
	s.addOperations()
	s.addPages()
	s.addEntrance()
	if err := s.addWeb(); err != nil {
		return nil, err
	}
	s.addPrometheus()
	s.routes.mux.HandleFunc("/", s.routes.rates.through(Cheap, s.routes.guard(Access{Role: Public}, s.routes.lost)))

	s.tcp = newHTTP(shield(s.log, s.noteRefusals(s.gate.through(s.authenticate(s.routes)))), s.log)
	s.tcp.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return withCaller(ctx, callerOfConn(c, !o.Authenticate))
	}
	newConnections(s.proxies).guard(s.tcp)
	// No web page reaches a Unix socket: no Host or Origin to check.
	s.unix = newHTTP(shield(s.log, s.noteRefusals(s.routes)), s.log)
	s.unix.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return withCaller(ctx, callerOfConn(c, false))
	}
	if err := s.encrypt(); err != nil {
		return nil, err
	}
	return s, nil
}

// jsonFormat is JSON as encoding/json writes it, with <, > and & escaped: names
// in it are hostile, and a careless page may put them into its HTML.
var jsonFormat = huma.Format{
	Marshal:   func(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) },
	Unmarshal: json.Unmarshal,
}

// newHTTP is a net/http server with our limits.
func newHTTP(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(serverLog{log.Handler()}, slog.LevelDebug),
	}
}

// serverLog takes what net/http says. Callers can make it say most of it, line
// after line; that connections cannot be taken is the agent's own trouble.
type serverLog struct{ slog.Handler }

// Enabled implements slog.Handler; the level is known only from the message.
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

// Handler is what answers on the TCP address, for tests and benchmarks without one.
func (s *Server) Handler() http.Handler { return s.tcp.Handler }

// Routes lists every way into the server.
func (s *Server) Routes() []Route { return append([]Route(nil), s.routes.list...) }

// Listen takes the address and the Unix socket. After it, Run or Close must be called.
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
	if s.options.Socket != "" {
		if s.socket, err = listenUnix(s.options.Socket); err != nil {
			_ = listener.Close()
			return err
		}
	}
	s.listener = listener
	return nil
}

// ErrPortTaken is in the error of Listen when another program has the port.
var ErrPortTaken = errors.New("the port is taken by another program")

// listenError says what is wrong with an address and how to choose another. The
// system's own error stays inside.
func listenError(option, address string, err error) error {
	_, port, _ := net.SplitHostPort(address)
	var number syscall.Errno
	errors.As(err, &number)
	// Windows has numbers of its own: 10048 address in use, 10013 not permitted.
	windows := runtime.GOOS == "windows"
	switch {
	case number == syscall.EADDRINUSE || windows && number == 10048:
		return fmt.Errorf("port %s is in use, choose another with --%s: %w (%w)", port, option, ErrPortTaken, err)
	case number == syscall.EACCES || windows && number == 10013:
		return fmt.Errorf("this user may not listen on port %s, choose one above 1023 with --%s: %w", port, option, err)
	}
	return fmt.Errorf("cannot listen on %s (--%s): %w", address, option, err)
}

// Addr is the address that the server listens on, nil before Listen.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Run answers requests until the context ends, then lets those in progress
// finish for a moment and ends the streams.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Listen(); err != nil {
		return err
	}
	s.mu.Lock()
	listener, socket := s.listener, s.socket
	s.mu.Unlock()
	served := make(chan error, 2)
	serving := 1
	go func() { served <- s.serveTCP(listener) }()
	if socket != nil {
		serving++
		go func() { served <- s.unix.Serve(socket) }()
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

// serve waits for the end, or for a server that ended by itself, and writes what
// was refused meanwhile.
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

// unlessClosed is err, nil where it only says that the server was closed.
func unlessClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// stop ends the streams, waits for what is in progress and closes the rest.
func (s *Server) stop(ctx context.Context) error {
	s.stopping.Do(func() { close(s.closing) })
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	var err error
	for _, server := range []*http.Server{s.tcp, s.unix} {
		if server.Shutdown(ctx) != nil { // Too slow: their connections are cut.
			err = errors.Join(err, server.Close())
		}
	}
	s.removeSocket()
	return unlessClosed(err)
}

// Close gives the address back where Run was never called.
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
