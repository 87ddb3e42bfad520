package notify

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

// Secret is a text that is used but never shown: printed, logged, marshalled or
// formatted in any way it is <secret>. ${file:PATH} and ${env:NAME} in its place
// say where it is to be found; Reveal returns the text itself.
type Secret string

// secret is what a Secret looks like.
const secret = "<secret>"

// largestSecret bounds the file of a secret: a mistyped /dev/zero must end.
const largestSecret = 64 << 10

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

// MarshalYAML returns <secret>; one that is not set shows that.
func (s Secret) MarshalYAML() (any, error) {
	if s == "" {
		return "", nil
	}
	return secret, nil
}

// Reveal returns the text. A file is read each time, so that a secret can be
// changed while the agent runs. The error never holds what was found.
func (s Secret) Reveal() (string, error) {
	where, ok := strings.CutPrefix(string(s), "${")
	if !ok || !strings.HasSuffix(where, "}") {
		return string(s), nil
	}
	kind, name, _ := strings.Cut(strings.TrimSuffix(where, "}"), ":")
	switch kind {
	case "env":
		text := os.Getenv(name)
		if text == "" {
			return "", fmt.Errorf("the variable %s is not set", name)
		}
		return text, nil
	case "file":
		return revealFile(name)
	}
	return "", errors.New("what begins with ${ must be ${file:PATH} or ${env:NAME}")
}

// revealFile returns the content of a file without the line break at its end.
func revealFile(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // Whoever writes the configuration says which.
	if err != nil {
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
			err = pathErr.Err
		}
		return "", fmt.Errorf("cannot read the file %s: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, largestSecret+1))
	switch text := strings.TrimRight(string(content), "\r\n"); {
	case err != nil:
		return "", fmt.Errorf("cannot read the file %s", path)
	case len(content) > largestSecret:
		return "", fmt.Errorf("the file %s is larger than 64 KiB", path)
	case text == "":
		return "", fmt.Errorf("the file %s is empty", path)
	default:
		return text, nil
	}
}
