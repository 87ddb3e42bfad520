package permissions

import (
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// What the kernel asks for, as it was tried: /proc/PID/io has mode 0400 and only
// opens to a user who may trace the process, so that one capability alone is not
// enough.
const (
	processIORemedy = "the capabilities CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, both"
	hiddenRemedy    = "the capability CAP_SYS_PTRACE, or the group of the mount option gid="
	kernelLogRemedy = "the capability CAP_SYSLOG, or the setting kernel.dmesg_restrict=0"
	unseenRemedy    = "the capability CAP_SYS_PTRACE, or the host's files in a container with -v /:/host:ro,rslave"
	mountRemedy     = "the capability CAP_DAC_READ_SEARCH, or instruments.filesystem.exclude"
)

// NeedsRoot is what an ordinary user does not see, with the permissions that allow it.
const NeedsRoot = "to see the reads and writes of other users' processes (CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH) and kills by the OOM killer (CAP_SYSLOG)"

// hidesProcesses reports whether /proc hides the first process from this user:
// every machine and every container has one.
func hidesProcesses(root string) bool {
	var stat unix.Stat_t
	err := unix.Stat(filepath.Join(root, "proc/1/stat"), &stat)
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
}
