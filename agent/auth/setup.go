package auth

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

// setupFor is the lifetime of a setup code.
const setupFor = 15 * time.Minute

// setupCode is the digest of the code of the first setup. It is in memory only: a
// restarted agent prints another.
type setupCode struct {
	mu    sync.Mutex // protects what follows
	hash  digest
	until time.Time // zero: there is no code
}

// check refuses a wrong or expired code.
func (c *setupCode) check(code string, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until.IsZero() || !c.hash.is(digestOf([]byte(code))) {
		return ErrDenied
	}
	if !now.Before(c.until) {
		return ErrExpired
	}
	return nil
}

// set replaces the code.
func (c *setupCode) set(hash digest, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hash, c.until = hash, until
}

// NeedsSetup reports whether there is no administrator. If the accounts are damaged that
// is unknown, and no stranger may become one.
func (a *Auth) NeedsSetup() bool { return a.locked.Load() == nil && a.current.Load().admins() == 0 }

// NewSetupCode creates the code for the first administrator. It is valid for 15
// minutes and once, and replaces the code before it.
func (a *Auth) NewSetupCode() (code string, until time.Time, err error) {
	if !a.NeedsSetup() {
		return "", time.Time{}, ErrSetupDone
	}
	a.followNow() // The code is not older than this.
	code, until = rand.Text(), a.now().Add(setupFor)
	a.code.set(digestOf([]byte(code)), until)
	return code, until, nil
}

// Setup creates the first administrator and logs them in. An invalid name or password
// does not use up the code. Of two concurrent calls one succeeds, the other returns
// ErrSetupDone.
func (a *Auth) Setup(ctx context.Context, code, name, password string) (Grant, error) {
	if !a.NeedsSetup() {
		return Grant{}, ErrSetupDone
	}
	if err := a.code.check(code, a.now()); err != nil {
		return Grant{}, err
	}
	row, err := a.newUser(ctx, name, password, Admin)
	if err != nil {
		return Grant{}, err
	}
	var on begun
	err = a.change(func(next *accounts) error {
		if next.admins() != 0 {
			return ErrSetupDone
		}
		if err := a.code.check(code, a.now()); err != nil { // replaced in between
			return err
		}
		if err := next.addUser(row); err != nil {
			return err
		}
		on = a.begin(next, next.user(row.ID))
		return nil
	})
	if err != nil {
		return Grant{}, err
	}
	a.code.set(digest{}, time.Time{})
	return a.grant(on)
}
