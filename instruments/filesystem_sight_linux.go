package instruments

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The list of mounts is that of the machine's first process, while a path leads the
// agent through its own: a container, or a service that systemd protects, has other
// mounts at some places, and lacks those that came after it. So every answer is held
// against the list by the number of its device.

// sight is how the agent finds the file system of a mount.
type sight struct {
	// first is set where the way leads through the root of the machine's first process.
	first bool
	// same and other are numbers of stat(2) that were found to be of the mount's file
	// system, though another number is listed, and of another one.
	same, other uint64
}

// errOtherMounted is what the agent finds where it sees another mount.
var errOtherMounted = errors.New("another file system is mounted there")

// unseenError says that the agent has no way to a mount.
type unseenError struct {
	// own is what the agent finds at the mount point, first what by way of the first
	// process.
	own, first error
}

func (e *unseenError) Error() string {
	return fmt.Sprintf("%v: where the agent runs, %s; by way of /proc/1/root, %s", errNotVisible, reasonOf(e.own), reasonOf(e.first))
}

func (e *unseenError) Unwrap() error { return errNotVisible }

// space asks the mount's file system for its size: at the mount point or, where the
// agent finds another one or nothing there, in the file tree of the first process,
// which takes CAP_SYS_PTRACE.
func (m *mount) space(h *Host) (capacity, error) {
	if m.sight.first {
		if c, err := m.look(h, h.firstPath(m.point)); err == nil {
			return c, nil
		}
		m.sight.first = false
	}
	c, own := m.look(h, h.mountPath(m.point))
	if own == nil || !isElsewhere(own) {
		return c, own
	}
	c, err := m.look(h, h.firstPath(m.point))
	switch {
	case err == nil:
		m.sight.first = true
		return c, nil
	case errors.Is(own, fs.ErrPermission):
		return capacity{}, own
	case isElsewhere(err):
		return capacity{}, &unseenError{own, err}
	}
	return capacity{}, err
}

// firstPath is where the first process finds a mount point of the machine.
func (h *Host) firstPath(point string) string { return h.path("proc/1/root" + point) }

// isElsewhere reports of an error whether the mount can be found on another way.
func isElsewhere(err error) bool {
	return errors.Is(err, errOtherMounted) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR)
}

// look asks the file system at a path, if it is the mount's.
func (m *mount) look(h *Host, path string) (capacity, error) {
	c, err := h.statfs(path)
	if err != nil {
		return capacity{}, err
	}
	switch c.Volume {
	case 0, m.number, m.sight.same:
		return c, nil
	case m.sight.other:
		return capacity{}, errOtherMounted
	}
	if !m.isAt(h, path, c.Volume) {
		m.sight.other = c.Volume
		return capacity{}, errOtherMounted
	}
	m.sight.same = c.Volume
	return c, nil
}

// isAt reports whether the mount's file system is at a path, though stat(2) has
// another number for it than the list of mounts, as btrfs has for each subvolume. The
// mount found there decides: its id is that of the mount itself or, where the agent has
// mounts of its own, their list has the file system's number.
func (m *mount) isAt(h *Host, path string, found uint64) bool {
	if unix.Major(m.number) != 0 || unix.Major(found) != 0 {
		return false // Numbers of real devices are the same everywhere.
	}
	id := h.mountID(path)
	switch {
	case id == "":
		return false
	case id == m.id:
		return true
	case m.kind != "btrfs" && m.kind != "bcachefs":
		return false
	}
	text, err := h.own.readFile("proc/thread-self/mountinfo")
	if err != nil {
		return false
	}
	entries, _, err := parseMountinfo(text)
	if err != nil {
		return false
	}
	for i := range entries {
		if entries[i].id == id {
			return entries[i].number == m.number
		}
	}
	return false
}

// mountID returns the number of the mount that a path leads to, "" where it is not
// known: proc_pid_fdinfo(5).
func (h *Host) mountID(path string) string {
	fd, err := openPath(path)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(fd) }()
	text, _ := h.own.readFile(fmt.Sprintf("proc/thread-self/fdinfo/%d", fd))
	for line := range strings.Lines(string(text)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strings.TrimSpace(id)
		}
	}
	return ""
}
