package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// largestFile bounds the file: a mistyped --config /dev/zero must end.
const largestFile = 1 << 20

// readFile returns the content of the configuration file.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
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

// withoutPath takes the path out of an error, for a message that names it already.
func withoutPath(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// parseYAML returns the one document of a file, nil for an empty one, or the
// mistake that makes it no YAML.
func parseYAML(name string, content []byte) (*yaml.Node, *Mistake) {
	if at := invalidUTF8(content); at >= 0 {
		line := 1 + bytes.Count(content[:at], []byte("\n"))
		return nil, &Mistake{Rule: "the file is not UTF-8 text", Where: fmt.Sprintf("%s line %d", name, line)}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, second yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntaxMistake(name, err)
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, &Mistake{Rule: "the file holds a second document; only one is read, so remove the ---", Where: fmt.Sprintf("%s line %d", name, second.Line)}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxMistake(name, err)
	}
	return document.Content[0], nil
}

func syntaxMistake(name string, err error) *Mistake {
	m := regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`).FindStringSubmatch(err.Error())
	if m == nil {
		return &Mistake{Rule: "the file is not YAML: " + err.Error(), Where: name}
	}
	where := name
	if m[1] != "" {
		where += " line " + m[1]
	}
	return &Mistake{Rule: "the file is not YAML: " + m[2], Where: where}
}

// invalidUTF8 is the offset of the first byte that is no text, -1 for none.
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
