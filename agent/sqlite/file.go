package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Options describe one file.
type Options struct {
	Path string
	// What names its content in logs and errors, such as "the alert state".
	What string
	Format
	// Memory lets changes go on in memory, with all that the file holds, while it
	// cannot be written. For small files: each table keeps its newest 8 MiB.
	Memory bool
	// Readers is the number of connections that only read, beside the one that
	// writes; 0: Read uses that one.
	Readers int
	// Times has, for each table whose rows have a time, the expression for it in Unix
	// milliseconds. It dates what damage destroyed.
	Times map[string]string
	// Opened is called before anything else uses the file: at the start, with what can
	// be read of it, and whenever it can be written again. Optional.
	Opened func(context.Context, *sql.DB) error
	// Damaged is told of damage that was repaired. Optional.
	Damaged func(Damage)
	Log     *slog.Logger
}

// File is a file that the agent can do without for a while. It is always readable:
// while its disk is full, read-only or gone, from what there is of it, or empty.
type File struct {
	o Options

	// turn is held while writing and while the connections are replaced.
	turn sync.Mutex
	// retried is when opening was last tried again, wait how long until the next try.
	retried time.Time
	wait    time.Duration
	// replaced is when damage was last repaired.
	replaced time.Time
	// whole are the tables of which memory has every row.
	whole map[string]bool

	// mu protects what follows; writers hold turn too.
	mu             sync.RWMutex
	place          place
	writer, reader *sql.DB
	opened         fs.FileInfo
	trouble, why   error // In words for Health, and the error behind.
	damage         *Damage
}

// place is where the rows are.
type place uint8

const (
	closed place = iota
	onDisk
	// inMemory: changes go on and reach the disk later.
	inMemory
	// fixed: rows can be read but not changed.
	fixed
	// repaired: nobody can use it until that is done.
	repaired
)

// Errors of a File.
var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("it is closed")
	// ErrUnavailable is the error of a change that was not made because the file cannot
	// be written now. The same change later may succeed.
	ErrUnavailable = errors.New("it cannot be written")
)

// Tries to open a file again come at growing intervals between these.
const (
	firstWait = 2 * time.Second
	lastWait  = 10 * time.Second
)

// OpenFile opens or creates a file. What is damaged is repaired. A disk that cannot be
// written or read is no error: see File. A file of a newer version is: ErrNewer.
func OpenFile(ctx context.Context, o Options) (*File, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &File{o: o, wait: firstWait}
	err := f.toDisk(ctx)
	if err == nil || errors.Is(err, ErrNewer) || ctx.Err() != nil {
		return f, err
	}
	f.retried = time.Now()
	return f, f.leaveDisk(ctx, err)
}

// Change runs do in a transaction. While the file cannot be written, a File with Memory
// makes the change in memory; another returns ErrUnavailable. Each call may try to
// return to the disk.
func (f *File) Change(ctx context.Context, do func(*sql.Tx) error) error {
	return f.Write(ctx, func(db *sql.DB) error { return Change(ctx, db, do) })
}

// Write is Change for what cannot be in a transaction. What do does before it fails
// must do no harm when do runs again.
func (f *File) Write(ctx context.Context, do func(*sql.DB) error) error {
	f.turn.Lock()
	defer f.turn.Unlock()
	if err := f.retry(ctx); err != nil {
		return err
	}
	for again := false; ; again = true {
		if f.place == fixed {
			return fmt.Errorf("%w: %w", ErrUnavailable, f.why)
		}
		err := do(f.writer)
		if again || err == nil || f.place != onDisk {
			return err
		}
		switch {
		case Damaged(err):
			if wrong := f.repair(ctx, err); wrong != nil {
				return errors.Join(err, wrong)
			}
		case f.o.Memory && Unwritable(err):
			f.retried = time.Now()
			if wrong := f.leaveDisk(ctx, err); wrong != nil {
				return errors.Join(err, wrong)
			}
		default:
			return err
		}
	}
}

// Read runs do, which must only read. If do finds damage, that is repaired and do runs
// once more.
func (f *File) Read(ctx context.Context, do func(*sql.DB) error) error {
	again := false
	for {
		at := f.hold()
		if at == closed {
			f.mu.RUnlock()
			return ErrClosed
		}
		db := f.reader
		err := do(db)
		f.mu.RUnlock()
		if again || at != onDisk || !Damaged(err) {
			return err
		}
		again = true
		f.turn.Lock()
		if f.reader == db { // Else another goroutine was faster.
			if wrong := f.repair(ctx, err); wrong != nil {
				f.turn.Unlock()
				return errors.Join(err, wrong)
			}
		}
		f.turn.Unlock()
	}
}

