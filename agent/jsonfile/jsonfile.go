// Package jsonfile keeps what was changed through the API: one JSON document with the
// number of its format.
package jsonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"sysotel/agent/atomicfile"
	"sysotel/agent/sqlite"
)

// ErrStands is the error of a file that cannot be used and is still there: it must not be
// overwritten.
var ErrStands = errors.New("the file is left as it is")

// Read decodes the file at path into v, which stays as it is without one. A damaged file is
// set aside under a name with the time. A file of a format above the given one is
// sqlite.ErrNewer; one that can be neither read nor set aside is ErrStands.
func Read(path string, format int, now time.Time, v any) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w (%w)", err, ErrStands)
	}
	var head struct{ Format int }
	err = json.Unmarshal(text, &head)
	if err == nil && head.Format > format {
		return fmt.Errorf("%s: %w (its format is %d, this version knows formats up to %d)", path, sqlite.ErrNewer, head.Format, format)
	}
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err == nil {
		return nil
	}
	aside := path + sqlite.BrokenSuffix + now.UTC().Format("20060102T150405")
	if wrong := os.Rename(path, aside); wrong != nil {
		return fmt.Errorf("%s is damaged: %w (%w: %w)", path, err, ErrStands, wrong)
	}
	return fmt.Errorf("%s was damaged, and is now %s: %w", path, aside, err)
}

// Write replaces the file, which only the agent's user may read, and creates its directory.
func Write(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(bytes.TrimSpace(text), '\n'), 0o600)
}
