package instruments

import (
	"bytes"
	"errors"
	"math"
	"math/bits"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// file is a file of /proc or /sys that is read at every tick. It stays open:
// opening a file of /proc costs more than reading it.
type file struct {
	host *Host
	name string
	root string // Where it was opened.
	fd   *descriptor
	buf  []byte
}

// descriptor is the number of an open file plus 1, 0 if it is not open.
type descriptor int

func (d *descriptor) close() {
	if *d != 0 {
		_ = unix.Close(int(*d) - 1)
		*d = 0
	}
}

// open returns the file for repeated reading; nothing is opened before the first read.
// It is closed when nothing refers to it any more, as files of package os are.
func (h *Host) open(name string) *file {
	f := &file{host: h, name: name, fd: new(descriptor)}
	runtime.AddCleanup(f, (*descriptor).close, f.fd)
	return f
}

// read returns the whole content. The bytes are valid until the next read. A
// file that vanished (a device unplugged) is opened again at the next read.
func (f *file) read() ([]byte, error) {
	if *f.fd != 0 && f.root != f.host.root {
		f.close()
	}
	if *f.fd == 0 {
		path := f.host.path(f.name)
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		*f.fd, f.root = descriptor(fd+1), f.host.root
	}
	if f.buf == nil {
		f.buf = make([]byte, 4096)
	}
	n := 0
	for {
		got, err := unix.Pread(int(*f.fd)-1, f.buf[n:], int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			f.close()
			return nil, &os.PathError{Op: "read", Path: f.host.path(f.name), Err: err}
		case got == 0:
			return f.buf[:n], nil
		}
		n += got
		if n == len(f.buf) {
			f.buf = append(f.buf, make([]byte, len(f.buf))...)
		}
	}
}

// readOnce reads a small file of a driver by one call: each read can ask the hardware, and
// one that answers EAGAIN must not be waited for. The text has at most 256 bytes.
func (h *Host) readOnce(name string) ([]byte, error) {
	path := h.path(name)
	fail := func(op string, err error) ([]byte, error) { return nil, &os.PathError{Op: op, Path: path, Err: err} }
	var fd, n int
	err := uninterrupted(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return fail("open", err)
	}
	defer func() { _ = unix.Close(fd) }()
	text := make([]byte, 256)
	err = uninterrupted(func() (err error) {
		n, err = unix.Read(fd, text)
		return err
	})
	if err != nil {
		return fail("read", err)
	}
	return bytes.TrimRight(text[:n], "\n"), nil
}

func (f *file) close() { f.fd.close() }

// statfs asks the file system that a path leads to for its size, and which one it is:
// the path is gone once, so that both answers are of one file system. It can hang for
// as long as a network server does not respond.
func statfs(path string) (capacity, error) {
	fail := func(err error) (capacity, error) {
		return capacity{}, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	fd, err := openPath(path)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = unix.Close(fd) }()
	var s unix.Statfs_t
	if err := uninterrupted(func() error { return unix.Fstatfs(fd, &s) }); err != nil {
		return fail(err)
	}
	c := capacity{Inodes: s.Files, InodesFree: s.Ffree, ReadOnly: s.Flags&unix.ST_RDONLY != 0}
	block := uint64(s.Frsize)
	if block == 0 {
		block = uint64(s.Bsize)
	}
	c.Size, c.Free, c.Available = bytesOf(s.Blocks, block), bytesOf(s.Bfree, block), bytesOf(s.Bavail, block)
	// No server is to be asked for what is the same for as long as it is mounted.
	var x unix.Statx_t
	if unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, 0, &x) == nil {
		c.Volume = unix.Mkdev(x.Dev_major, x.Dev_minor)
		return c, nil
	}
	// Kernels before 4.11, and containers that do not allow it.
	var st unix.Stat_t
	if err := uninterrupted(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return fail(err)
	}
	c.Volume = uint64(st.Dev)
	return c, nil
}

// openPath opens a path to ask about it, which needs no permission for the file itself
// and mounts nothing.
func openPath(path string) (fd int, err error) {
	err = uninterrupted(func() (err error) {
		fd, err = unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// uninterrupted makes a system call again that a signal interrupted.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// bytesOf is the size of blocks. What is too much to be one, or stands for a number
// below 0, stays so.
func bytesOf(blocks, size uint64) uint64 {
	over, bytes := bits.Mul64(blocks, size)
	switch {
	case blocks >= noNumber:
		return blocks
	case over != 0:
		return math.MaxUint64
	}
	return bytes
}

// procInode is the number of a file of a real procfs.
func procInode(path string) (uint64, bool) {
	var fs unix.Statfs_t
	var info unix.Stat_t
	if unix.Statfs(path, &fs) != nil || fs.Type != unix.PROC_SUPER_MAGIC || unix.Stat(path, &info) != nil {
		return 0, false
	}
	return info.Ino, true
}

// Asleep is the time the machine has been suspended since boot: what
// CLOCK_BOOTTIME counts and CLOCK_MONOTONIC does not.
func (h *Host) Asleep() time.Duration {
	var boot, awake unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &awake) != nil {
		return 0
	}
	return time.Duration(boot.Nano() - awake.Nano())
}

// Self returns what the agent's own process costs: getrusage(2) and /proc/self/statm.
func (h *Host) Self() OwnCost {
	var c OwnCost
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) == nil {
		c.CPUSeconds = time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
	}
	if text, err := h.statm.read(); err == nil {
		fields := bytes.Fields(text)
		if len(fields) > 1 {
			pages, _ := parseUint(fields[1])
			c.ResidentBytes = pages * uint64(os.Getpagesize())
		}
	}
	return c
}

// clockState asks how the kernel keeps the time, adjtimex(2). It changes nothing.
func clockState() ClockState {
	zone, offset := time.Now().Zone()
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return ClockState{Zone: zone, ZoneOffset: offset} // Forbidden in some containers.
	}
	const (
		timeError = 5       // TIME_ERROR: nothing keeps the clock right.
		nano      = 0x2000  // STA_NANO: offset and jitter are in nanoseconds.
		scaled    = 1 << 16 // Of parts in a million, in frequencies.
		million   = 1e6
	)
	part := million
	if t.Status&nano != 0 {
		part = 1e9
	}
	return ClockState{
		Known: true, Synchronized: state != timeError, Zone: zone, ZoneOffset: offset,
		Offset: float64(t.Offset) / part, MaxError: float64(t.Maxerror) / million, EstimatedError: float64(t.Esterror) / million,
		Frequency: 1 + float64(t.Freq)/million/scaled, Status: int64(t.Status), Constant: int64(t.Constant),
		Tick: float64(t.Tick) / million, TAI: float64(t.Tai),
		PPS: PulseState{
			Frequency: float64(t.Ppsfreq) / million / scaled, Jitter: float64(t.Jitter) / part, Shift: float64(t.Shift),
			Stability:      float64(t.Stabil) / million / scaled,
			JitterExceeded: uint64(t.Jitcnt), Calibrations: uint64(t.Calcnt), Errors: uint64(t.Errcnt), StabilityExceeded: uint64(t.Stbcnt),
		},
	}
}

// linux reports whether the machine's numbers come from /proc.
const linux = true
