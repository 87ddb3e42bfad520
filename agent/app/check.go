package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"sysotel/agent/config"
	"sysotel/agent/export"
	"sysotel/api"
	"sysotel/instruments"
	custom "sysotel/instruments/command"
)

// part is a part of the agent that New opens, and that the others can do without.
type part int

const (
	theFiles part = iota
	theMachine
	theHistory
	theAccounts
	thePush
	theChannels
	theRules
	theTLS
	theAPI
	theRedirect
	thePage
	parts // their number
)

// partError is an error of one part.
type partError struct {
	part part
	err  error
}

func in(p part, err error) error { return &partError{p, err} }

// Error implements error.
func (e *partError) Error() string { return e.err.Error() }

// Unwrap is for package errors.
func (e *partError) Unwrap() error { return e.err }

// leaveOut makes New go on without a part.
func (o *Options) leaveOut(p part) {
	c, defaults := &o.Config, config.Defaults()
	switch p {
	case theFiles:
		o.anyFiles = true
	case theMachine:
		o.anyMachine = true
	case theHistory:
		_ = errors.Join(os.RemoveAll(filepath.Join(c.DataDir, storeDir)), os.RemoveAll(filepath.Join(c.DataDir, recordsDir)))
		c.Store = defaults.Store
	case theAccounts:
		_ = os.RemoveAll(filepath.Join(c.DataDir, authDir))
	case thePush:
		c.Export.OTLP = defaults.Export.OTLP
	case theChannels:
		c.Alerting.Notify = defaults.Alerting.Notify
		c.Alerting.Rules.Thresholds, c.Alerting.Rules.Rules = nil, nil // They name channels.
	case theRules:
		_ = os.RemoveAll(filepath.Join(c.DataDir, alertingDir))
		c.Alerting.Rules.Thresholds, c.Alerting.Rules.Rules = nil, nil
	case theTLS:
		_ = os.RemoveAll(filepath.Join(c.DataDir, tlsDir))
		c.API.TLS = defaults.API.TLS
	case theAPI:
		c.API.HTTP.Listen = anyPort
	case theRedirect:
		c.API.TLS.Redirect = ""
	case thePage:
		c.Export.Prometheus.Listen = ""
	}
}

// anyPort is an address that is never taken.
const anyPort = "127.0.0.1:0"

