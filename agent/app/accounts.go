package app

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"sysotel/agent/auth"
	"sysotel/agent/health"
	"sysotel/instruments"
)

// The directories of accounts and of the audit log, in the data directory.
const (
	authDir   = "auth"
	auditDir  = "log"
	auditFile = "audit.jsonl"
)

// accounts holds users and tokens, and the audit log.
type accounts struct {
	auth *auth.Auth
	// required reports whether callers must log in.
	required bool
	audit    *auditLog
}

// openAccounts opens both, also if no login is required: users and tokens can be
// created before the agent is opened to the network.
func (a *App) openAccounts(o Options, host *instruments.Host) error {
	audit := openAudit(filepath.Join(o.Config.DataDir, auditDir))
	a.closers = append(a.closers, audit.file.Close)
	opened, err := auth.Open(auth.Options{
		Dir: filepath.Join(o.Config.DataDir, authDir), Issuer: "sysotel/" + host.ID(),
		AccessTTL: o.Config.API.Auth.AccessTTL, SessionTTL: o.Config.API.Auth.SessionTTL,
		Log: a.log.With("component", "accounts"), Clock: a.clock,
	})
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	a.closers = append(a.closers, opened.Close)
	a.accounts = accounts{auth: opened, required: o.Config.API.Authenticates(), audit: audit}
	a.history.accounts = opened
	return nil
}

// printSetupLink prints the link to create the first administrator. The link is a
// secret and must not be logged.
func (a *App) printSetupLink() {
	if !a.accounts.required || !a.accounts.auth.NeedsSetup() {
		return
	}
	code, until, err := a.accounts.auth.NewSetupCode()
	if err != nil {
		a.log.Error("cannot create a setup link; create the first administrator with sysotel user add NAME --role admin", "err", err)
		return
	}
	a.log.Warn("there is no administrator yet; open the setup link on standard output", "valid_until", until.Truncate(time.Second))
	if a.out != nil {
		_, _ = fmt.Fprintf(a.out, "sysotel: make the first administrator within %d minutes: %s\n",
			int(until.Sub(a.clock.Now()).Round(time.Minute).Minutes()), a.server.SetupLink(code))
	}
}

// health returns the components of the accounts.
func (c *accounts) health() []health.Component {
	users := health.Component{Name: "accounts", Status: health.OK}
	if c.required && c.auth.NeedsSetup() {
		users.Reason = "there is no administrator yet"
	}
	if trouble := c.auth.Trouble(); trouble != "" {
		users.Status, users.Reason = health.Degraded, trouble
	}
	return []health.Component{users, c.audit.health()}
}

// auditLog writes one JSON line for each change and refusal. It sits between slog,
// which ignores write errors, and the file, to report them in health.
type auditLog struct {
	log  *slog.Logger
	dir  string
	file *lumberjack.Logger

	mu     sync.Mutex
	err    error
	failed time.Time // when writing first failed; zero while it works
}

// openAudit opens the log in a directory. lumberjack creates both at the first line, the
// file with mode 0600.
func openAudit(dir string) *auditLog {
	a := &auditLog{dir: dir, file: &lumberjack.Logger{Filename: filepath.Join(dir, auditFile), MaxSize: 10, MaxBackups: 10, Compress: true}}
	a.log = slog.New(slog.NewJSONHandler(a, &slog.HandlerOptions{ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
		if len(groups) == 0 && (attr.Key == slog.LevelKey || attr.Key == slog.MessageKey) {
			return slog.Attr{} // They are the same on every line.
		}
		return attr
	}}))
	return a
}

// Write implements io.Writer for the handler.
func (a *auditLog) Write(line []byte) (int, error) {
	err := os.MkdirAll(a.dir, 0o700) // lumberjack would let others list it.
	n := 0
	if _, gone := os.Lstat(a.file.Filename); errors.Is(gone, fs.ErrNotExist) {
		_ = a.file.Close() // It was deleted: what is open is nowhere.
	}
	if err == nil {
		n, err = a.file.Write(line)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err == nil:
		a.failed = time.Time{}
	case a.failed.IsZero():
		a.failed = time.Now()
	}
	a.err = err
	return n, err
}

// health reports whether the last line could be written.
func (a *auditLog) health() health.Component {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		return health.Component{Name: "audit", Status: health.OK}
	}
	return health.Component{Name: "audit", Status: health.Degraded, Reason: "cannot write the audit log: " + a.err.Error(), Since: a.failed}
}
