// Package atomicfile writes files that are complete whenever they can be seen, also
// after a crash or a loss of power.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Write replaces the file at path, or creates it, with a mode.
func Write(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), temporary(path)) // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && mode != 0o600 && runtime.GOOS != "windows" {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncDir(filepath.Dir(path))
}

// RemoveUnfinished removes what a Write of the file left behind when its process was
// killed: it may hold secrets.
func RemoveUnfinished(path string) error {
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), temporary(path)))
	if err != nil {
		return err
	}
	for _, file := range left {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}

// temporary is the pattern of the names that a file has while it is written.
func temporary(path string) string { return "." + filepath.Base(path) + "-*" }

// Probe reports why no file can be written to a directory now; nil if one can.
func Probe(dir string) error {
	path := filepath.Join(dir, ".probe")
	err := os.WriteFile(path, make([]byte, 4096), 0o600) // A full disk may still have room for a name.
	if gone := os.Remove(path); err == nil {
		err = gone
	}
	return err
}

// SyncDir makes the renames in a directory durable. Windows cannot sync a directory.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
