package auth

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

// setupFor is how long a set-up code is good.
const setupFor = 15 * time.Minute

// setupCode is the hash of the code of the first set-up. It is kept in memory only:
// an agent that starts again prints another.
type setupCode struct {
	mu    sync.Mutex // protects what follows
	hash  digest
	until time.Time // zero: there is no code
}

// check refuses a code that is not the one, or no longer.
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

// NeedsSetup says whether there is no administrator.
func (a *Auth) NeedsSetup() bool { return a.current.Load().admins() == 0 }

// NewSetupCode makes the code with which the first administrator comes. It is good
// for 15 minutes and once, and the one before it is good no longer.
func (a *Auth) NewSetupCode() (code string, until time.Time, err error) {
	if !a.NeedsSetup() {
		return "", time.Time{}, ErrSetupDone
	}
	code, until = rand.Text(), a.now().Add(setupFor)
	a.code.set(digestOf([]byte(code)), until)
	return code, until, nil
}

// Setup makes the first administrator and logs him in. A name or a password that is
// refused does not use up the code. Of two at once one wins, the other gets
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
		if err := a.code.check(code, a.now()); err != nil { // replaced meanwhile
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
