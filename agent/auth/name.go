package auth

import (
	"fmt"
	"strings"
)

// maxName is the maximum length of a name, in characters.
const maxName = 64

// checkName refuses a name that could be confused with another: letters are ASCII.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("%w: a name must have 1 to %d characters, not %d", ErrInvalid, maxName, len(name))
	}
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-@", r):
		default:
			return fmt.Errorf("%w: a name may contain the letters a to z, digits, and . _ - @, not %q", ErrInvalid, r)
		}
	}
	return nil
}

// fold returns the name for lookups, which ignore case.
func fold(name string) string { return strings.ToLower(name) }
