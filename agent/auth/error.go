package auth

import "errors"

// Errors. ErrInvalid is wrapped with a reason for the caller; the others reveal no
// more than their text.
var (
	ErrDenied    = errors.New("access denied")
	ErrExpired   = errors.New("expired")
	ErrReused    = errors.New("a refresh token was used twice, so its session has ended")
	ErrRefreshed = errors.New("this refresh token was exchanged a moment ago")
	ErrNotFound  = errors.New("not found")
	ErrExists    = errors.New("the name is taken")
	ErrInvalid   = errors.New("invalid")
	ErrLastAdmin = errors.New("the last administrator cannot be removed or made a viewer")
	ErrBusy      = errors.New("too many logins at once")
	// ErrUnavailable is wrapped with what keeps accounts from being changed now.
	ErrUnavailable = errors.New("the accounts cannot be changed now")
	ErrSetupDone   = errors.New("the first setup is already done")
)
