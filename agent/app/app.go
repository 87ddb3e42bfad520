// Package app wires the whole agent: New builds every component or rolls back,
// Start begins, Stop ends in reverse order within a time limit. It is the only
// package that knows all others, and the only one that starts long-lived
// goroutines; signals and exit codes are package command's.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"

	"sysotel/agent/clock"
	"sysotel/agent/config"
	"sysotel/agent/health"
	"sysotel/api"
	"sysotel/dashboards"
	"sysotel/instruments"
	commands "sysotel/instruments/command"
	"sysotel/instruments/portowner"
)

// Options configure New.
type Options struct {
	Config  config.Config
	Version string
	// Out receives the setup link, which must not be logged; nil discards it.
	Out io.Writer
	// Orphans is set where this process is the agent alone: it then waits for children
	// that it did not start.
	Orphans bool
	// Stderr receives the log without log.file; nil is standard error.
	Stderr io.Writer
	// Log replaces the configured log, for tests.
	Log *slog.Logger
	// Wall and Boot replace the system's clocks, for tests.
	Wall func() time.Time
	Boot func() time.Duration
	// noSocket, anyFiles and anyMachine leave out the Unix socket, and what New asks of the
	// system, for Check.
	noSocket, anyFiles, anyMachine bool
}

// App is one running agent.
type App struct {
	config   config.Config
	orphans  bool
	log      *slog.Logger
	level    *slog.LevelVar
	clock    *clock.Judge
	written  *logWriter // Nil where Options.Log replaces the log.
	dir      *dataDir
	readings readings
	memory   *memory
	server   *api.Server
	scrape   *api.Scrape
	redirect *api.Redirect
	history  history
	alerts   alerts
	accounts accounts
	reloaded reloaded
	out      io.Writer
	closers  []func() error
	started  time.Time

	mu      sync.Mutex
	cancel  context.CancelFunc
	running sync.WaitGroup
	failed  chan error
	stopped bool
}

// SocketName is the agent's Unix socket in its data directory. Its callers have the
// role admin.
const SocketName = "sysotel.sock"

// clockFile keeps the state of the clock in the data directory.
const clockFile = "clock.json"

// tlsDir is where the agent's own certificate is in its data directory.
const tlsDir = "tls"

// spareFiles is how many files the agent must be able to open beyond its own, for
// processes and a few connections.
const spareFiles = 64

// stopLimit bounds Stop.
const stopLimit = 5 * time.Second

// New builds the agent from a valid configuration and binds its addresses. On an
// error it releases everything.
func New(o Options) (_ *App, err error) {
	a := &App{config: o.Config, orphans: o.Orphans, out: o.Out, failed: make(chan error, 16)}
	defer func() {
		if err == nil {
			return
		}
		if a.readings.exporter != nil {
			ended, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = a.readings.shutdown(ended) // It has no readings yet.
		}
		_ = a.close()
	}()
	if err := a.openLog(o); err != nil {
		return nil, fmt.Errorf("log.file: %w", err)
	}
	for _, warning := range o.Config.Warnings() {
		a.log.Warn(warning)
	}
	if spare, limit := instruments.SpareFiles(); spare < spareFiles && !o.anyFiles {
		return nil, in(theFiles, fmt.Errorf("this process may open %d files and needs %d: raise the limit, with LimitNOFILE= in a systemd unit or ulimit -n in a shell", limit, limit-spare+spareFiles))
	}
	if a.dir, err = holdDirectory(o.Config.DataDir, a.log.With("component", "data_dir")); err != nil {
		return nil, err
	}
	a.closers = append(a.closers, a.dir.close)

	root := o.Config.Instruments.Host.Root
	if root == "" {
		root = instruments.DetectRoot()
	}
	host := instruments.NewHost(root)
	a.closers = append(a.closers, host.Close)
	if err := host.Check(); err != nil && !o.anyMachine {
		return nil, in(theMachine, err)
	}
	if host.ID() == "" {
		host.Identify(a.dir.identity(host.HardwareID()))
	}
	name := o.Config.Instruments.Host.Name
	if name == "" {
		name = host.Name()
	}
	// The SDK reports errors through one global handler.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { a.log.Warn("the OpenTelemetry SDK reported an error", "err", err) }))
	a.clock = clock.New(clock.Options{
		File: filepath.Join(o.Config.DataDir, clockFile), BootID: host.BootID(), Grain: max(o.Config.Sampling.Interval, time.Second),
		Wall: o.Wall, Boot: o.Boot, Log: a.log.With("component", "clock"),
	})
	a.closers = append(a.closers, a.clock.Close)
	if err := a.openHistory(o, name); err != nil {
		return nil, in(theHistory, err)
	}
	if err := a.openAccounts(o, host); err != nil {
		return nil, in(theAccounts, err)
	}
	if err := a.openReadings(o, host, name); err != nil {
		return nil, in(thePush, err)
	}
	a.memory = a.newMemory(o.Config, a.readings.resident, a.readings.sampler.Halve)
	if err := a.openAlerts(o, name); err != nil {
		return nil, err
	}
	if err := a.listen(o, host, name); err != nil {
		return nil, err
	}
	a.log.Info("sysotel started", "version", o.Version, "host", name, "root", root, "api", a.server.URL(), "data", o.Config.DataDir)
	return a, nil
}

