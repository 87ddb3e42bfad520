// Package secret has the type of texts that are used and never shown.
package secret

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sysotel/agent/fresh"
)

// Text is a secret: printed, logged, marshalled or formatted in any way it is
// Hidden. ${file:PATH} and ${env:NAME} anywhere in it refer to a file or a variable; Reveal
// resolves them. string(t) is the text as configured.
type Text string

// Hidden is shown in place of a secret.
const Hidden = "<secret>"

// maxFileSize bounds the file of a secret.
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
	files := t.files()
	contents := make([][]byte, len(files))
	for i, path := range files {
		var err error
		if contents[i], err = fresh.Read(path); err != nil {
			return "", err
		}
	}
	return t.reveal(contents)
}

// Open returns the secret as it is in its files at the time; while they cannot be used, as
// it was before. valid refuses values; see fresh.Open for note.
func (t Text) Open(valid func(string) error, note func(error)) (*fresh.Files[string], error) {
	return fresh.Open(t.files(), func(contents [][]byte) (string, error) {
		text, err := t.reveal(contents)
		if err == nil {
			err = valid(text)
		}
		return text, err
	}, note)
}

// reference matches a reference in a secret.
var reference = regexp.MustCompile(`\$\{(env|file):([^}]*)\}`)

// StartFrom makes relative paths of files start from a directory.
func (t *Text) StartFrom(dir string) {
	*t = Text(reference.ReplaceAllStringFunc(string(*t), func(one string) string {
		r := reference.FindStringSubmatch(one)
		if r[1] != "file" || r[2] == "" || filepath.IsAbs(r[2]) {
			return one
		}
		return "${file:" + filepath.Join(dir, r[2]) + "}"
	}))
}

// files lists the files that the secret refers to.
func (t Text) files() (paths []string) {
	for _, r := range reference.FindAllStringSubmatch(string(t), -1) {
		if r[1] == "file" {
			paths = append(paths, r[2])
		}
	}
	return paths
}

// reveal puts the contents of the files, and the variables, into the secret.
func (t Text) reveal(contents [][]byte) (string, error) {
	if s := string(t); strings.HasPrefix(s, "${") && strings.HasSuffix(s, "}") && reference.FindStringIndex(s) == nil {
		return "", errors.New("must be ${file:PATH} or ${env:NAME}")
	}
	files := t.files()
	var failed error
	text := reference.ReplaceAllStringFunc(string(t), func(one string) string {
		r := reference.FindStringSubmatch(one)
		if r[1] == "env" {
			value := os.Getenv(r[2])
			if value == "" && failed == nil {
				failed = fmt.Errorf("the variable %s is not set", r[2])
			}
			return value
		}
		path, content := files[0], contents[0]
		files, contents = files[1:], contents[1:]
		value, err := contentOf(path, content)
		if failed == nil {
			failed = err
		}
		return value
	})
	if failed != nil {
		return "", failed
	}
	return text, nil
}

// contentOf is the content of a file without trailing line breaks.
func contentOf(path string, content []byte) (string, error) {
	switch text := strings.TrimRight(string(content), "\r\n"); {
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
