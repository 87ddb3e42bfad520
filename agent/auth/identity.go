package auth

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Kind is the kind of a caller.
type Kind string

// The kinds.
const (
	KindUser  Kind = "user"
	KindToken Kind = "token"
	// KindProxy is a user whom a trusted proxy names. There is no account.
	KindProxy Kind = "proxy"
)

// Identity is an authenticated caller. Session is empty for an API token.
type Identity struct {
	Kind     Kind
	ID, Name string
	Role     Role
	Session  string
}

// Grant is the result of a login. Access and Refresh are secrets, so a grant prints
// and logs as <secret>.
type Grant struct {
	Identity     Identity
	Access       string
	AccessUntil  time.Time
	Refresh      string
	RefreshUntil time.Time
}

// hidden is what a secret prints as.
const hidden = "<secret>"

var (
	_ fmt.Formatter  = Grant{}
	_ slog.LogValuer = Grant{}
)

// Format writes <secret> for every verb.
func (Grant) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue returns <secret>.
func (Grant) LogValue() slog.Value { return slog.StringValue(hidden) }

// User is a person with a password.
type User struct {
	ID, Name                            string
	Role                                Role
	Created, PasswordChanged, LastLogin time.Time
}

// Token is an API token without its secret. Expires is zero if it never does;
// LastUsed is accurate to the hour.
type Token struct {
	ID, Name                   string
	Role                       Role
	Created, Expires, LastUsed time.Time
}
