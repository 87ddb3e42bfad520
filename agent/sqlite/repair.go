package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Suffixes of the files beside a file: SQLite's log and its index, and the new file
// while it is filled with what can be read of a damaged one.
const (
	walSuffix     = "-wal"
	indexSuffix   = "-shm"
	salvageSuffix = ".salvaged"
)

// What was set aside is bounded: so many files, and so many bytes beside the newest.
const (
	maxAside      = 3
	maxAsideBytes = 64 << 20
)

// replaceEvery bounds how often a file is repaired while it is open: a failing disk must
// not fill with damaged files.
const replaceEvery = time.Hour

// Span is a time span; a zero end is unknown.
type Span struct{ From, To time.Time }

// Damage is a damaged file that was repaired: set aside, and replaced by a new one with
// all rows that could be read.
type Damage struct {
	// When is when it was found.
	When time.Time
	// What and Path are those of the file, Aside is what it is now called; empty where it
	// was removed, or another was put in its place.
	What, Path, Aside string
	// Cause is how it was noticed.
	Cause error
	// Saved is the number of rows that could be read; the rows of the spans Lost could
	// not be, if some are known to be lost.
	Saved int
	Lost  []Span
	// Gone is true if nothing at all could be read.
	Gone bool
}

// String says in one sentence what was damaged and lost.
func (d *Damage) String() string {
	var lost string
	switch {
	case d.Gone:
		lost = "everything in it is lost"
	case len(d.Lost) == 0:
		lost = "nothing else is lost"
	default:
		var spans []string
		for _, s := range d.Lost {
			spans = append(spans, s.String())
		}
		lost = "lost is " + strings.Join(spans, ", ")
	}
	if d.Aside == "" {
		if !d.Gone {
			lost = "its rows are written anew from memory"
		}
		return fmt.Sprintf("%s was removed or replaced while it was in use: %s", d.What, lost)
	}
	if d.Saved > 0 {
		lost = fmt.Sprintf("%d rows are saved, %s", d.Saved, lost)
	}
	return fmt.Sprintf("%s was damaged and is set aside as %s: %s", d.What, d.Aside, lost)
}

func (s Span) String() string {
	from, to := "the beginning", "the end"
	if !s.From.IsZero() {
		from = s.From.Format(time.RFC3339)
	}
	if !s.To.IsZero() {
		to = s.To.Format(time.RFC3339)
	}
	return "from " + from + " to " + to
}

// repair replaces the open file after damage was found. One that is empty takes no space
// when it is set aside, and is replaced as often as it happens. The caller holds turn.
func (f *File) repair(ctx context.Context, cause error) error {
	info, err := os.Stat(f.o.Path)
	if empty := err == nil && info.Size() == 0; !empty && !f.replaced.IsZero() && time.Since(f.replaced) < replaceEvery {
		return fmt.Errorf("damaged again within %s", replaceEvery)
	}
	f.replaced = time.Now()
	ctx = context.WithoutCancel(ctx)
	if err := f.use(repaired, nil, nil); err != nil {
		cause = errors.Join(cause, err)
	}
	err = f.replace(ctx, cause)
	if err == nil {
		err = f.toDisk(ctx)
	}
	if err == nil || errors.Is(err, ErrNewer) {
		return err
	}
	f.retried = time.Now()
	if err = f.leaveDisk(ctx, err); err != nil {
		err = errors.Join(err, f.use(closed, nil, nil))
	}
	return err
}

