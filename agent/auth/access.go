package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// audience is what access tokens are for.
const audience = "sysotel-api"

// maxBearer is the most bytes that are looked at; an access token has about 400.
const maxBearer = 2048

// claims are what an access token says: a user and a session of his. It does not
// say the role, which may change while the token lives.
type claims struct {
	jwt.RegisteredClaims
	Session string `json:"sid"`
}

// newParser is the reader of access tokens. It takes one algorithm only, so that
// nobody chooses "none" or a public key as the secret.
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

// verifyAccess says who the bearer of an access token is now.
func (a *Auth) verifyAccess(bearer string) (Identity, error) {
	if len(bearer) > maxBearer {
		return Identity{}, ErrDenied
	}
	var c claims
	if _, err := a.parser.ParseWithClaims(bearer, &c, a.keyOf); err != nil {
		if errors.Is(err, jwt.ErrTokenExpired) { // the signature was good, that is looked at before
			return Identity{}, ErrExpired
		}
		return Identity{}, ErrDenied
	}
	current := a.current.Load()
	session, lives := current.sessions[c.Session]
	user, exists := current.users[c.Subject]
	if !lives || !exists || session.User != user.ID {
		return Identity{}, ErrDenied
	}
	if !a.now().Before(session.Until) {
		return Identity{}, ErrExpired
	}
	return identityOf(user, session.ID), nil
}

// keyOf is the key that an access token names.
func (a *Auth) keyOf(t *jwt.Token) (any, error) {
	id, _ := t.Header["kid"].(string)
	if key := a.keys.Load().find(id); key != nil {
		return []byte(key.Secret), nil
	}
	return nil, ErrDenied
}
