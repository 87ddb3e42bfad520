package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"sysotel/agent/atomicfile"
	"sysotel/agent/health"
)

// errLocked means that another process holds the lock.
var errLocked = errors.New("locked")

// lockFileName is the file that a running agent has locked in its data directory.
const lockFileName = "lock"

// dataDir is the data directory, which one agent holds at a time: two would damage it.
// The agent runs, too, on a full or read-only disk, and while the directory is gone.
type dataDir struct {
	path string
	log  *slog.Logger
	// lost is told that what was in the directory is gone; nil before the start.
	lost func()

	mu sync.Mutex // protects what follows
	// held are the locked files, info is the locked directory.
	held []*os.File
	info fs.FileInfo
	// id is the machine's identity where the system has none, else empty.
	id string
	// trouble is why the directory is not as it should be, empty if it is.
	trouble string
}

// holdDirectory creates the data directory and locks it. An error are only directories
// that are another agent's or another user's, or that others can change.
func holdDirectory(path string, log *slog.Logger) (*dataDir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	d := &dataDir{path: abs, log: log}
	if err := d.hold(); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	return d, nil
}

// heldError says that another agent holds the directory at a path.
type heldError struct{ path string }

// Error implements error.
func (e heldError) Error() string {
	return fmt.Sprintf("another sysotel runs on %s; stop it or choose another directory with --data-dir", e.path)
}

// tryDirectory holds a data directory as a start would, and leaves it as it was. held
// reports that an agent runs on it.
func tryDirectory(path string, log *slog.Logger) (held bool, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return false, fmt.Errorf("data_dir: %w", err)
	}
	var made []string // Innermost first.
	for at := path; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		made = append(made, at)
	}
	before, _ := os.Stat(path)
	lock := filepath.Join(path, lockFileName)
	_, noLock := os.Lstat(lock)
	d, err := holdDirectory(path, log)
	if err == nil {
		err = d.close()
	}
	if errors.Is(noLock, fs.ErrNotExist) {
		_ = os.Remove(lock) // Of another user it would stop the agent.
	}
	if now, err := os.Stat(path); err == nil && before != nil && now.Mode() != before.Mode() {
		_ = os.Chmod(path, before.Mode().Perm())
	}
	for _, dir := range made {
		_ = os.Remove(dir)
	}
	var other heldError
	if errors.As(err, &other) {
		return true, nil
	}
	return false, err
}

// hold locks the directory. The caller holds mu, or is the only one.
func (d *dataDir) hold() error {
	if err := MakePrivate(d.path); err != nil {
		if full(err) {
			d.say("the data directory cannot be made, everything is kept in memory: " + reason(err))
			return nil
		}
		return fmt.Errorf("%w; choose a writable directory with --data-dir", err)
	}
	if err := d.protect(); err != nil {
		return err
	}
	info, err := os.Stat(d.path)
	if err != nil {
		return err
	}
	d.release() // A lock of this process would stand in the way too.
	var held []*os.File
	take := func(f *os.File, err error) error {
		if err != nil {
			return err
		}
		if err = lockFile(f); err != nil {
			return errors.Join(err, f.Close())
		}
		held = append(held, f)
		return nil
	}
	// The file is locked by agents of all versions; it may be missing on a disk that
	// cannot be written, where the directory itself is locked.
	lock := filepath.Join(d.path, lockFileName)
	if stands, err := os.Lstat(lock); err == nil && !stands.Mode().IsRegular() {
		_ = os.RemoveAll(lock) // If it stays, opening it says so.
	}
	ofFile := take(os.OpenFile(lock, os.O_CREATE|os.O_RDWR, 0o600))
	if full(ofFile) {
		ofFile = take(os.Open(lock))
	}
	ofDir := take(openToLock(d.path))
	switch {
	case errors.Is(ofFile, errLocked), errors.Is(ofDir, errLocked):
		d.held = held
		d.release()
		return heldError{d.path}
	case errors.Is(ofFile, fs.ErrPermission):
		d.held = held
		d.release()
		return fmt.Errorf("%w: %s belongs to another user; run sysotel as that user, or choose a directory of its own with --data-dir", ofFile, d.path)
	}
	d.held, d.info = held, info
	d.tryWriting()
	return nil
}

// tryWriting says whether the directory can be written.
func (d *dataDir) tryWriting() {
	if err := atomicfile.Probe(d.path); err != nil {
		d.say("the data directory cannot be written, what is new is kept in memory: " + reason(err))
	} else {
		d.say("")
		d.keepID()
	}
}

// idFile keeps the machine's identity where the system has none.
const idFile = "host_id"

// validID matches what may be an identity.
var validID = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)

// identity returns the machine's identity for where the system has none: that in the
// directory, else the hardware's, else a new one, which is kept in the directory. While
// that cannot be written it is kept in memory.
func (d *dataDir) identity(hardware string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.id != "" {
		return d.id
	}
	id, err := d.readID()
	if err != nil {
		d.log.Warn("the machine's identity cannot be read and is made anew", "path", filepath.Join(d.path, idFile), "err", err)
	}
	switch {
	case id != "":
		d.id = id
	case validID.MatchString(hardware):
		d.id = hardware
	default:
		d.id = hex.EncodeToString(random(16))
	}
	if d.trouble == "" {
		d.keepID()
	} else if id == "" && d.id != hardware {
		d.log.Warn("the machine has no machine-id, and the identity that it has instead cannot be kept: after a restart it is another machine")
	}
	return d.id
}

