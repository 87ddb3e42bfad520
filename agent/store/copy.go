package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/tsdb"
)

// snapshot copies the blocks of a database and writes its head as another block.
// The library's snapshot links blocks, which needs one file system and leaves one
// copy of the data; so it is made beside the database and then copied.
func snapshot(db *tsdb.DB, to string) (err error) {
	beside := db.Dir() + ".backup"
	if err := os.RemoveAll(beside); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(beside)) }()
	if err := os.MkdirAll(beside, 0o750); err != nil {
		return err
	}
	if err := db.Snapshot(beside, db.Head().NumSeries() > 0); err != nil {
		return err
	}
	return copyFolder(beside, to)
}

// copyFolder copies the files below a folder.
func copyFolder(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o750)
		}
		return copyFile(path, filepath.Join(to, rel))
	})
}

func copyFile(from, to string) (err error) {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Sync()
}