// Each calls visit for each row of a query. It may begin anew, and calls begin before
// the first row each time.
func (f *File) Each(ctx context.Context, begin func(), visit func(*sql.Rows) error, query string, arguments ...any) error {
	return f.Read(ctx, func(db *sql.DB) error {
		begin()
		rows, err := db.QueryContext(ctx, query, arguments...)
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err reports it.
		for rows.Next() {
			if err := visit(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// hold keeps the connections as they are until mu.RUnlock, and returns where the rows
// are.
func (f *File) hold() place {
	for {
		f.mu.RLock()
		if f.place != repaired {
			return f.place
		}
		f.mu.RUnlock()
		f.turn.Lock()   // It is held until that is done.
		f.turn.Unlock() //nolint:staticcheck // Nothing is protected by it.
	}
}

// Retry tries to return to the disk if it is time, and notices if the file was removed
// or replaced. For a File that is changed seldom.
func (f *File) Retry(ctx context.Context) {
	f.turn.Lock()
	defer f.turn.Unlock()
	_ = f.retry(ctx) // Trouble has it.
}

// Trouble is why changes do not reach the disk, in words for Health; nil if they do.
func (f *File) Trouble() error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.trouble
}

// Damage is what was found damaged since the start; nil if nothing was.
func (f *File) Damage() *Damage {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.damage
}

// Copy writes a consistent copy, which can be opened, to a file that must not exist.
// Readers and writers go on.
func (f *File) Copy(ctx context.Context, to string) error {
	at := f.hold()
	defer f.mu.RUnlock()
	db := f.writer
	switch at {
	case closed, repaired:
		return ErrClosed
	case onDisk:
		if f.o.Readers > 0 { // On its own connection, so that writing goes on.
			c, err := f.o.Connect(f.o.Path)
			if err != nil {
				return err
			}
			defer c.Close() //nolint:errcheck // It wrote nothing here.
			db = c
		}
	case inMemory:
	case fixed:
		db = f.reader
	}
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		if gone := os.Remove(to); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return err
	}
	return os.Chmod(to, 0o600)
}

// Close closes the file, after a last try to write what is in memory.
func (f *File) Close() error {
	f.turn.Lock()
	defer f.turn.Unlock()
	if f.place == inMemory {
		f.retried = time.Time{}
		_ = f.retry(context.Background())
	}
	lost := error(nil)
	if f.place == inMemory {
		lost = fmt.Errorf("the newest changes of %s are lost: %w", f.o.What, f.trouble)
	}
	return errors.Join(lost, f.use(closed, nil, nil))
}

// retry returns to the disk, where that is due and possible. Only a file of a newer
// version is an error. The caller holds turn.
func (f *File) retry(ctx context.Context) error {
	switch f.place {
	case closed:
		return ErrClosed
	case onDisk:
		now, err := os.Stat(f.o.Path)
		if err == nil && os.SameFile(now, f.opened) {
			if now.Size() > 0 {
				return nil
			}
			return f.repair(ctx, fmt.Errorf("%w: it was emptied while it was in use", ErrDamaged))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		// What is open is not what is there: it was removed, or replaced with its
		// directory.
		f.retried = time.Time{}
		if err := f.leaveDisk(ctx, errRemoved); err != nil {
			return err
		}
		if now != nil {
			f.whole = nil // Rows of the other file stay.
		}
		if f.o.Damaged != nil {
			f.o.Damaged(Damage{When: time.Now().UTC(), What: f.o.What, Path: f.o.Path, Cause: errRemoved, Gone: !f.o.Memory})
		}
	case inMemory, fixed, repaired:
	}
	if time.Since(f.retried) < f.wait {
		return nil
	}
	err := f.toDisk(ctx)
	f.retried = time.Now()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNewer):
		return err
	}
	f.wait = min(2*f.wait, lastWait)
	return nil
}

// errRemoved is the trouble with a file that is open and not there.
var errRemoved = errors.New("the file was removed while it was in use")

// toDisk opens the file for writing, and brings to it what is in memory. The caller
// holds turn, or is the only one.
func (f *File) toDisk(ctx context.Context) error {
	err := f.tryDisk(ctx)
	if err != nil && damagedAtOpen(err) {
		if err = f.replace(ctx, err); err == nil {
			err = f.tryDisk(ctx)
		}
	}
	if err != nil {
		return err
	}
	f.whole = nil
	return nil
}

func (f *File) tryDisk(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(f.o.Path), 0o700); err != nil {
		return err
	}
	if err := f.o.clear(); err != nil {
		return err
	}
	if err := f.there(ctx); err != nil {
		return err
	}
	writer, err := f.o.open(ctx, f.o.Path)
	if err != nil {
		return err
	}
	reader := writer
	if f.o.Readers > 0 {
		if reader, err = f.o.Format.Readers(f.o.Path, f.o.Readers); err != nil {
			return errors.Join(err, writer.Close())
		}
		reader.SetMaxIdleConns(1)
	}
	if f.place == inMemory {
		if err = f.bring(ctx, writer); err != nil {
			err = fmt.Errorf("bring it from memory to the disk: %w", err)
		}
	}
	if err == nil && f.o.Opened != nil {
		err = f.o.Opened(ctx, reader)
	}
	var info fs.FileInfo
	if err == nil {
		info, err = os.Stat(f.o.Path)
	}
	if err != nil {
		if reader != writer {
			err = errors.Join(err, reader.Close())
		}
		return errors.Join(err, writer.Close())
	}
	if f.trouble != nil {
		f.o.Log.Info("a file can be written again", "what", f.o.What, "path", f.o.Path)
	}
	if time.Since(f.retried) > 2*lastWait {
		f.wait = firstWait
	}
	f.mu.Lock()
	f.opened, f.trouble, f.why = info, nil, nil
	f.mu.Unlock()
	return f.use(onDisk, writer, reader)
}

// there makes a file that is not there under another name first. So one that is empty is
// no file that was just begun, but one that a loss of power or a full disk has emptied.
func (f *File) there(ctx context.Context) error {
	if info, err := os.Lstat(f.o.Path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil && info.Mode().IsRegular() && info.Size() == 0 {
			return fmt.Errorf("%w: it is empty", ErrDamaged)
		}
		return err
	}
	fresh := f.o.Path + salvageSuffix
	db, err := f.o.open(ctx, fresh)
	if err == nil {
		err = db.Close()
	}
	for _, suffix := range []string{walSuffix, indexSuffix} { // Of a file that was removed.
		err = errors.Join(err, os.RemoveAll(f.o.Path+suffix))
	}
	if err == nil {
		err = os.Rename(fresh, f.o.Path)
	}
	return err
}

// leaveDisk goes on without the disk, for a reason. The caller holds turn, or is the
// only one.
func (f *File) leaveDisk(ctx context.Context, why error) error {
	atStart, from := f.place == closed || f.place == repaired, f.reader
	if atStart {
		var err error
		if from, err = f.o.fixed(ctx, f.o.Path); err != nil {
			from = nil
		}
	}
	at, db, err := f.standIn(ctx, from, atStart)
	if atStart && from != nil && from != db {
		err = errors.Join(err, from.Close())
	}
	if err != nil {
		return err
	}
	trouble := fmt.Errorf("%s cannot be written: %w", f.o.What, Plain(why))
	if at == inMemory {
		trouble = fmt.Errorf("%s is kept in memory and lost at a stop: %w", f.o.What, Plain(why))
	}
	f.o.Log.Warn("a file cannot be written", "what", f.o.What, "path", f.o.Path, "in_memory", at == inMemory, "err", why)
	f.mu.Lock()
	f.trouble, f.why = trouble, Plain(why)
	f.mu.Unlock()
	return f.use(at, db, db)
}

// standIn returns what stands in for the file: a copy in memory, or what can be read of
// it, or nothing.
func (f *File) standIn(ctx context.Context, from *sql.DB, atStart bool) (place, *sql.DB, error) {
	if !f.o.Memory && atStart && from != nil && f.sameVersion(ctx, from) {
		if f.o.Opened == nil || f.o.Opened(ctx, from) == nil {
			return fixed, from, nil
		}
	}
	memory, err := f.o.memory(ctx)
	if err != nil {
		return closed, nil, err
	}
	at := fixed
	if f.o.Memory {
		at = inMemory
		f.whole = f.load(ctx, from, memory)
	}
	if atStart && f.o.Opened != nil {
		err = f.o.Opened(ctx, memory)
	}
	if err != nil {
		return closed, nil, errors.Join(err, memory.Close())
	}
	return at, memory, nil
}

// use replaces the connections. The caller holds turn, or is the only one.
func (f *File) use(at place, writer, reader *sql.DB) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	if f.reader != nil && f.reader != f.writer {
		errs = append(errs, f.reader.Close())
	}
	if f.writer != nil {
		errs = append(errs, f.writer.Close())
	}
	f.place, f.writer, f.reader = at, writer, reader
	return errors.Join(errs...)
}

// Unwritable reports whether an error of a change means that the disk, and not the
// change or the file's content, is at fault.
func Unwritable(err error) bool {
	switch code := codeOf(err); code & 0xff {
	case codePermission, codeReadOnly, codeIO, codeFull, codeCannotOpen, codeNoMemory:
		return code != codeShortRead
	}
	return errors.As(err, new(syscall.Errno))
}

// Plain is an error of the disk in the words of a user.
func Plain(err error) error {
	code := codeOf(err)
	switch {
	case Full(err), code == codeNoSharedMemory, errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errors.New("the disk is full")
	case errors.Is(err, syscall.EROFS), code&0xff == codeReadOnly:
		return errors.New("the disk is read-only")
	}
	return err
}
