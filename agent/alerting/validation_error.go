package alerting

import (
	"errors"
	"strconv"
	"strings"
)

var (
	// ErrUnknown is returned for a rule or a silence that does not exist.
	ErrUnknown = errors.New("not found")
	// ErrExists is returned if another rule has the name.
	ErrExists = errors.New("another rule has that name")
	// ErrFixed is returned for a rule that cannot be changed or deleted through the API.
	ErrFixed = errors.New("the rule comes from the configuration or a file; change it there, or disable it here")
)

// ValidationError is one error in a rule or a silence.
type ValidationError struct {
	// Field is the path of the field: "op", "matchers[0].value".
	Field string
	// Value is the rejected value, Rule what is allowed.
	Value, Rule string
}

// ValidationErrors are all errors of a rejected rule or silence.
type ValidationErrors []ValidationError

func (all ValidationErrors) Error() string {
	lines := make([]string, len(all))
	for i, one := range all {
		lines[i] = one.Field + ": " + one.Rule
		if one.Value != "" {
			lines[i] = one.Field + ": " + strconv.Quote(one.Value) + " is not allowed: " + one.Rule
		}
	}
	return strings.Join(lines, "; ")
}
