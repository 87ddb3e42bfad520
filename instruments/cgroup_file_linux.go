package instruments

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// groupFile is a file of a control group that stays open, or its directory. Hundreds of
// them are read into one buffer.
type groupFile struct {
	fd descriptor
	// lacking is set where the group has no such file.
	lacking bool
}

var (
	errGroupLacks = errors.New("the control group has no such file")
	errGroupEnded = errors.New("the control group has ended")
)

// read returns the file's content, valid until the next read into the buffer. The kernel
// answers ENODEV for every file of a group that was removed.
func (f *groupFile) read(path string, name string, buf *[]byte) ([]byte, error) {
	if f.lacking {
		return nil, errGroupLacks
	}
	if f.fd == 0 {
		fd, err := unix.Open(path+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		switch {
		case errors.Is(err, unix.ENOENT):
			f.lacking = true
			return nil, errGroupLacks
		case err != nil:
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
		f.fd = descriptor(fd + 1)
	}
	if *buf == nil {
		*buf = make([]byte, 16384)
	}
	n := 0
	for {
		got, err := unix.Pread(int(f.fd)-1, (*buf)[n:], int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENODEV):
			f.fd.close()
			return nil, errGroupEnded
		case errors.Is(err, unix.EOPNOTSUPP):
			// A group of threads has no numbers of its own, a kernel may have no pressure.
			return nil, errGroupLacks
		case err != nil:
			f.fd.close()
			return nil, &os.PathError{Op: "read", Path: name, Err: err}
		case got == 0:
			return (*buf)[:n], nil
		}
		if n += got; n < len(*buf) && n < 4096 {
			return (*buf)[:n], nil // The kernel gives less than a page only at the end.
		}
		if n == len(*buf) {
			*buf = append(*buf, make([]byte, len(*buf))...)
		}
	}
}

// groupStat is how a directory is seen to have changed: the kernel counts a group's
// children in its links, and leaves the time of change alone.
type groupStat struct {
	inode, links uint64
	changed      int64
}

// stat asks for the directory's state.
func (f *groupFile) stat(path string) (groupStat, bool) {
	if f.fd == 0 {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return groupStat{}, false
		}
		f.fd = descriptor(fd + 1)
	}
	var st unix.Stat_t
	if unix.Fstat(int(f.fd)-1, &st) != nil {
		return groupStat{}, false
	}
	return groupStat{st.Ino, uint64(st.Nlink), st.Mtim.Nano()}, true //nolint:unconvert // Its type depends on the processor.
}

// inodeOf is the number of what has a path now.
func inodeOf(path string) (uint64, bool) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return 0, false
	}
	return st.Ino, true
}

func (f *groupFile) close() { f.fd.close() }