// readID reads the identity in the directory, "" if there is none.
func (d *dataDir) readID() (string, error) {
	path := filepath.Join(d.path, idFile)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || info.Size() > 1<<10:
		return "", errors.New("it is not a small file")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(text))
	if !validID.MatchString(id) {
		return "", errors.New("it has something other than letters, digits and dashes")
	}
	return id, nil
}

// keepID writes the identity to the directory if it is not there. The caller holds mu, or
// is the only one.
func (d *dataDir) keepID() {
	if d.id == "" {
		return
	}
	if there, err := d.readID(); err == nil && there != "" {
		return
	}
	if err := atomicfile.Write(filepath.Join(d.path, idFile), []byte(d.id+"\n"), 0o600); err != nil {
		d.log.Warn("the machine's identity cannot be kept; without it a restart makes another", "err", err)
	}
}

// random returns random bytes.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // It never fails.
	return b
}

// full reports whether an error means that the disk takes nothing now.
func full(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EIO)
}

// reason is an error of the disk in the words of a user.
func reason(err error) string {
	switch {
	case errors.Is(err, syscall.EROFS):
		return "the disk is read-only"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full"
	}
	return err.Error()
}

// protect keeps other users from changing what is in the directory: they could make the
// agent write anywhere, and forge users.
func (d *dataDir) protect() error {
	for parent := filepath.Dir(d.path); ; parent = filepath.Dir(parent) {
		if info, err := os.Stat(parent); err == nil && changeable(info) && info.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("every user can replace %s, because %s can be changed by all (mode %#o): run chmod o-w %s, or choose another directory with --data-dir", d.path, parent, info.Mode().Perm(), parent)
		}
		if parent == filepath.Dir(parent) {
			break
		}
	}
	info, err := os.Stat(d.path)
	if err != nil || !changeable(info) {
		return err
	}
	shared := fmt.Errorf("every user can change what is in %s (mode %#o): run chmod 700 %s, or choose a directory of its own with --data-dir", d.path, info.Mode().Perm(), d.path)
	if info.Mode()&fs.ModeSticky != 0 || !d.isOurs() {
		return shared
	}
	switch err := os.Chmod(d.path, info.Mode().Perm()&^0o007); {
	case errors.Is(err, syscall.EROFS):
		d.log.Warn("every user could change the data directory if its disk were not read-only", "path", d.path, "mode", fmt.Sprintf("%#o", info.Mode().Perm()))
	case err != nil:
		return shared
	default:
		d.log.Warn("every user could change the data directory; now they cannot", "path", d.path,
			"mode", fmt.Sprintf("%#o", info.Mode().Perm()), "now", fmt.Sprintf("%#o", info.Mode().Perm()&^0o007))
	}
	return nil
}

// changeable reports whether every user can change what is in a directory.
func changeable(dir fs.FileInfo) bool { return hasModes && dir.Mode().Perm()&0o002 != 0 }

// isOurs reports whether only agents have written to the directory.
func (d *dataDir) isOurs() bool {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return false
	}
	for _, e := range entries {
		name, _, _ := strings.Cut(strings.TrimPrefix(e.Name(), "."), "-")
		switch name {
		case lockFileName, clockFile, idFile, storeDir, recordsDir, filepath.Dir(queueFile), authDir, auditDir, alertingDir, tlsDir, SocketName, "probe":
		default:
			if !strings.HasPrefix(e.Name(), ".s") { // A socket that is being made.
				return false
			}
		}
	}
	return true
}

// watchEvery is how often the directory is looked after.
const watchEvery = 2 * time.Second

// watch notices that the directory was deleted, replaced or can be written again, and
// locks it anew, until ctx ends. Each component sees to its own files.
func (d *dataDir) watch(ctx context.Context) error {
	every := time.NewTicker(watchEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			d.look()
		}
	}
}

func (d *dataDir) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, err := os.Stat(d.path)
	same := err == nil && d.info != nil && os.SameFile(now, d.info)
	if _, err := os.Lstat(filepath.Join(d.path, lockFileName)); err == nil && same {
		if d.trouble != "" {
			d.tryWriting()
		}
		return
	}
	if !same && d.info != nil {
		d.log.Error("the data directory was deleted or replaced while it was in use; it is made anew", "path", d.path)
		d.info = nil
		if d.lost != nil {
			d.lost()
		}
	}
	if err := d.hold(); err != nil {
		d.say("the data directory cannot be used: " + err.Error())
	}
}

// say notes a trouble and logs a change. The caller holds mu, or is the only one.
func (d *dataDir) say(trouble string) {
	switch {
	case trouble == d.trouble:
	case trouble == "":
		d.log.Info("the data directory can be used again", "path", d.path)
	default:
		d.log.Warn(trouble, "path", d.path)
	}
	d.trouble = trouble
}

// release gives up the locks.
func (d *dataDir) release() {
	for _, f := range d.held {
		_ = f.Close() // It was only locked.
	}
	d.held = nil
}

func (d *dataDir) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release()
	return nil
}

// health is the component of the directory.
func (d *dataDir) health() health.Component {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := health.Component{Name: "data_dir", Status: health.OK}
	if d.trouble != "" {
		c.Status, c.Reason = health.Degraded, d.trouble
	}
	return c
}
