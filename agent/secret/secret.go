// Package secret has the type of texts that are used and never shown.
package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

// Text is a secret: printed, logged, marshalled or formatted in any way it is
// Hidden. ${file:PATH} and ${env:NAME} refer to a file or a variable; Reveal
// resolves them. string(t) is the text as configured.
type Text string

// Hidden is shown in place of a secret.
const Hidden = "<secret>"

// maxFileSize bounds the file of a secret, so that a mistyped /dev/zero ends.
const maxFileSize = 64 << 10

var (
	_ fmt.Formatter  = Text("")
	_ slog.LogValuer = Text("")
)

// String returns <secret>.
func (Text) String() string { return Hidden }

// GoString returns <secret>.
func (Text) GoString() string { return Hidden }

// Format writes <secret> for every verb; %x would show the bytes otherwise.
func (Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Hidden) }

// LogValue returns <secret>.
func (Text) LogValue() slog.Value { return slog.StringValue(Hidden) }

// MarshalText returns <secret>; JSON takes it.
func (Text) MarshalText() ([]byte, error) { return []byte(Hidden), nil }

// MarshalYAML returns <secret>, or "" for an empty one.
func (t Text) MarshalYAML() (any, error) {
	if t == "" {
		return "", nil
	}
	return Hidden, nil
}

// Reveal returns the secret itself. A file is read on each call, so that a secret
// can be rotated while the agent runs. Errors never contain the secret.
func (t Text) Reveal() (string, error) {
	where, ok := strings.CutPrefix(string(t), "${")
	if !ok || !strings.HasSuffix(where, "}") {
		return string(t), nil
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
	return "", errors.New("must be ${file:PATH} or ${env:NAME}")
}

// revealFile returns the content of a file without trailing line breaks.
func revealFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
			err = pathErr.Err
		}
		return "", fmt.Errorf("cannot read the file %s: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	switch text := strings.TrimRight(string(content), "\r\n"); {
	case err != nil:
		return "", fmt.Errorf("cannot read the file %s", path)
	case len(content) > maxFileSize:
		return "", fmt.Errorf("the file %s is larger than 64 KiB", path)
	case text == "":
		return "", fmt.Errorf("the file %s is empty", path)
	default:
		return text, nil
	}
}

// WithoutPassword hides the user info of a URL.
func WithoutPassword(url string) string {
	i := strings.LastIndex(url, "@")
	if i < 0 {
		return url
	}
	scheme, _, ok := strings.Cut(url[:i], "://")
	if !ok {
		return Hidden + url[i:]
	}
	return scheme + "://" + Hidden + url[i:]
}
