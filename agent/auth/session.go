package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"time"
)

// A refresh token is random bytes in two parts. All tokens of a session share the
// first, the family, so that a used one is recognized without a hash of each. The
// second is new each time, and only the newest is valid. A client that knows the
// family has had a token of the session, so no one can end a session by guessing.
const (
	familyBytes = 16
	newestBytes = 32
)

// newRefresh returns a refresh token of a family and the digest of its second part.
func newRefresh(family []byte) (string, digest) {
	raw := make([]byte, familyBytes+newestBytes)
	copy(raw, family)
	_, _ = rand.Read(raw[familyBytes:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(raw), digestOf(raw[familyBytes:])
}

// Login starts a session. It returns ErrDenied for a wrong password and an unknown
// user alike, after the same work, and ErrBusy if ctx ends while it waits for other
// logins.
func (a *Auth) Login(ctx context.Context, name, password string) (Grant, error) {
	user, known := a.current.Load().names[fold(name)]
	hash := a.hasher.dummy()
	if known {
		hash = user.Password
	}
	fits, err := a.hasher.fits(ctx, hash, password)
	if err != nil {
		return Grant{}, err
	}
	if !known || !fits {
		return Grant{}, ErrDenied
	}
	renewed := hash
	if hash.cost != a.hasher.cost {
		if renewed, err = a.hasher.hash(ctx, password); err != nil {
			return Grant{}, err
		}
	}
	var on begun
	err = a.changeSessions(func(next *accounts) error {
		u := next.user(user.ID)
		if u == nil || !u.Password.same(hash) { // removed or changed meanwhile
			return ErrDenied
		}
		u.Password = renewed
		on = a.begin(next, u)
		return nil
	})
	if err != nil {
		return Grant{}, err
	}
	return a.grant(on)
}

// begun is a session that was started or refreshed, with its new refresh token.
type begun struct {
	user    userRow
	session sessionRow
	refresh string
}

// begin starts a session. At the limit it replaces the oldest.
func (a *Auth) begin(next *accounts, u *userRow) begun {
	own := 0
	for i := range next.Sessions {
		if next.Sessions[i].User == u.ID {
			own++
		}
	}
	if own >= maxSessionsOfAUser {
		oldest := slices.IndexFunc(next.Sessions, func(s sessionRow) bool { return s.User == u.ID })
		next.Sessions = slices.Delete(next.Sessions, oldest, oldest+1)
	}
	if len(next.Sessions) >= maxSessions {
		next.Sessions = slices.Delete(next.Sessions, 0, 1)
	}
	family := make([]byte, familyBytes)
	_, _ = rand.Read(family) // it never fails
	refresh, newest := newRefresh(family)
	now := a.now()
	s := sessionRow{ID: rand.Text(), User: u.ID, Family: digestOf(family), Newest: newest, Created: now, Until: now.Add(a.sessionTTL)}
	next.Sessions = append(next.Sessions, s)
	u.LastLogin = now
	return begun{*u, s, refresh}
}

// overlap is how long the token before the newest may still be shown without harm:
// two tabs of a browser share it, and both show it when an access token expires.
const overlap = 30 * time.Second

// Refresh returns a new access token and a new refresh token for a session. A refresh
// token is valid once: its second use means that it was stolen, which ends the
// session and returns ErrReused.
//
// Only within a moment of its exchange it may come again, with ErrRefreshed: the
// session lives, and the caller already has newer tokens. No secret is returned then,
// so a thief gains nothing by it. If the thief was first, the owner is not told until
// that moment is over, and then the session ends as ever.
func (a *Auth) Refresh(ctx context.Context, refresh string) (Grant, error) {
	if err := ctx.Err(); err != nil {
		return Grant{}, err
	}
	raw, found := a.sessionOf(refresh)
	if found == nil {
		return Grant{}, ErrDenied
	}
	family, shown := raw[:familyBytes], digestOf(raw[familyBytes:])
	var (
		on     begun
		reused bool
	)
	err := a.changeSessions(func(next *accounts) error {
		s := next.session(found.ID)
		if s == nil {
			return ErrDenied
		}
		if !a.now().Before(s.Until) {
			return ErrExpired
		}
		if !s.Newest.is(shown) {
			if age := a.now().Sub(s.refreshed); s.before.is(shown) && age >= 0 && age < overlap {
				return ErrRefreshed
			}
			reused = true
			next.endSession(s.ID)
			return nil
		}
		s.before, s.refreshed = s.Newest, a.now()
		on.refresh, s.Newest = newRefresh(family)
		on.user, on.session = *next.user(s.User), *s
		return nil
	})
	if err != nil {
		return Grant{}, err
	}
	if reused {
		return Grant{}, ErrReused
	}
	return a.grant(on)
}

// sessionOf returns the bytes of a refresh token and the session that it is or was of,
// nil if there is none.
func (a *Auth) sessionOf(refresh string) (raw []byte, found *sessionRow) {
	if raw = refreshBytes(refresh); raw == nil {
		return nil, nil
	}
	return raw, a.current.Load().families[digestOf(raw[:familyBytes])]
}

// refreshBytes are those of a refresh token, nil if it has not the form of one.
func refreshBytes(refresh string) []byte {
	if len(refresh) != base64.RawURLEncoding.EncodedLen(familyBytes+newestBytes) {
		return nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(refresh)
	if err != nil || len(raw) != familyBytes+newestBytes {
		return nil
	}
	return raw
}

// Abandon ends the session of a refresh token, used or not, for a browser that logs in
// again: what it forgets must not live on with somebody who has a copy.
func (a *Auth) Abandon(refresh string) error {
	_, found := a.sessionOf(refresh)
	if found == nil {
		return nil
	}
	if err := a.Logout(found.ID); !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// Logout ends a session immediately.
func (a *Auth) Logout(session string) error {
	return a.changeSessions(func(next *accounts) error {
		if next.session(session) == nil {
			return ErrNotFound
		}
		next.endSession(session)
		return nil
	})
}

// endSession ends a session.
func (c *accounts) endSession(id string) {
	c.Sessions = slices.DeleteFunc(c.Sessions, func(s sessionRow) bool { return s.ID == id })
}

// grant returns the tokens of a session.
func (a *Auth) grant(b begun) (Grant, error) {
	until := a.now().Add(a.accessTTL)
	if until.After(b.session.Until) {
		until = b.session.Until
	}
	access, err := a.newAccess(b.user.ID, b.session.ID, until)
	if err != nil {
		return Grant{}, err
	}
	return Grant{
		Identity: identityOf(&b.user, b.session.ID), Access: access, AccessUntil: until,
		Refresh: b.refresh, RefreshUntil: b.session.Until,
	}, nil
}

func identityOf(u *userRow, session string) Identity {
	return Identity{Kind: KindUser, ID: u.ID, Name: u.Name, Role: u.Role, Session: session}
}