// listen binds the API, the redirect to it and the scrape page.
func (a *App) listen(o Options, host *instruments.Host, name string) error {
	options := api.Options{
		Config: o.Config.API.HTTP, TLS: o.Config.API.TLS, TLSDir: filepath.Join(o.Config.DataDir, tlsDir),
		RateLimit: o.Config.API.RateLimit, Machine: a.readings.sampler, Health: a.health,
		Hostname: name, OS: host.OSDescription(), Version: o.Version, Interval: o.Config.Sampling.Interval,
		Socket:      filepath.Join(o.Config.DataDir, SocketName),
		MetricsPage: a.readings.exporter.Page, Logger: a.log,
		Auth: a.accounts.auth, Authenticate: a.accounts.required, ProxyLogin: o.Config.API.Auth.Proxy, Audit: a.accounts.audit.log,
		Settings: a.settings, Now: a.clock.Now,
	}
	if o.noSocket {
		options.Socket = ""
	}
	var err error
	if options.Web, err = dashboards.Web(); err != nil {
		return err
	}
	err = a.history.apiOptions(&options, o.Config)
	if err != nil {
		return err
	}
	a.addStorage(&options)
	a.started = options.Now()
	a.reloaded.succeed(a.started)
	a.addPrometheus(&options)
	a.alerts.apiOptions(&options)
	if a.server, err = api.New(options); err != nil {
		return in(theTLS, err)
	}
	if err := a.server.Listen(); err != nil {
		return in(theAPI, taken(err, o.Config.API.HTTP.Listen, "http.listen"))
	}
	a.closers = append(a.closers, a.server.Close)
	if address := o.Config.API.TLS.Redirect; address != "" {
		a.redirect = api.NewRedirect(address, o.Config.API.HTTP, a.server.Addr(), a.log)
		if err := a.redirect.Listen(); err != nil {
			return in(theRedirect, taken(err, address, "tls.redirect"))
		}
		a.closers = append(a.closers, a.redirect.Close)
		a.log.Info("redirecting plain HTTP to HTTPS", "address", a.redirect.Addr().String())
	}
	if o.Config.Export.Prometheus.Listen == "" {
		return nil
	}
	a.scrape = api.NewScrape(o.Config.Export.Prometheus.Listen, o.Config.Export.Prometheus.WebConfig, a.readings.exporter.Page, o.Config.API.RateLimit, a.log)
	err = a.scrape.Listen()
	switch {
	case err == nil:
		a.closers = append(a.closers, a.scrape.Close)
		return nil
	case o.Config.Where("prometheus.listen") == "" && errors.Is(err, api.ErrPortTaken):
		// node_exporter listens on 9100 too; here the port is only the default.
		a.log.Warn("the scrape page has no port of its own, which is taken; scrape /metrics of the API instead",
			"err", taken(err, o.Config.Export.Prometheus.Listen, "prometheus.listen"), "page", a.server.URL()+"/metrics")
		a.scrape = nil
		return nil
	}
	return in(thePage, taken(err, o.Config.Export.Prometheus.Listen, "prometheus.listen"))
}

