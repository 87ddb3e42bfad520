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
	"sysotel/api"
	"sysotel/instruments"
)

// The folders of users and tokens, and of what they did, in the data directory.
const (
	authDir   = "auth"
	auditDir  = "log"
	auditFile = "audit.jsonl"
)

// accounts is who may ask, and the log of what they did.
type accounts struct {
	auth *auth.Auth
	// required tells whether callers must log in.
	required bool
	audit    *auditLog
}

// openAccounts opens both. Users and tokens are there where nobody needs to log
// in too, so that they can be made before others can reach the agent.
func (a *App) openAccounts(o Options, host *instruments.Host) error {
	audit, err := openAudit(filepath.Join(o.Config.DataDir, auditDir))
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	a.closers = append(a.closers, audit.file.Close)
	opened, err := auth.Open(auth.Options{
		Dir: filepath.Join(o.Config.DataDir, authDir), Issuer: "sysotel/" + host.ID(),
		AccessTTL: o.Config.API.Auth.AccessTTL, SessionTTL: o.Config.API.Auth.SessionTTL,
		Log: a.log.With("part", "accounts"),
	})
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	a.closers = append(a.closers, opened.Close)
	a.accounts = accounts{auth: opened, required: o.Config.API.Authenticates(), audit: audit}
	return nil
}

// printSetupLink tells the person who started the agent how the first
// administrator is made. The link is a key, so that it goes to no log.
func (a *App) printSetupLink() {
	if !a.accounts.required || !a.accounts.auth.NeedsSetup() {
		return
	}
	code, until, err := a.accounts.auth.NewSetupCode()
	if err != nil {
		a.log.Error("no set-up link could be made; sysotel user add NAME --role admin makes the first administrator", "err", err)
		return
	}
	a.log.Warn("there is no administrator yet; the set-up link is on standard output", "until", until.Truncate(time.Second))
	if a.out != nil {
		_, _ = fmt.Fprintf(a.out, "sysotel: make the first administrator within %d minutes: %s\n",
			int(time.Until(until).Round(time.Minute).Minutes()), a.server.SetupLink(code))
	}
}

// health are the parts of the accounts.
func (c *accounts) health() []api.Part {
	users := api.Part{Name: "accounts", Status: api.OK}
	if c.required && c.auth.NeedsSetup() {
		users.Reason = "there is no administrator yet"
	}
	return []api.Part{users, c.audit.health()}
}

// auditLog writes what was done and refused, one JSON line each. slog swallows
// what goes wrong in writing, so the file is asked through here.
type auditLog struct {
	log  *slog.Logger
	file *lumberjack.Logger

	mu     sync.Mutex
	err    error
	failed time.Time // When writing first failed; zero while it goes well.
}

// openAudit opens the log in a directory, which it makes. lumberjack opens the
// file at the first line and gives it mode 0600.
func openAudit(dir string) (*auditLog, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	a := &auditLog{file: &lumberjack.Logger{Filename: filepath.Join(dir, auditFile), MaxSize: 10, MaxBackups: 10, Compress: true}}
	a.log = slog.New(slog.NewJSONHandler(a, &slog.HandlerOptions{ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
		if len(groups) == 0 && (attr.Key == slog.LevelKey || attr.Key == slog.MessageKey) {
			return slog.Attr{} // Every line is one of this log, and none is more than another.
		}
		return attr
	}}))
	return a, nil
}

// Write implements io.Writer for the handler.
func (a *auditLog) Write(line []byte) (int, error) {
	n, err := a.file.Write(line)
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

// health tells whether the last line could be written.
func (a *auditLog) health() api.Part {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		return api.Part{Name: "audit", Status: api.OK}
	}
	return api.Part{Name: "audit", Status: api.Degraded, Reason: "the audit log cannot be written: " + a.err.Error(), Since: a.failed}
}

// backupAccounts copies the users, tokens and keys into a directory. Each file is
// replaced as a whole when it changes, so that a copy of it is whole too.
func backupAccounts(from, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".json" || !entry.Type().IsRegular() {
			continue // A file in the making.
		}
		content, err := os.ReadFile(filepath.Join(from, entry.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, entry.Name()), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
