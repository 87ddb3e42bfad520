package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// largestFile bounds the file, in bytes: a mistyped --config /dev/zero must end.
const largestFile = 1 << 20

// readFile returns the content of the configuration file.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("it is a directory")
	}
	content, err := io.ReadAll(io.LimitReader(f, largestFile+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if len(content) > largestFile {
		return nil, errors.New("it is larger than 1 MiB")
	}
	return content, nil
}

// withoutPath removes the path from an error, for a message that names it already.
func withoutPath(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// parseYAML returns the document of a file, nil for an empty one, or why it is
// not YAML.
func parseYAML(name string, content []byte) (*yaml.Node, *ValidationError) {
	if at := invalidUTF8(content); at >= 0 {
		return nil, &ValidationError{Rule: "the file is not UTF-8 text", Where: fmt.Sprintf("%s line %d", name, lineAfter(content[:at]))}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, second yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntaxError(name, content, err)
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, &ValidationError{Rule: "the file contains a second document; only one is read, so remove the ---", Where: fmt.Sprintf("%s line %d", name, second.Line)}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(name, content, err)
	}
	return document.Content[0], nil
}

// yaml's syntax errors are text only. In those of its parser (the others are its
// scanner's) the line counts from 0.
var (
	yamlError       = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)
	yamlParserError = regexp.MustCompile(`^did not find expected (key|node content|'-'|','|<)`)
	yamlAnchorError = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxError turns an error of the YAML decoder into one with the right line.
func syntaxError(name string, content []byte, err error) *ValidationError {
	text, line := err.Error(), 0
	if m := yamlError.FindStringSubmatch(text); m != nil {
		text = m[2]
		line, _ = strconv.Atoi(m[1])
	}
	if yamlParserError.MatchString(text) {
		line++
	}
	if m := yamlAnchorError.FindStringSubmatch(text); m != nil {
		// The anchor is not shown: it is likely a value, perhaps a secret.
		before, _, _ := bytes.Cut(content, []byte("*"+m[1]))
		text, line = "a value that begins with * must be quoted", lineAfter(before)
	}
	where := name
	if line > 0 {
		where = fmt.Sprintf("%s line %d", name, line)
	}
	return &ValidationError{Rule: "the file is not valid YAML: " + text, Where: where}
}

// lineAfter returns the number of the line on which content ends.
func lineAfter(content []byte) int { return 1 + bytes.Count(content, []byte("\n")) }

// invalidUTF8 returns the offset of the first byte that is not UTF-8, -1 for none.
func invalidUTF8(content []byte) int {
	for at := 0; at < len(content); {
		r, size := utf8.DecodeRune(content[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}
