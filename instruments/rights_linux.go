package instruments

import (
	"errors"

	"golang.org/x/sys/unix"
)

// What the kernel asks for, as it was tried: /proc/PID/io has mode 0400 and is
// given to those only who might trace the process, so that one capability alone
// does not open it.
const (
	processIORemedy = "the capabilities CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, both"
	hiddenRemedy    = "the capability CAP_SYS_PTRACE, or the group of the mount option gid="
	kernelLogRemedy = "the capability CAP_SYSLOG, or the setting kernel.dmesg_restrict=0"
	mountRemedy     = "the capability CAP_DAC_READ_SEARCH, or instruments.filesystem.exclude"
)

// RootServes is what an ordinary user does not see, with what would let it.
const RootServes = "to see the reads and writes of other users' processes (CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH) and kills for want of memory (CAP_SYSLOG)"

// hidesProcesses tells whether /proc keeps the first process from this user:
// every machine and every container has one.
func (h *Host) hidesProcesses() bool {
	var stat unix.Stat_t
	err := unix.Stat(h.path("proc/1/stat"), &stat)
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
}