// taken is the error of a port in use: it names the option and, if known, the program
// that holds the port.
func taken(err error, address, option string) error {
	if !errors.Is(err, api.ErrPortTaken) {
		return fmt.Errorf("%s: %w", option, err)
	}
	_, port, _ := net.SplitHostPort(address)
	holder := "another program"
	if who := portowner.Find(port); who != "" {
		holder = who
	}
	flag := "--" + strings.ReplaceAll(option, "_", "-")
	return fmt.Errorf("%s: port %s is taken by %s; choose another with %s HOST:PORT", option, port, holder, flag)
}

// Start starts all components and returns.
func (a *App) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	a.mu.Lock()
	a.cancel = cancel
	a.mu.Unlock()
	a.history.start(func(name string, f func(context.Context) error) { a.run(ctx, name, f) })
	a.alerts.start(func(name string, f func(context.Context) error) { a.run(ctx, name, f) })
	if a.orphans {
		a.run(ctx, "orphans", commands.Reap)
	}
	a.run(ctx, "data directory", a.dir.watch)
	if a.history.records != nil {
		a.run(ctx, "health events", a.watchHealth)
	}
	a.run(ctx, "clock", a.clock.Run)
	a.run(ctx, "accounts", a.accounts.auth.Run)
	a.run(ctx, "sampler", a.readings.run)
	a.run(ctx, "memory", a.memory.run)
	a.run(ctx, "api", a.server.Run)
	if a.redirect != nil {
		a.run(ctx, "redirect to https", a.redirect.Run)
	}
	if a.scrape != nil {
		a.run(ctx, "prometheus page", a.scrape.Run)
	}
	a.printSetupLink()
}

func (a *App) run(ctx context.Context, name string, f func(context.Context) error) {
	a.running.Go(func() {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			a.failed <- fmt.Errorf("%s: %w", name, err)
		}
	})
}

// Failed delivers the error of a component that ended by itself.
func (a *App) Failed() <-chan error { return a.failed }

// Stop sends what is queued and stops every component, within 5 seconds in total. A
// second call does nothing.
func (a *App) Stop() error {
	a.mu.Lock()
	if a.stopped {
		a.mu.Unlock()
		return nil
	}
	a.stopped = true
	cancel := a.cancel
	a.mu.Unlock()

	ctx, done := context.WithTimeout(context.Background(), stopLimit)
	defer done()
	if cancel != nil {
		cancel()
	}
	ended := make(chan struct{})
	go func() { a.running.Wait(); close(ended) }()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		err = errors.New("a component did not stop in time")
	}
	err = errors.Join(err, a.readings.shutdown(ctx), a.close())
	a.log.Info("stopped")
	return err
}

// close undoes New, in reverse order.
func (a *App) close() error {
	var errs []error
	for _, c := range slices.Backward(a.closers) {
		errs = append(errs, c())
	}
	a.closers = nil
	return errors.Join(errs...)
}

// health returns all components for the API.
func (a *App) health() []health.Component {
	parts := slices.Concat([]health.Component{a.dir.health(), a.reloaded.health()}, a.readings.health(), []health.Component{a.memory.health()}, a.history.health(), a.alerts.health(), a.accounts.health(), []health.Component{a.clock.Health()}, a.server.Health())
	if a.scrape != nil {
		parts = append(parts, a.scrape.Health()...)
	}
	if a.written != nil {
		parts = append(parts, a.written.health())
	}
	for i := range parts {
		parts[i].Since = a.believed(parts[i].Since)
	}
	return parts
}

// Tick is the number of the newest complete tick, 0 before the first.
func (a *App) Tick() uint64 {
	tick, _, _ := a.readings.sampler.Tick()
	return tick
}

// Summary is the agent's status in a line: that of the first component that is not well.
func (a *App) Summary() string {
	parts := a.health()
	for _, status := range []health.Status{health.Failed, health.Degraded} {
		if i := slices.IndexFunc(parts, func(c health.Component) bool { return c.Status == status }); i >= 0 {
			return fmt.Sprintf("%s: %s: %s", status, parts[i].Name, parts[i].Reason)
		}
	}
	return string(health.OK)
}

// believed is a time of the wall clock by the clock that is believed: it is as long ago.
// One without a monotonic part is by that clock already.
func (a *App) believed(t time.Time) time.Time {
	if t.IsZero() || t == t.Round(0) {
		return t
	}
	return a.clock.Now().Add(-time.Since(t)).Round(0)
}

// settings returns the effective configuration.
func (a *App) settings() []api.Setting {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.config.Settings()
}
