package auth

import "strings"

// Verify says who the bearer of an access token or of an API token is. It returns
// ErrExpired for one that was good, and ErrDenied for all else. It is asked at each
// request: it touches no disk and waits for nobody who does.
func (a *Auth) Verify(bearer string) (Identity, error) {
	if strings.HasPrefix(bearer, tokenPrefix) {
		return a.verifyToken(bearer)
	}
	return a.verifyAccess(bearer)
}
