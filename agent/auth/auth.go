// Package auth says who may ask: users and their passwords, sessions, the tokens
// of people and of programs, and the first set-up. It knows no HTTP, and what a
// role may do is decided where operations are registered.
//
// Accounts are one JSON file that is written whole, and not rows in the database
// of records: they are few, each request needs them in memory, they must outlive
// damage to the records, and they must exist where no store does. What is in
// memory is an [index] that is never changed, only replaced, so that Verify
// waits for no disk.
//
// Read accounts.go first, there stands what is kept; then change.go, how it is
// changed.
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

// Options say where accounts are kept and how long things live.
type Options struct {
	// Dir is the directory of the files, made with mode 0700 where it is missing.
	Dir string
	// Issuer is the identity of this agent. It goes into each access token and is
	// required of it, so that no other host's is taken.
	Issuer string
	// AccessTTL is how long an access token lives, 0 means 15 minutes. SessionTTL
	// is how long a session lives from log-in, however often it is refreshed; 0
	// means 30 days.
	AccessTTL, SessionTTL time.Duration
	// Now is the clock, time.Now where it is nil.
	Now func() time.Time
	Log *slog.Logger
}

// Auth knows the accounts. Its methods may be called by several goroutines.
type Auth struct {
	dir, issuer           string
	accessTTL, sessionTTL time.Duration
	clock                 func() time.Time
	log                   *slog.Logger
	hasher                *hasher
	parser                *jwt.Parser

	// current is what is known now; who has it may read it for ever.
	current atomic.Pointer[index]
	// keys sign access tokens; they too are only replaced.
	keys atomic.Pointer[keyring]
	seen seen
	code setupCode

	// writing is held by who replaces the accounts or the keys. It protects
	// unwritten, the reason why the file lacks the newest sessions, and stale, the
	// reason why the keys could not be rotated.
	writing          sync.Mutex
	unwritten, stale error
}

// Open reads the accounts and the keys, or makes them where there are none.
// Accounts that are damaged are an error and never begun anew by themselves: that
// would open the first set-up to whoever comes first.
func Open(o Options) (*Auth, error) {
	if o.Issuer == "" {
		return nil, errors.New("open the accounts: they need an issuer, the identity of this agent")
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

// open reads what Open opens.
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

// now is the time in UTC and whole seconds, as it is written and as access tokens
// carry it.
func (a *Auth) now() time.Time { return a.clock().UTC().Truncate(time.Second) }

// tidyEvery is how often Run looks at what has expired.
const tidyEvery = time.Minute

const day = 24 * time.Hour

// Run rotates keys, forgets what has expired, writes what could not be written
// before, and gives the memory of log-ins back, until ctx ends.
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

// Close writes when tokens were last used.
func (a *Auth) Close() error {
	if !a.untidy() {
		return nil
	}
	return a.change(func(*accounts) error { return nil })
}
