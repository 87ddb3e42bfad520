package export

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that is used but never shown: printed, logged, marshalled or
// formatted in any way it is <secret>. string(s) is the text itself.
type Secret string

// secret is what a Secret looks like.
const secret = "<secret>"

var (
	_ fmt.Formatter  = Secret("")
	_ slog.LogValuer = Secret("")
)

// String returns <secret>.
func (Secret) String() string { return secret }

// GoString returns <secret>.
func (Secret) GoString() string { return secret }

// Format writes <secret> for every verb; %x would else show the bytes.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret) }

// LogValue returns <secret>.
func (Secret) LogValue() slog.Value { return slog.StringValue(secret) }

// MarshalText returns <secret>; JSON takes it, for keys and values.
func (Secret) MarshalText() ([]byte, error) { return []byte(secret), nil }

// MarshalYAML returns <secret>.
func (Secret) MarshalYAML() (any, error) { return secret, nil }
