package programs

import (
	"errors"
	"os"
	"syscall"
)

// lock waits for an exclusive lock on the file at path, which it creates if needed. The
// system releases the lock if the process ends, so none is ever stale.
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

// OwnGroup gives a process its own group, so that it can be ended with its children. The
// process, but not its children, is also killed when this process ends: a test that
// exceeds its time limit runs no cleanup.
func OwnGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// SignalGroup sends the signal to the process group of pid.
func SignalGroup(pid int, signal syscall.Signal) error {
	return os.NewSyscallError("kill", syscall.Kill(-pid, signal))
}
