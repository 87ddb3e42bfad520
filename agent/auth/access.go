package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// audience is what access tokens are for.
const audience = "sysotel-api"

// maxBearer bounds an access token, in bytes; one has about 400.
const maxBearer = 2048

// claims are those of an access token: a user and one of their sessions, but not
// the role, which may change while the token is valid.
type claims struct {
	jwt.RegisteredClaims
	Session string `json:"sid"`
}

// newParser returns the parser of access tokens. It accepts one algorithm only, so
// that a client cannot choose "none" or a public key as the secret.
func (a *Auth) newParser() *jwt.Parser {
	return jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithStrictDecoding(),
		jwt.WithIssuer(a.issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithNotBeforeRequired(), jwt.WithIssuedAt(),
		jwt.WithTimeFunc(a.now),
	)
}

// newAccess signs an access token.
func (a *Auth) newAccess(user, session string, until time.Time) (string, error) {
	now := jwt.NewNumericDate(a.now())
	key := a.keys.Load().newest()
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: a.issuer, Audience: jwt.ClaimStrings{audience}, Subject: user,
			IssuedAt: now, NotBefore: now, ExpiresAt: jwt.NewNumericDate(until),
		},
		Session: session,
	})
	t.Header["kid"] = key.ID
	signed, err := t.SignedString([]byte(key.Secret))
	if err != nil {
		return "", fmt.Errorf("sign an access token: %w", err)
	}
	return signed, nil
}

// verifyAccess returns the identity of an access token's bearer.
func (a *Auth) verifyAccess(bearer string) (Identity, error) {
	if len(bearer) > maxBearer {
		return Identity{}, ErrDenied
	}
	keys, d := a.keys.Load(), digestOf([]byte(bearer))
	t, ok := a.seen.find(keys, d)
	if !ok {
		var err error
		if t, err = a.readAccess(bearer); err != nil {
			return Identity{}, err
		}
		a.seen.add(keys, d, t)
	}
	now := a.now()
	if now.Before(t.from) {
		return Identity{}, ErrDenied
	}
	if !now.Before(t.until) {
		return Identity{}, ErrExpired
	}
	current := a.current.Load()
	session, lives := current.sessions[t.session]
	user, exists := current.users[t.user]
	if !lives || !exists || session.User != user.ID {
		return Identity{}, ErrDenied
	}
	if !now.Before(session.Until) {
		return Identity{}, ErrExpired
	}
	return identityOf(user, session.ID), nil
}

// readAccess parses an access token and checks its signature and validity.
func (a *Auth) readAccess(bearer string) (seenToken, error) {
	// The base64 decoder ignores line breaks, so one token could be written in many
	// ways.
	if strings.ContainsAny(bearer, "\r\n") {
		return seenToken{}, ErrDenied
	}
	var c claims
	if _, err := a.parser.ParseWithClaims(bearer, &c, a.keyOf); err != nil {
		if errors.Is(err, jwt.ErrTokenExpired) { // the signature, which is checked first, was valid
			return seenToken{}, ErrExpired
		}
		return seenToken{}, ErrDenied
	}
	return seenToken{user: c.Subject, session: c.Session, from: c.NotBefore.Time, until: c.ExpiresAt.Time}, nil
}

// keyOf returns the key that an access token names.
func (a *Auth) keyOf(t *jwt.Token) (any, error) {
	id, _ := t.Header["kid"].(string)
	if key := a.keys.Load().find(id); key != nil {
		return []byte(key.Secret), nil
	}
	return nil, ErrDenied
}
