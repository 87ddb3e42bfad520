package auth

import "time"

// Kind is what sort of caller it is.
type Kind string

// The kinds.
const (
	KindUser  Kind = "user"
	KindToken Kind = "token"
)

// Identity is who asks. Session is empty for an API token.
type Identity struct {
	Kind     Kind
	ID, Name string
	Role     Role
	Session  string
}

// Grant is what a log-in gives.
type Grant struct {
	Identity     Identity
	Access       string
	AccessUntil  time.Time
	Refresh      string
	RefreshUntil time.Time
}

// User is a person with a password.
type User struct {
	ID, Name                            string
	Role                                Role
	Created, PasswordChanged, LastLogin time.Time
}

// Token is an API token without its secret. Expires is zero when it never does,
// LastUsed is known to the hour.
type Token struct {
	ID, Name                   string
	Role                       Role
	Created, Expires, LastUsed time.Time
}