// replace sets a damaged file aside and puts a new one in its place, with all rows that
// can be read. On an error, such as a full disk, everything stays as it is.
func (f *File) replace(ctx context.Context, cause error) error {
	d := Damage{When: time.Now().UTC(), What: f.o.What, Path: f.o.Path, Cause: cause, Gone: true}
	fresh := f.o.Path + salvageSuffix
	if err := f.o.clear(); err != nil {
		return err
	}
	to, err := f.o.open(ctx, fresh)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(f.o.Path); err == nil && info.Mode().IsRegular() {
		err = f.salvage(ctx, to, &d)
		if err != nil {
			return errors.Join(fmt.Errorf("copy what can be read of %s: %w", f.o.Path, err), to.Close(), f.o.clear())
		}
	}
	if err := to.Close(); err != nil {
		return errors.Join(err, f.o.clear())
	}
	d.Aside = f.aside(d.When)
	// The log belongs to the file, its index is rebuilt.
	for _, suffix := range []string{walSuffix, ""} {
		if err := os.Rename(f.o.Path+suffix, d.Aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.RemoveAll(f.o.Path + indexSuffix); err != nil {
		return err
	}
	if err := os.Rename(fresh, f.o.Path); err != nil {
		return err
	}
	f.o.Log.Error("a file was damaged, set aside and replaced by what could be read of it", "what", d.What, "path", d.Path,
		"aside", d.Aside, "err", cause, "saved_rows", d.Saved, "lost", d.String())
	f.mu.Lock()
	f.damage = &d
	f.mu.Unlock()
	f.boundAside()
	if f.o.Damaged != nil {
		f.o.Damaged(d)
	}
	return nil
}

// salvage copies the rows that can be read. Its error is one of writing.
func (f *File) salvage(ctx context.Context, to *sql.DB, d *Damage) error {
	all, err := tables(ctx, to)
	if err != nil {
		return err
	}
	from, err := f.o.fixed(ctx, f.o.Path)
	if err != nil {
		return nil // Nothing can be read.
	}
	defer from.Close() //nolint:errcheck // Nothing was written.
	tx, err := to.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	c := copier{from: from, tx: tx, verb: "INSERT OR IGNORE", times: f.o.Times, next: func(tx *sql.Tx) (*sql.Tx, error) {
		if err := tx.Commit(); err != nil {
			return tx, err
		}
		return to.BeginTx(ctx, nil)
	}}
	for _, t := range all {
		if _, err := c.table(ctx, t); err != nil {
			return errors.Join(err, c.tx.Rollback())
		}
	}
	if err := sequences(ctx, from, c.tx); err != nil {
		return errors.Join(err, c.tx.Rollback())
	}
	if err := c.tx.Commit(); err != nil {
		return err
	}
	d.Saved, d.Lost, d.Gone = c.saved, c.lost, c.saved == 0 && c.wrong != nil
	return nil
}

// aside returns a free name for a damaged file.
func (f *File) aside(at time.Time) string {
	for {
		name := f.o.Path + BrokenSuffix + at.Format("20060102T150405.000")
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
		at = at.Add(time.Millisecond)
	}
}

// boundAside deletes the oldest files that were set aside.
func (f *File) boundAside() {
	found, err := filepath.Glob(escape(f.o.Path) + BrokenSuffix + "*")
	if err != nil {
		return
	}
	found = slices.DeleteFunc(found, func(name string) bool { return strings.HasSuffix(name, walSuffix) })
	slices.Sort(found)
	slices.Reverse(found)
	bytes := int64(0)
	for i, name := range found {
		if info, err := os.Stat(name); err == nil && i > 0 {
			bytes += info.Size()
		}
		if i < maxAside && bytes <= maxAsideBytes {
			continue
		}
		f.o.Log.Warn("deleted a damaged file that was set aside: newer ones are kept", "path", name)
		for _, suffix := range []string{"", walSuffix} {
			_ = os.RemoveAll(name + suffix) // What stays is found the next time.
		}
	}
}

// escape makes a path a pattern that only it matches.
func escape(path string) string {
	return strings.NewReplacer("*", "\\*", "?", "\\?", "[", "\\[", "\\", "\\\\").Replace(path)
}

// clear removes what a killed process left of a repair, and what stands where SQLite
// puts its files and is none.
func (o *Options) clear() error {
	for _, suffix := range []string{"", walSuffix, indexSuffix} {
		if err := os.Remove(o.Path + salvageSuffix + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, suffix := range []string{walSuffix, indexSuffix} {
		info, err := os.Lstat(o.Path + suffix)
		if err != nil || info.Mode().IsRegular() {
			continue
		}
		if err := os.RemoveAll(o.Path + suffix); err != nil {
			return err
		}
	}
	return nil
}
