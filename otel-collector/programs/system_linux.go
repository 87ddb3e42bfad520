package programs

import (
	"errors"
	"os"
	"syscall"
)

// lock waits until it alone holds the lock file at path, creates the file when
// needed, and returns how to let go. The system lets go by itself when the
// process ends, however it ends, so no stale lock stays behind.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(os.NewSyscallError("flock", err), file.Close())
		}
	}
}

// OwnGroup makes the process leader of a group of its own, so that it can be
// ended with all its children. The process, though not its children, is also
// killed when this process ends in whatever way: a test that runs into its time
// limit runs no cleanup.
func OwnGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// SignalGroup sends the signal to the group that the process pid leads.
func SignalGroup(pid int, signal syscall.Signal) error {
	return os.NewSyscallError("kill", syscall.Kill(-pid, signal))
}
