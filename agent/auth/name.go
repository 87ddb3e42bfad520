package auth

import (
	"fmt"
	"strings"
)

// maxName is the most characters of a name.
const maxName = 64

// checkName refuses a name that could be mistaken for another, or for something
// else where it is shown. So letters are those of ASCII.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("%w: a name has 1 to %d characters, not %d", ErrInvalid, maxName, len(name))
	}
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-@", r):
		default:
			return fmt.Errorf("%w: a name has letters a to z, digits, and . _ - @, not %q", ErrInvalid, r)
		}
	}
	return nil
}

// fold is the name by which a name is found: Anna is anna.
func fold(name string) string { return strings.ToLower(name) }
