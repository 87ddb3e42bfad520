// Package textfile reads the *.prom files of a directory when they change.
package textfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sysotel/instruments/exposition"
	"sysotel/instruments/sanitize"
)

// Directory is a directory whose *.prom files hold metrics. A program
// writes such a file beside it and renames it, so that no partial file is read.
type Directory struct {
	path  string
	state exposition.Source // of the listing itself
	files []file
}

// file is a file as it was when it was last read.
type file struct {
	info  fs.FileInfo
	state exposition.Source
}

// New is a directory whose files were not read yet.
func New(path string) *Directory { return &Directory{path: path} }

// Refresh reads what changed and reports whether anything did.
func (d *Directory) Refresh(now func() time.Time) bool {
	start := now()
	found, err := list(d.path)
	failed := err != nil
	changed := d.state.Name == "" || failed == d.state.OK || failed && err.Error() != d.state.Errors[0].Error()
	if changed {
		d.state = exposition.Source{Name: d.path, OK: !failed, Seconds: now().Sub(start).Seconds()}
		if failed {
			d.state.Errors = []error{err}
		}
	}
	before := d.files
	d.files = make([]file, 0, len(found))
	for i, f := range found {
		if i < len(before) && before[i].state.Name == sanitize.EscapeControl(f.path) && f.sameAs(before[i]) {
			d.files = append(d.files, before[i])
			continue
		}
		changed = true
		d.files = append(d.files, f.read(now))
	}
	return changed || len(before) != len(d.files)
}

// Sources are the directory itself and each of its files.
func (d *Directory) Sources() []exposition.Source {
	sources := []exposition.Source{d.state}
	for _, f := range d.files {
		sources = append(sources, f.state)
	}
	return sources
}

// foundFile is a file that a listing shows.
type foundFile struct {
	path string
	info fs.FileInfo
	err  error
}

// sameAs reports whether the file is still as it was read. A file that could not
// be read is tried again each time.
func (f foundFile) sameAs(before file) bool {
	return f.err == nil && before.info != nil && os.SameFile(f.info, before.info) &&
		f.info.Size() == before.info.Size() && f.info.ModTime().Equal(before.info.ModTime())
}

func (f foundFile) read(now func() time.Time) file {
	start := now()
	text, err := []byte(nil), f.err
	if err == nil {
		text, err = readFile(f.path, f.info)
	}
	if err != nil {
		return file{state: exposition.Source{Name: sanitize.EscapeControl(f.path), Errors: []error{err}, Seconds: now().Sub(start).Seconds()}}
	}
	families, errs := exposition.Parse(text)
	return file{f.info, exposition.Source{Name: sanitize.EscapeControl(f.path), Families: families, Errors: errs, OK: len(errs) == 0, Seconds: now().Sub(start).Seconds()}}
}

// look returns what is known of a file without opening it. Others than the agent's
// user may write in the directory, and must not read other users' files through it,
// whose content shows in metrics: a link is followed only if it belongs to root, to
// the agent's user or to the owner of its target, as with SymLinksIfOwnerMatch of the
// Apache HTTP server, and a file with several names is not read where others may make
// them.
func look(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Stat(path)
		if err == nil && !mayFollow(info, target) {
			err = errors.New("is a link by another user than the owner of the file that it leads to")
		}
		return target, err
	}
	if info.Mode().IsRegular() && names(info) > 1 {
		dir, err := os.Stat(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		if dir.Mode().Perm()&0o022 != 0 {
			return nil, errors.New("has several names (hard links), in a directory in which others than its owner can make them")
		}
	}
	return info, nil
}

// list returns the *.prom files of a directory in the order of their names.
// The path is from the configuration.
func list(dir string) ([]foundFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []foundFile
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".prom") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := look(path)
		found = append(found, foundFile{path, info, err})
	}
	return found, nil
}

// readFile reads a file of metrics that look found. Only plain files are opened: a
// pipe would make the agent wait for its writer.
func readFile(path string, info fs.FileInfo) ([]byte, error) {
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("is not a plain file but %s", info.Mode().Type())
	}
	f, err := os.OpenFile(path, os.O_RDONLY|nonblocking, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if opened, err := f.Stat(); err != nil {
		return nil, err
	} else if !os.SameFile(opened, info) {
		return nil, errors.New("was replaced while it was opened; it is read again at the next tick")
	}
	return io.ReadAll(io.LimitReader(f, exposition.MaxBytes+1))
}
