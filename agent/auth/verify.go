package auth

import (
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// Verify returns the identity of the bearer of an access token or API token. It
// returns ErrExpired for an expired one and ErrDenied for any other. It runs at each
// request and never waits for the disk.
func (a *Auth) Verify(bearer string) (Identity, error) {
	if strings.HasPrefix(bearer, tokenPrefix) {
		return a.verifyToken(bearer)
	}
	return a.verifyAccess(bearer)
}

// Issued reports whether a bearer has the form of a token of ours, valid or not: what
// else stands in a request is meant for somebody else, such as a proxy.
func (a *Auth) Issued(bearer string) bool {
	if strings.HasPrefix(bearer, tokenPrefix) || refreshBytes(bearer) != nil {
		return true
	}
	if len(bearer) > maxBearer {
		return false
	}
	var c claims
	_, _, err := jwt.NewParser().ParseUnverified(bearer, &c)
	return err == nil && c.Issuer == a.issuer
}
