package auth

import (
	_ "embed"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The length of a password in bytes. There are no rules about kinds of characters:
// they make passwords worse (NIST SP 800-63B).
const (
	minPassword = 12
	maxPassword = 1024
)

// usual are passwords of at least minPassword characters that are tried first, in
// lower case, one a line.
//
//go:embed usual_passwords.txt
var usual string

// checkPassword refuses a password that would be guessed.
func checkPassword(name, password string) error {
	switch {
	case len(password) < minPassword || len(password) > maxPassword:
		return fmt.Errorf("%w: a password has %d to %d bytes, not %d", ErrInvalid, minPassword, maxPassword, len(password))
	case !utf8.ValidString(password):
		return fmt.Errorf("%w: a password is text in UTF-8", ErrInvalid)
	case strings.EqualFold(password, name):
		return fmt.Errorf("%w: the password is the name of the user", ErrInvalid)
	}
	for line := range strings.Lines(usual) {
		if strings.EqualFold(strings.TrimSuffix(line, "\n"), password) {
			return fmt.Errorf("%w: this password is one of those that are tried first", ErrInvalid)
		}
	}
	return nil
}
