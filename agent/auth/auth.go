// Package auth authenticates callers: users and their passwords, sessions, access
// and API tokens, and the first setup. It knows no HTTP; what a role may do is
// decided where operations are registered.
//
// Accounts are one JSON file that is written atomically, and not rows of the records
// database: they are few, each request needs them in memory, they must survive damage
// to the records, and they must exist without a store. In memory they are an [index]
// that is never changed, only replaced, so that Verify never waits for the disk.
//
// Read accounts.go first, for what is kept, then change.go, for how it changes.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sysotel/agent/atomicfile"
	"sysotel/agent/clock"
)

// Names of the files.
const (
	accountsFile = "accounts.json"
	// copyFile is written after accountsFile, and read if that is damaged.
	copyFile     = "accounts.copy"
	keysFile     = "keys.json"
	brokenSuffix = ".broken-"
)

// Options configure Open.
type Options struct {
	// Dir is the directory of the files, created with mode 0700 if it is missing.
	Dir string
	// Issuer is the identity of this agent. Each access token carries it, so that
	// those of other hosts are refused.
	Issuer string
	// AccessTTL is the lifetime of an access token, 15 minutes if it is 0. SessionTTL
	// is the lifetime of a session from login, however often it is refreshed, 30 days
	// if it is 0.
	AccessTTL, SessionTTL time.Duration
	// Clock decides what time it is; without it, which is for tests and for commands, Now
	// does, and time.Now if that is nil too.
	Clock *clock.Judge
	Now   func() time.Time
	Log   *slog.Logger
}

// Auth holds the accounts. Its methods are safe for concurrent use.
type Auth struct {
	dir, issuer           string
	accessTTL, sessionTTL time.Duration
	clock                 func() time.Time
	judge                 *clock.Judge // nil without one
	log                   *slog.Logger
	hasher                *hasher
	parser                *jwt.Parser

	// current are the accounts; a loaded index may be read for ever.
	current atomic.Pointer[index]
	// keys sign access tokens; they are only replaced too.
	keys atomic.Pointer[keyring]
	seen seen
	code setupCode

	// locked is why the accounts are unknown; nil if they are known.
	locked atomic.Pointer[error]

	// writing is held while the accounts or the keys are replaced. It protects
	// unwritten, why the file lacks the newest sessions, stale, why the keys could not
	// be rotated, and restored, what was damaged and is whole again.
	writing          sync.Mutex
	unwritten, stale error
	restored         string
	// filed is the step of the clock that the file follows; setBack is set if one after it
	// went back when the file was read.
	filed   uint64
	setBack bool
	// trouble is what Trouble returns.
	trouble atomic.Pointer[string]
}

// Open reads the accounts and the keys, or creates them, whatever the state of the disk.
// Damaged accounts are never replaced by empty ones: that would open the first setup to
// anyone. An error are only files of a newer version, or of another user.
func Open(o Options) (*Auth, error) {
	if o.Issuer == "" {
		return nil, errors.New("open the accounts: Issuer is empty")
	}
	if o.AccessTTL <= 0 {
		o.AccessTTL = 15 * time.Minute
	}
	if o.SessionTTL <= 0 {
		o.SessionTTL = 30 * day
	}
	if o.Clock != nil {
		o.Now = o.Clock.Now
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the accounts: %w", err)
	}
	a := &Auth{
		dir: dir, issuer: o.Issuer, accessTTL: o.AccessTTL, sessionTTL: o.SessionTTL,
		clock: o.Now, judge: o.Clock, log: o.Log, hasher: newHasher(),
	}
	a.parser = a.newParser()
	if err := a.open(); err != nil {
		return nil, fmt.Errorf("open the accounts: %w", err)
	}
	return a, nil
}

// open opens the directory and the files.
func (a *Auth) open() error {
	defer a.tell()
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		a.log.Warn("cannot make the directory of the accounts", "err", err)
	} else if err := a.keepOthersOut(a.dir, 0o022, "change", 0o700); err != nil {
		return err
	}
	for _, name := range []string{accountsFile, copyFile, keysFile} {
		if err := atomicfile.RemoveUnfinished(filepath.Join(a.dir, name)); err != nil {
			a.log.Warn("cannot remove an unfinished file of the accounts", "err", err)
		}
	}
	if err := a.openAccounts(); err != nil {
		return err
	}
	return a.openKeys()
}

// Trouble says in a sentence what the accounts cannot do; empty if nothing.
func (a *Auth) Trouble() string {
	if s := a.trouble.Load(); s != nil {
		return *s
	}
	return ""
}

// tell updates what Trouble returns. The caller holds writing, or is Open.
func (a *Auth) tell() {
	var all []string
	if locked := a.locked.Load(); locked != nil {
		all = append(all, fmt.Sprintf("the accounts are damaged (%v): nobody can log in; %s", *locked, remedy))
	}
	if a.unwritten != nil {
		all = append(all, fmt.Sprintf("users can log in, their sessions are kept in memory and lost at a stop, and nothing else can be changed: %v", a.unwritten))
	}
	if a.stale != nil {
		all = append(all, fmt.Sprintf("the keys of access tokens cannot be written: %v", a.stale))
	}
	if a.restored != "" {
		all = append(all, a.restored)
	}
	text := strings.Join(all, "; ")
	a.trouble.Store(&text)
}

// now returns the time in UTC and whole seconds, as in the file and in access tokens.
func (a *Auth) now() time.Time { return a.clock().UTC().Truncate(time.Second) }

// tidyEvery is how often Run removes what has expired, retryEvery how often it looks at
// the clock and tries again what could not be read or written.
const (
	tidyEvery  = time.Minute
	retryEvery = 5 * time.Second
)

const day = 24 * time.Hour

// Run follows the clock, rotates keys, removes what has expired, retries failed writes,
// and frees the memory of logins, until ctx ends.
func (a *Auth) Run(ctx context.Context) error {
	tick, retry := time.NewTicker(tidyEvery), time.NewTicker(retryEvery)
	defer tick.Stop()
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-retry.C:
			a.followNow()
			if a.Trouble() != "" || !a.has(accountsFile) {
				a.tryAgain()
			}
		case <-tick.C:
			a.tryAgain()
			a.hasher.giveBack()
		}
	}
}

// tryAgain reads and writes what could not be, and removes what has expired.
func (a *Auth) tryAgain() {
	a.unlock()
	a.followNow()
	a.rotate()
	a.tidy()
	a.writing.Lock()
	defer a.writing.Unlock()
	a.tell()
}

// Close writes the last uses of tokens.
func (a *Auth) Close() error {
	if !a.untidy() {
		return nil
	}
	return a.change(func(*accounts) error { return nil })
}
