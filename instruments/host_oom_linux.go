package instruments

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// KernelLog reads what the kernel writes to its log from now on.
type KernelLog struct {
	fd  int
	buf []byte
}

// OpenKernelLog opens the kernel's log at its end. It needs root (CAP_SYSLOG)
// where kernel.dmesg_restrict is set, and mostly so in a container.
func (h *Host) OpenKernelLog() (*KernelLog, error) {
	path := h.path("dev/kmsg")
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("seek to the end of %s: %w", path, err)
	}
	return &KernelLog{fd: fd, buf: make([]byte, 8192)}, nil
}

// maxKernelRecords bounds what one call reads: a log that grows faster than it
// is read must not hold up the tick.
const maxKernelRecords = 4096

// OOMVictims returns the kills logged since the previous call.
func (l *KernelLog) OOMVictims() (victims []OOMVictim, err error) {
	for range maxKernelRecords {
		n, err := unix.Read(l.fd, l.buf)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINVAL):
			continue // EPIPE: records were overwritten before they were read; EINVAL: one is too long.
		case errors.Is(err, unix.EAGAIN), err == nil && n == 0:
			return victims, nil
		case err != nil:
			return victims, fmt.Errorf("read the kernel's log: %w", err)
		}
		text, ok := kernelMessage(string(l.buf[:n]))
		if !ok {
			continue
		}
		if v, ok := parseOOMVictim(text); ok {
			victims = append(victims, v)
		}
	}
	return victims, nil
}

// Close closes the log.
func (l *KernelLog) Close() error { return unix.Close(l.fd) }
