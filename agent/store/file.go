package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

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

// errNewer is the error of a directory that a newer version wrote.
var errNewer = errors.New("was written by a newer sysotel")

// checkFormat rejects a directory written by a newer version, and writes the version to
// a new one. A damaged file is written anew: the directory is the store's own, and what
// is in it is checked piece by piece.
func checkFormat(dir string, log *slog.Logger) error {
	path := filepath.Join(dir, formatFile)
	text, err := os.ReadFile(path)
	if err == nil {
		version, wrong := strconv.Atoi(strings.TrimSpace(string(text)))
		switch {
		case wrong == nil && version > format && version < format+1000:
			return fmt.Errorf("%s %w (format %d, this version supports up to %d): run that version, or use another directory", dir, errNewer, version, format)
		case wrong == nil && version >= 1 && version <= format:
			return nil
		}
	}
	if isSystemError(err) {
		return fmt.Errorf("read the format version: %w", err) // It may be whole, and newer.
	}
	if os.IsNotExist(err) {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
	} else {
		log.Error("the version of the store's format was damaged; wrote it anew, nothing is lost", "path", path, "was", string(text[:min(len(text), 32)]), "err", err)
	}
	if err := clearWay(path); err != nil {
		return err
	}
	if err := writeFormat(path); err != nil {
		return fmt.Errorf("write the format version: %w", err)
	}
	return nil
}

// clearWay sets aside what stands in the place of a file but is none, such as a
// directory.
func clearWay(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().IsRegular() {
		return nil //nolint:nilerr // Writing will show it.
	}
	return os.Rename(path, path+brokenSuffix+strconv.FormatInt(time.Now().Unix(), 10))
}

// writeFormat writes the version of the format.
func writeFormat(path string) error {
	return atomicfile.Write(path, []byte(strconv.Itoa(format)+"\n"), 0o600)
}
