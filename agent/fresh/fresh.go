// Package fresh keeps what was made of files, such as certificates and passwords, and
// makes it anew when they change. Files that cannot be used, half-written ones included,
// leave in use what was made of the last good ones.
package fresh

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

// maxSize bounds a file, so that a mistyped one does not fill the memory.
const maxSize = 1 << 20

// settled is the age from which the time of a change is trusted: two changes within the
// resolution of a file system's clock have the same time.
const settled = 2 * time.Second

// Files is what was made of files. It is safe for concurrent use.
type Files[T any] struct {
	paths []string
	from  func(contents [][]byte) (T, error)
	note  func(error)

	mu    sync.Mutex
	seen  []os.FileInfo
	young bool // A file had just changed when it was read.
	sum   [sha256.Size]byte
	value T
	// broken is why the newest files cannot be used, nil if they can.
	broken error
	since  time.Time
}

// Open makes a value of the contents of files, in their order. After that note is called,
// if it is not nil, when changed files cannot be used, once until they can, and with nil
// when a new value is in use.
func Open[T any](paths []string, from func(contents [][]byte) (T, error), note func(error)) (*Files[T], error) {
	if note == nil {
		note = func(error) {}
	}
	f := &Files[T]{paths: paths, from: from, note: func(error) {}}
	f.refresh()
	f.note = note
	return f, f.broken
}

// Get returns the newest usable value. It looks at the files, and reads them only if they
// changed.
func (f *Files[T]) Get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f.value
}

// Broken returns since when the newest files cannot be used, and why; nil if they can.
func (f *Files[T]) Broken() (since time.Time, why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f.since, f.broken
}

// refresh makes a new value if the files changed.
func (f *Files[T]) refresh() {
	now := f.stat()
	if f.seen != nil && f.broken == nil && !f.young && slices.EqualFunc(f.seen, now, same) {
		return
	}
	contents, err := f.read()
	if after := f.stat(); !slices.EqualFunc(now, after, same) && f.seen != nil {
		return // Being written; the next call looks again.
	}
	f.seen = now
	f.young = slices.ContainsFunc(now, func(i os.FileInfo) bool { return i != nil && time.Since(i.ModTime()).Abs() < settled })
	if err != nil {
		f.fail(err)
		return
	}
	sum := sumOf(contents)
	if sum == f.sum && f.broken == nil {
		return // The same again.
	}
	value, err := f.from(contents)
	if err != nil {
		f.fail(err)
		return
	}
	f.value, f.sum, f.broken, f.since = value, sum, nil, time.Time{}
	f.note(nil)
}

// fail notes that the files cannot be used.
func (f *Files[T]) fail(err error) {
	first := f.broken == nil
	f.broken = err
	if first {
		f.since = time.Now()
		f.note(err)
	}
}

// stat returns what shows a change; a missing file is a state, too.
func (f *Files[T]) stat() []os.FileInfo {
	infos := make([]os.FileInfo, len(f.paths))
	for i, path := range f.paths {
		infos[i], _ = os.Stat(path)
	}
	return infos
}

// same reports whether a file is unchanged.
func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// read reads all files.
func (f *Files[T]) read() ([][]byte, error) {
	contents := make([][]byte, len(f.paths))
	for i, path := range f.paths {
		var err error
		if contents[i], err = Read(path); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

// sumOf is equal for equal contents only.
func sumOf(contents [][]byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, c := range contents {
		one := sha256.Sum256(c)
		_, _ = h.Write(one[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Read reads a file that a user named. Its error names the file once.
func Read(path string) ([]byte, error) {
	content, err := readRegular(path)
	if inner, ok := errors.AsType[*fs.PathError](err); ok {
		err = inner.Err
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the file %s: %w", path, err)
	}
	return content, nil
}

// readRegular reads a file that is one: a pipe would block, a device never end.
func readRegular(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err == nil && len(content) > maxSize {
		err = errors.New("it is larger than 1 MiB")
	}
	return content, err
}
