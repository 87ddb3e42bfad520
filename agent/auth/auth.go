// Package auth says who may ask: users and their passwords, sessions, the tokens
// of both people and programs, and the first set-up. It knows no HTTP.
package auth

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Options say where accounts are kept and how long things live.
type Options struct {
	// Dir is the directory of the files, made with mode 0700 where it is missing.
	Dir string
	// Issuer is the identity of this agent. It goes into each access token and is
	// required of it, so that no other host's is taken.
	Issuer string
	// AccessTTL is how long an access token lives, SessionTTL how long a session
	// lives from log-in, however often it is refreshed. 0 means 15 minutes and 30 days.
	AccessTTL, SessionTTL time.Duration
	Now                   func() time.Time // nil means time.Now
	Log                   *slog.Logger     // nil discards
}

// Auth is the door-keeper.
type Auth struct{}

var errSkeleton = errors.New("auth: not built yet")

// Open reads the accounts and the keys.
func Open(o Options) (*Auth, error) { return nil, errSkeleton }

// Close gives everything back.
func (a *Auth) Close() error { return nil }

// Run rotates keys and forgets what has expired, until ctx ends.
func (a *Auth) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Verify says who the bearer of an access token or an API token is.
func (a *Auth) Verify(bearer string) (Identity, error) { return Identity{}, errSkeleton }

// NeedsSetup says whether there is no administrator yet.
func (a *Auth) NeedsSetup() bool { return true }

// NewSetupCode makes the code that the first administrator shows, valid once.
func (a *Auth) NewSetupCode() (code string, until time.Time, err error) {
	return "", time.Time{}, errSkeleton
}

// Setup makes the first administrator and logs him in.
func (a *Auth) Setup(ctx context.Context, code, name, password string) (Grant, error) {
	return Grant{}, errSkeleton
}

// Login begins a session.
func (a *Auth) Login(ctx context.Context, name, password string) (Grant, error) {
	return Grant{}, errSkeleton
}

// Refresh gives a session a new access token and a new refresh token.
func (a *Auth) Refresh(ctx context.Context, refresh string) (Grant, error) {
	return Grant{}, errSkeleton
}

// Logout ends a session.
func (a *Auth) Logout(session string) error { return errSkeleton }

// Users are all users, by name.
func (a *Auth) Users() []User { return nil }

// AddUser makes a user.
func (a *Auth) AddUser(ctx context.Context, name, password string, role Role) (User, error) {
	return User{}, errSkeleton
}

// SetRole gives a user another role.
func (a *Auth) SetRole(id string, role Role) (User, error) { return User{}, errSkeleton }

// SetPassword gives a user another password, without the old one.
func (a *Auth) SetPassword(ctx context.Context, id, password string) error { return errSkeleton }

// ChangePassword gives a user who knows his password another one.
func (a *Auth) ChangePassword(ctx context.Context, id, old, new string) error { return errSkeleton }

// RemoveUser removes a user and ends his sessions.
func (a *Auth) RemoveUser(id string) error { return errSkeleton }

// UserNamed finds a user by name.
func (a *Auth) UserNamed(name string) (User, bool) { return User{}, false }

// Tokens are all API tokens, by name.
func (a *Auth) Tokens() []Token { return nil }

// NewToken makes an API token. A ttl of 0 means that it never expires.
func (a *Auth) NewToken(name string, role Role, ttl time.Duration) (secret string, t Token, err error) {
	return "", Token{}, errSkeleton
}

// RevokeToken removes an API token.
func (a *Auth) RevokeToken(id string) error { return errSkeleton }
