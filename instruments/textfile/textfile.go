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
	// Patience is how long a tick waits until the directory is read.
	Patience time.Duration

	path  string
	share *exposition.Share
	list  func(dir string) ([]foundFile, error)
	// listing is what is known of it; others share what it refers to.
	listing listing
	// since is when the listing that runs was begun, by the clock of Refresh; zero if
	// none runs.
	since time.Time
	ended chan listing
	lost  bool // Whether that takes too long.
}

// listing is a directory as it was when it was last read.
type listing struct {
	state exposition.Source // of the directory itself
	files []file
	// changed is set if it differs from the one before.
	changed bool
	// bytes is the size of the files that were read.
	bytes int64
}

// file is a file as it was when it was last read.
type file struct {
	info  fs.FileInfo
	state exposition.Source
}

// maxFiles is how many files a directory may hold.
const maxFiles = 1_000

// maxWait is after how long a directory that does not answer, on a dead server, has
// nothing.
const maxWait = 10 * time.Second

// New is a directory whose files were not read yet. Their bytes are of the share.
func New(path string, share *exposition.Share) *Directory {
	return &Directory{path: path, share: share, list: list, ended: make(chan listing, 1)}
}

// Stop gives back what the files hold of the bound for all sources.
func (d *Directory) Stop() { d.share.End() }

// Refresh reads what changed and reports whether anything did. What takes long, here
// or on another machine, goes on beside the ticks, and a later Refresh has it.
func (d *Directory) Refresh(now func() time.Time) bool {
	if d.since.IsZero() {
		d.since = now()
		before := d.listing
		go func() { d.ended <- before.next(d, now) }()
	}
	if next, ok := d.wait(); ok {
		d.listing = next
		changed := d.listing.changed || d.lost
		d.since, d.lost = time.Time{}, false
		return changed
	}
	if d.lost || now().Sub(d.since) < maxWait {
		return false
	}
	d.lost = true
	return true
}

// wait waits for the listing that runs, as long as a tick may.
func (d *Directory) wait() (listing, bool) {
	limit := time.NewTimer(d.Patience)
	defer limit.Stop()
	select {
	case next := <-d.ended:
		return next, true
	case <-limit.C:
	}
	select { // Where a tick may not wait at all.
	case next := <-d.ended:
		return next, true
	default:
		return listing{}, false
	}
}

// next reads what has changed since the listing before.
func (l listing) next(d *Directory, now func() time.Time) listing {
	start := now()
	found, err := d.list(d.path)
	failed := err != nil
	next := listing{state: l.state, files: make([]file, 0, len(found))}
	next.changed = l.state.Name == "" || failed == l.state.OK || failed && err.Error() != l.state.Errors[0].Error()
	if next.changed {
		next.state = exposition.Source{Name: d.path, OK: !failed, Seconds: now().Sub(start).Seconds()}
		if failed {
			next.state.Errors = []error{err}
		}
	}
	before := map[string]file{}
	for _, f := range l.files {
		before[f.state.Name] = f
	}
	for _, f := range found {
		if f.err == nil {
			// No less than before: else another directory would get what files behind this
			// one have.
			with := next.bytes + f.info.Size()
			if err := d.share.Hold(max(with, min(l.bytes, exposition.MaxTotal))); err != nil {
				f.err = fmt.Errorf("is not read: %w", err)
			} else {
				next.bytes = with
			}
		}
		old := before[sanitize.EscapeControl(f.path)]
		if f.err != nil && old.info == nil && len(old.state.Errors) == 1 && old.state.Errors[0].Error() == f.err.Error() {
			next.files = append(next.files, old)
			continue
		}
		if !f.sameAs(old) {
			next.changed = true
			old = f.read(now, old.state)
		}
		next.files = append(next.files, old)
	}
	next.changed = next.changed || len(l.files) != len(next.files)
	_ = d.share.Hold(next.bytes) // It holds that much already.
	return next
}

// Sources are the directory itself and each of its files.
func (d *Directory) Sources() []exposition.Source {
	if d.lost {
		return []exposition.Source{{Name: d.path, Seconds: maxWait.Seconds(), Errors: []error{fmt.Errorf("has not answered for %s", maxWait)}}}
	}
	sources := []exposition.Source{d.listing.state}
	for _, f := range d.listing.files {
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

// read reads the file, of which before is known.
func (f foundFile) read(now func() time.Time, before exposition.Source) file {
	start := now()
	state := exposition.Source{Name: sanitize.EscapeControl(f.path), Changes: before.Changes}
	text, err := []byte(nil), f.err
	if err == nil {
		text, err = readFile(f.path, f.info)
	}
	if err != nil {
		state.Errors = []error{err}
		state.Seconds = now().Sub(start).Seconds()
		return file{state: state}
	}
	state.Families, state.Errors = exposition.Parse(text)
	state.OK, state.Seconds = len(state.Errors) == 0, now().Sub(start).Seconds()
	state.Written = f.info.ModTime()
	if !before.Written.IsZero() && !state.Written.Equal(before.Written) {
		state.Changes++
	}
	return file{f.info, state}
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
		if len(found) == maxFiles {
			return found, fmt.Errorf("has more than %d *.prom files; those after %s are not read", maxFiles, sanitize.EscapeControl(found[maxFiles-1].path))
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
