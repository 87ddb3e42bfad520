package auth

import (
	_ "embed"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The length of a password in bytes. There are no rules about kinds of characters,
// which make passwords worse (NIST SP 800-63B).
const (
	minPassword = 12
	maxPassword = 1024
)

// usual are common passwords of at least minPassword characters, in lower case, one
// per line.
//
//go:embed usual_passwords.txt
var usual string

// checkPassword refuses a password that is easy to guess.
func checkPassword(name, password string) error {
	switch {
	case len(password) < minPassword || len(password) > maxPassword:
		return fmt.Errorf("%w: a password must have %d to %d bytes, not %d", ErrInvalid, minPassword, maxPassword, len(password))
	case !utf8.ValidString(password):
		return fmt.Errorf("%w: a password must be UTF-8 text", ErrInvalid)
	case strings.EqualFold(password, name):
		return fmt.Errorf("%w: the password must differ from the user name", ErrInvalid)
	}
	for line := range strings.Lines(usual) {
		if strings.EqualFold(strings.TrimSuffix(line, "\n"), password) {
			return fmt.Errorf("%w: this password is too common", ErrInvalid)
		}
	}
	return nil
}
