// Package secret has the type of texts that are used and never shown.
package secret

import (
	"cmp"
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
// Hidden. ${file:PATH} and ${env:NAME} anywhere in it refer to a file or a variable, and $${
// stands for ${ itself; Reveal resolves them. string(t) is the text as configured.
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

// reference matches a reference in a text, $${, and a ${ that begins no reference.
var reference = regexp.MustCompile(`\$\$\{|\$\{(?:(env|file):([^}]*)\})?`)

// errNotation is the error of a ${ that begins no reference: it would be used as it stands.
var errNotation = errors.New("must be ${file:PATH} or ${env:NAME} where it has ${; for these characters themselves write $${")

// foreignReference matches references to variables as shells, Windows and other programs
// write them.
var foreignReference = regexp.MustCompile(`\$env:(\w+)|\$\(?([A-Za-z_]\w+)|%([A-Za-z_]\w+)%`)

// Unexpanded returns a warning if the text refers to a variable that is set in a notation
// of other programs, such as $NAME, which is used as it stands; "" for none. It is no
// error, because passwords may have such signs. The text is not in it.
func Unexpanded(text string) string {
	for _, found := range foreignReference.FindAllStringSubmatch(text, -1) {
		if name := cmp.Or(found[1:]...); os.Getenv(name) != "" {
			return fmt.Sprintf("mentions the variable %s in a notation that is not replaced here; write ${env:%s} for its value", name, name)
		}
	}
	return ""
}

// Expand returns an open text of the configuration with its references resolved, as those
// of a secret are. Relative paths of files start from dir.
func Expand(text, dir string) (string, error) {
	t := Text(text)
	t.StartFrom(dir)
	return t.Reveal()
}

// ExpandIn is Expand for a text in a language in which ${ means something else: it
// resolves references and leaves all else as it is.
func ExpandIn(text, dir string) (string, error) {
	return resolve(text, func(one string) (string, error) {
		if reference.FindStringSubmatch(one)[1] == "" {
			return one, nil
		}
		return Expand(one, dir)
	})
}

// resolve replaces what looks like a reference. Its error is the first.
func resolve(text string, value func(one string) (string, error)) (string, error) {
	var failed error
	text = reference.ReplaceAllStringFunc(text, func(one string) string {
		v, err := value(one)
		failed = cmp.Or(failed, err)
		return v
	})
	if failed != nil {
		return "", failed
	}
	return text, nil
}

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
	files := t.files()
	return resolve(string(t), func(one string) (string, error) {
		r := reference.FindStringSubmatch(one)
		switch {
		case one == "$${":
			return "${", nil
		case r[1] == "":
			return "", errNotation
		case r[1] == "env":
			value := os.Getenv(r[2])
			if value == "" {
				return "", fmt.Errorf("the variable %s is not set", r[2])
			}
			return value, nil
		}
		path, content := files[0], contents[0]
		files, contents = files[1:], contents[1:]
		return contentOf(path, content)
	})
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
