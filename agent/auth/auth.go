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
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sysotel/agent/atomicfile"
)

// Names of the files.
const (
	accountsFile = "accounts.json"
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
	// Now is the clock, time.Now if it is nil.
	Now func() time.Time
	Log *slog.Logger
}

// Auth holds the accounts. Its methods are safe for concurrent use.
type Auth struct {
	dir, issuer           string
	accessTTL, sessionTTL time.Duration
	clock                 func() time.Time
	log                   *slog.Logger
	hasher                *hasher
	parser                *jwt.Parser

	// current are the accounts; a loaded index may be read for ever.
	current atomic.Pointer[index]
	// keys sign access tokens; they are only replaced too.
	keys atomic.Pointer[keyring]
	seen seen
	code setupCode

	// writing is held while the accounts or the keys are replaced. It protects
	// unwritten, why the file lacks the newest sessions, and stale, why the keys could
	// not be rotated.
	writing          sync.Mutex
	unwritten, stale error
}

// Open reads the accounts and the keys, or creates them. Damaged accounts are an
// error and never replaced: that would open the first setup to anyone.
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
		clock: o.Now, log: o.Log, hasher: newHasher(),
	}
	a.parser = a.newParser()
	if err := a.open(); err != nil {
		return nil, fmt.Errorf("open the accounts: %w", err)
	}
	return a, nil
}

// open opens the directory and the files.
func (a *Auth) open() error {
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	if err := refuseOthers(a.dir, 0o022, "be changed", "700"); err != nil {
		return err
	}
	for _, name := range []string{accountsFile, keysFile} {
		if err := atomicfile.RemoveUnfinished(filepath.Join(a.dir, name)); err != nil {
			return err
		}
	}
	if err := a.openAccounts(); err != nil {
		return err
	}
	return a.openKeys()
}

// now returns the time in UTC and whole seconds, as in the file and in access tokens.
func (a *Auth) now() time.Time { return a.clock().UTC().Truncate(time.Second) }

// tidyEvery is how often Run removes what has expired.
const tidyEvery = time.Minute

const day = 24 * time.Hour

// Run rotates keys, removes what has expired, retries failed writes, and frees the
// memory of logins, until ctx ends.
func (a *Auth) Run(ctx context.Context) error {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.rotate()
			a.tidy()
			a.hasher.giveBack()
		}
	}
}

// Close writes the last uses of tokens.
func (a *Auth) Close() error {
	if !a.untidy() {
		return nil
	}
	return a.change(func(*accounts) error { return nil })
}
