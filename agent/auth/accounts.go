package auth

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// format is the version of both files.
const format = 1

// Limits. A new session replaces the user's oldest one, or the oldest of all; a user
// or a token beyond the limit is refused.
const (
	maxUsers           = 1_000
	maxTokens          = 1_000
	maxSessions        = 10_000
	maxSessionsOfAUser = 50
)

// keepExpired is how long an expired token stays listed, and is refused as expired
// instead of unknown.
const keepExpired = 30 * day

// accounts is the content of the file.
type accounts struct {
	Format int `json:"format"`
	// Step is the newest step of the clock that the times follow.
	Step     uint64       `json:"step,omitempty"`
	Users    []userRow    `json:"users"`
	Sessions []sessionRow `json:"sessions"` // oldest first
	Tokens   []tokenRow   `json:"tokens"`
}

type userRow struct {
	ID              string       `json:"id"`
	Name            string       `json:"name"`
	Role            Role         `json:"role"`
	Password        passwordHash `json:"password"`
	Created         time.Time    `json:"created"`
	PasswordChanged time.Time    `json:"password_changed"`
	LastLogin       time.Time    `json:"last_login,omitzero"`
}

// sessionRow is a session. Family is the digest of what all its refresh tokens
// share, Newest that of the rest of the last one.
type sessionRow struct {
	ID      string    `json:"id"`
	User    string    `json:"user"`
	Family  digest    `json:"family"`
	Newest  digest    `json:"newest"`
	Created time.Time `json:"created"`
	Until   time.Time `json:"until"`
	// before is the digest of the token before the newest, and refreshed is when that
	// was exchanged. Only memory has them.
	before    digest
	refreshed time.Time
}

type tokenRow struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Role     Role      `json:"role"`
	Secret   digest    `json:"secret"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"`
	// used is the last use in Unix seconds, set by Verify before LastUsed is. All
	// copies of the row share it.
	used *atomic.Int64
}

// expired reports whether a token has expired.
func (t *tokenRow) expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// copy returns a copy to change, with the last uses of all tokens.
func (c *accounts) copy() *accounts {
	next := &accounts{Format: format, Step: c.Step, Users: slices.Clone(c.Users), Sessions: slices.Clone(c.Sessions), Tokens: slices.Clone(c.Tokens)}
	for i := range next.Tokens {
		if used := next.Tokens[i].used.Load(); used != 0 {
			next.Tokens[i].LastUsed = time.Unix(used, 0).UTC()
		}
	}
	return next
}

// user returns the user with an id, or nil. The pointer is into c.
func (c *accounts) user(id string) *userRow {
	if i := slices.IndexFunc(c.Users, func(u userRow) bool { return u.ID == id }); i >= 0 {
		return &c.Users[i]
	}
	return nil
}

// session returns the session with an id, or nil. The pointer is into c.
func (c *accounts) session(id string) *sessionRow {
	if i := slices.IndexFunc(c.Sessions, func(s sessionRow) bool { return s.ID == id }); i >= 0 {
		return &c.Sessions[i]
	}
	return nil
}

// admins returns the number of administrators.
func (c *accounts) admins() (n int) {
	for i := range c.Users {
		if c.Users[i].Role == Admin {
			n++
		}
	}
	return n
}

// endSessions ends the sessions of a user, except those to keep.
func (c *accounts) endSessions(user string, keep ...string) {
	c.Sessions = slices.DeleteFunc(c.Sessions, func(s sessionRow) bool { return s.User == user && !slices.Contains(keep, s.ID) })
}

// forget removes what has expired.
func (c *accounts) forget(now time.Time) {
	c.Sessions = slices.DeleteFunc(c.Sessions, func(s sessionRow) bool { return !now.Before(s.Until) })
	c.Tokens = slices.DeleteFunc(c.Tokens, func(t tokenRow) bool { return t.expired(now.Add(-keepExpired)) })
}

// check refuses content that no version of this program writes.
func (c *accounts) check() error {
	seen := map[string]bool{}
	once := func(kind, key string) error {
		if key == "" || seen[kind+key] {
			return fmt.Errorf("the %s %q is empty or duplicated", kind, key)
		}
		seen[kind+key] = true
		return nil
	}
	mayHave := func(role Role) error {
		_, err := ParseRole(role.String())
		return err
	}
	for _, u := range c.Users {
		if err := errors.Join(once("user", u.ID), once("user name", fold(u.Name)), checkName(u.Name), mayHave(u.Role)); err != nil {
			return err
		}
		if len(u.Password.key) == 0 {
			return fmt.Errorf("user %q has no password", u.Name)
		}
	}
	for _, s := range c.Sessions {
		if err := errors.Join(once("session", s.ID), once("refresh token", string(s.Family[:]))); err != nil {
			return err
		}
		if !seen["user"+s.User] {
			return fmt.Errorf("session %q belongs to no user", s.ID)
		}
	}
	for _, t := range c.Tokens {
		if err := errors.Join(once("token", t.ID), once("token name", fold(t.Name)), once("token secret", string(t.Secret[:])), checkName(t.Name), mayHave(t.Role)); err != nil {
			return err
		}
	}
	return nil
}
