package instruments

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sysotel/instruments/sanitize"
)

// textDirectory is a directory whose *.prom files hold metrics. A program
// writes such a file beside it and renames it, so that no half of one is read.
type textDirectory struct {
	path  string
	state customSource // of the listing itself
	files []textFile
}

// textFile is a file as it was when it was last read.
type textFile struct {
	info  fs.FileInfo
	state customSource
}

// refresh reads what changed and tells whether anything did.
func (d *textDirectory) refresh(h *Host) bool {
	start := h.Now()
	found, err := h.textFiles(d.path)
	failed := err != nil
	changed := d.state.name == "" || failed == d.state.ok || failed && err.Error() != d.state.errs[0].Error()
	if changed {
		d.state = customSource{name: d.path, ok: !failed, seconds: since(h, start)}
		if failed {
			d.state.errs = []error{err}
		}
	}
	before := d.files
	d.files = make([]textFile, 0, len(found))
	for i, f := range found {
		if i < len(before) && before[i].state.name == sanitize.EscapeControl(f.path) && f.sameAs(before[i]) {
			d.files = append(d.files, before[i])
			continue
		}
		changed = true
		d.files = append(d.files, f.read(h))
	}
	return changed || len(before) != len(d.files)
}

func (d *textDirectory) sources() []customSource {
	sources := []customSource{d.state}
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

// sameAs tells whether the file is still as it was read. A file that could not
// be read is tried again each time.
func (f foundFile) sameAs(before textFile) bool {
	return f.err == nil && before.info != nil && os.SameFile(f.info, before.info) &&
		f.info.Size() == before.info.Size() && f.info.ModTime().Equal(before.info.ModTime())
}

func (f foundFile) read(h *Host) textFile {
	start := h.Now()
	text, err := []byte(nil), f.err
	if err == nil {
		text, err = h.readTextFile(f.path, f.info)
	}
	if err != nil {
		return textFile{state: customSource{name: sanitize.EscapeControl(f.path), errs: []error{err}, seconds: since(h, start)}}
	}
	families, errs := parseExposition(text)
	return textFile{f.info, customSource{name: sanitize.EscapeControl(f.path), families: families, errs: errs, ok: len(errs) == 0, seconds: since(h, start)}}
}

// textFiles lists the *.prom files of a directory in the order of their names.
// The path is the agent's own: it stands in the configuration.
func (h *Host) textFiles(dir string) ([]foundFile, error) {
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
		info, err := os.Stat(path)
		found = append(found, foundFile{path, info, err})
	}
	return found, nil
}

// readTextFile reads a file of metrics. Only plain files are opened: a pipe
// would make the agent wait for its writer.
func (h *Host) readTextFile(path string, info fs.FileInfo) ([]byte, error) {
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("is not a plain file but %s", info.Mode().Type())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxCustomBytes+1))
}
