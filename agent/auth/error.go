package auth

import "errors"

// What can be wrong. ErrInvalid is wrapped with a sentence for the caller; the
// others say everything they may.
var (
	ErrDenied    = errors.New("not allowed in")
	ErrExpired   = errors.New("expired")
	ErrReused    = errors.New("a refresh token was used twice, so its session was ended")
	ErrNotFound  = errors.New("not found")
	ErrExists    = errors.New("the name is taken")
	ErrInvalid   = errors.New("invalid")
	ErrLastAdmin = errors.New("the last administrator cannot be removed or made a viewer")
	ErrBusy      = errors.New("too many log-ins at once")
	ErrSetupDone = errors.New("the first set-up is done already")
)
