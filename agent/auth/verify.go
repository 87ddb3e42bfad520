package auth

import "strings"

// Verify returns the identity of the bearer of an access token or API token. It
// returns ErrExpired for an expired one and ErrDenied for any other. It runs at each
// request and never waits for the disk.
func (a *Auth) Verify(bearer string) (Identity, error) {
	if strings.HasPrefix(bearer, tokenPrefix) {
		return a.verifyToken(bearer)
	}
	return a.verifyAccess(bearer)
}
