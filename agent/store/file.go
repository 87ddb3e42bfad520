package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sysotel/agent/atomicfile"
)

// Names in the store's directory. Damaged files that were set aside keep their
// name, followed by brokenSuffix and the Unix time.
const (
	formatFile   = "format"
	tiersDir     = "tiers"
	brokenSuffix = ".broken-"
)

// format is the version of the on-disk format.
const format = 1

// checkFormat rejects a directory written by a newer version, and writes the
// version to a new one.
func checkFormat(dir string) error {
	path := filepath.Join(dir, formatFile)
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		if err := writeFormat(path); err != nil {
			return fmt.Errorf("write the format version: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the format version: %w", err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || version < 1 {
		return fmt.Errorf("%s holds %q, which is not a format version: restore a backup, or move %s away to start over", path, text, dir)
	}
	if version > format {
		return fmt.Errorf("%s was written by a newer sysotel (format %d, this version supports up to %d): run that version, or use another directory", dir, version, format)
	}
	return nil
}

// writeFormat writes the version of the format.
func writeFormat(path string) error {
	return atomicfile.Write(path, []byte(strconv.Itoa(format)+"\n"), 0o600)
}
