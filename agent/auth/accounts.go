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

// The most that is kept. A user's oldest session, or the oldest of all, makes room
// for a new one; for a user or a token too many there is no room.
const (
	maxUsers           = 1_000
	maxTokens          = 1_000
	maxSessions        = 10_000
	maxSessionsOfAUser = 50
)

// keepExpired is how long a token is still listed, and refused as expired and not
// as unknown, after it has expired.
const keepExpired = 30 * day

// accounts is the file.
type accounts struct {
	Format   int          `json:"format"`
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

// sessionRow is a session. Family is of what all its refresh tokens share, Newest
// of what only the last one has.
type sessionRow struct {
	ID      string    `json:"id"`
	User    string    `json:"user"`
	Family  digest    `json:"family"`
	Newest  digest    `json:"newest"`
	Created time.Time `json:"created"`
	Until   time.Time `json:"until"`
}

type tokenRow struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Role     Role      `json:"role"`
	Secret   digest    `json:"secret"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"`
	// used is LastUsed in Unix seconds and ahead of it: Verify sets it. All copies
	// of the row share it.
	used *atomic.Int64
}

// expired says whether a token has come to its end.
func (t *tokenRow) expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// copy is a copy to change, with the last uses of all tokens.
func (c *accounts) copy() *accounts {
	next := &accounts{Format: format, Users: slices.Clone(c.Users), Sessions: slices.Clone(c.Sessions), Tokens: slices.Clone(c.Tokens)}
	for i := range next.Tokens {
		if used := next.Tokens[i].used.Load(); used != 0 {
			next.Tokens[i].LastUsed = time.Unix(used, 0).UTC()
		}
	}
	return next
}

// user is the user of an id, nil for none. The pointer is into the copy.
func (c *accounts) user(id string) *userRow {
	if i := slices.IndexFunc(c.Users, func(u userRow) bool { return u.ID == id }); i >= 0 {
		return &c.Users[i]
	}
	return nil
}

// session is the session of an id, nil for none. The pointer is into the copy.
func (c *accounts) session(id string) *sessionRow {
	if i := slices.IndexFunc(c.Sessions, func(s sessionRow) bool { return s.ID == id }); i >= 0 {
		return &c.Sessions[i]
	}
	return nil
}

// admins is how many administrators there are.
func (c *accounts) admins() (n int) {
	for i := range c.Users {
		if c.Users[i].Role == Admin {
			n++
		}
	}
	return n
}

// endSessions ends the sessions of a user that are not to be kept.
func (c *accounts) endSessions(user string, keep ...string) {
	c.Sessions = slices.DeleteFunc(c.Sessions, func(s sessionRow) bool { return s.User == user && !slices.Contains(keep, s.ID) })
}

// forget drops what has expired.
func (c *accounts) forget(now time.Time) {
	c.Sessions = slices.DeleteFunc(c.Sessions, func(s sessionRow) bool { return !now.Before(s.Until) })
	c.Tokens = slices.DeleteFunc(c.Tokens, func(t tokenRow) bool { return t.expired(now.Add(-keepExpired)) })
}

// check refuses what no version of this program writes.
func (c *accounts) check() error {
	seen := map[string]bool{}
	once := func(kind, key string) error {
		if key == "" || seen[kind+key] {
			return fmt.Errorf("the %s %q is empty or stands there twice", kind, key)
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
			return fmt.Errorf("session %q is of no user", s.ID)
		}
	}
	for _, t := range c.Tokens {
		if err := errors.Join(once("token", t.ID), once("token name", fold(t.Name)), once("token secret", string(t.Secret[:])), checkName(t.Name), mayHave(t.Role)); err != nil {
			return err
		}
	}
	return nil
}