// Check opens what New opens, with the same code, and closes it again: ports, files,
// certificates, secrets and rules. It starts nothing, and leaves the data directory as it
// was; what New would write there goes to a temporary one. The errors are why the agent
// cannot start, one of each part; warnings are what it would miss. Where an agent runs on
// the data directory already, its addresses are not opened.
func Check(o Options) (warnings []string, errs []error) {
	heard := &listener{}
	o.Log = slog.New(heard)
	if o.Config.Log.File != "" {
		_, before := os.Lstat(o.Config.Log.File)
		if err := tryLogFile(o.Config.Log.File); err != nil {
			errs = append(errs, fmt.Errorf("log.file: %w", err))
		}
		if errors.Is(before, fs.ErrNotExist) {
			_ = os.Remove(o.Config.Log.File) // Of another user it would stop the agent.
		}
		o.Config.Log.File = ""
	}
	held := false
	dir, err := os.MkdirTemp("", "sysotel-check-")
	if err != nil {
		return nil, append(errs, fmt.Errorf("make a temporary data directory: %w", err))
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if o.Config.DataDir != "" {
		whole, err := filepath.Abs(o.Config.DataDir)
		if err == nil {
			held, err = tryDirectory(whole, o.Log)
		} else {
			err = fmt.Errorf("data_dir: %w", err)
		}
		if err != nil {
			errs = append(errs, err)
		}
		if err := api.CheckSocketPath(filepath.Join(whole, SocketName)); err != nil {
			errs = append(errs, err)
		}
		copyFormats(whole, dir)
		if held {
			o.Log.Warn("an agent runs on the data directory, so its addresses were not opened", "path", whole)
		}
	}
	o.Config.DataDir, o.noSocket = dir, true
	if held {
		for _, address := range []*string{&o.Config.API.HTTP.Listen, &o.Config.API.TLS.Redirect, &o.Config.Export.Prometheus.Listen} {
			if host, _, err := net.SplitHostPort(*address); err == nil {
				*address = net.JoinHostPort(host, "0")
			}
		}
	}
	for range parts + 1 {
		a, err := New(o)
		if err == nil {
			err = a.Stop()
		}
		if err == nil {
			break
		}
		errs = append(errs, err)
		var of *partError
		if !errors.As(err, &of) {
			break
		}
		o.leaveOut(of.part)
	}
	warnings = heard.said()
	if len(errs) == 0 {
		warnings = append(warnings, checkSources(o.Config)...)
	}
	return warnings, errs
}

// copyFormats copies the small files that can stop a start: of a later version, or
// damaged. Databases are not among them.
func copyFormats(from, to string) {
	const most = 1 << 20
	for _, pattern := range []string{storeDir + "/format", authDir + "/*.json", alertingDir + "/*.json", tlsDir + "/*"} {
		found, _ := filepath.Glob(filepath.Join(from, pattern)) // The pattern is valid.
		for _, path := range found {
			info, err := os.Stat(path)
			if err != nil || !info.Mode().IsRegular() || info.Size() > most {
				continue
			}
			content, err := os.ReadFile(path)
			if err != nil {
				continue // A file that cannot be read is found by the check of permissions.
			}
			name := strings.TrimPrefix(path, from)
			if os.MkdirAll(filepath.Join(to, filepath.Dir(name)), 0o700) == nil {
				_ = os.WriteFile(filepath.Join(to, name), content, 0o600) // Then New does not see it.
			}
		}
	}
}

// checkSources reads the sources of custom metrics as the collector does, but only looks
// for the programs of commands.
func checkSources(c config.Config) (warnings []string) {
	for _, one := range c.Instruments.Custom.Commands {
		if err := custom.Find(one); err != nil {
			warnings = append(warnings, fmt.Sprintf("custom.commands: %s cannot run: %v", one.Name, err))
		}
	}
	c.Instruments.Custom.Commands = nil
	collectors := instruments.NewCollectors(c.Instruments, func() instruments.AgentStats { return instruments.AgentStats{} })
	own, err := export.OwnNames(collectors, c.Instruments.Conventions, c.Export)
	if err != nil {
		return warnings // New says so.
	}
	instruments.Reserve(collectors, own)
	i := slices.IndexFunc(collectors, func(one instruments.Collector) bool { return one.Name() == "custom" })
	if i < 0 {
		return warnings
	}
	host := instruments.NewHost(c.Instruments.Host.Root)
	defer func() { _ = host.Close() }()
	reading, err := collectors[i].Read(context.Background(), host, instruments.Tick{Time: time.Now(), Seq: 1, Interval: time.Second})
	if err != nil {
		return warnings // There are none.
	}
	if partial, ok := reading.(instruments.Partial); ok {
		for _, missing := range partial.Missing() {
			warnings = append(warnings, "custom.textfile: "+missing.Subject+": "+missing.Reason)
		}
	}
	return warnings
}

// listener keeps what is logged as a warning or an error, each line once.
type listener struct {
	slog.Handler
	mu    sync.Mutex
	lines []string
}

// Enabled implements slog.Handler.
func (*listener) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// WithAttrs implements slog.Handler: what all lines of a component have is left out.
func (l *listener) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler.
func (l *listener) WithGroup(string) slog.Handler { return l }

// Handle implements slog.Handler.
func (l *listener) Handle(_ context.Context, r slog.Record) error {
	var facts []string
	r.Attrs(func(a slog.Attr) bool {
		facts = append(facts, a.Key+"="+a.Value.String())
		return true
	})
	line := r.Message
	if len(facts) > 0 {
		line += " (" + strings.Join(facts, ", ") + ")"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.lines, line) {
		l.lines = append(l.lines, line)
	}
	return nil
}

// said lists what was logged.
func (l *listener) said() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}
