package alerting

import (
	"errors"
	"strconv"
	"strings"
)

var (
	// ErrUnknown is the error of a rule or a silence that there is not.
	ErrUnknown = errors.New("there is none of that name")
	// ErrExists is the error of a rule whose name another has.
	ErrExists = errors.New("another rule has that name")
	// ErrFixed is the error of a rule that cannot be changed or deleted over the API.
	ErrFixed = errors.New("it stands in the configuration or in a file; change it there, or disable it here")
)

// Mistake is one thing that is wrong with a rule or a silence.
type Mistake struct {
	// Field is where: "op", "matchers[0].value".
	Field string
	// Value is what was given, Rule what is allowed.
	Value, Rule string
}

// Mistakes is the error of what was refused whole.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, one := range m {
		lines[i] = one.Field + ": " + one.Rule
		if one.Value != "" {
			lines[i] = one.Field + ": " + strconv.Quote(one.Value) + " is not allowed: " + one.Rule
		}
	}
	return strings.Join(lines, "; ")
}
