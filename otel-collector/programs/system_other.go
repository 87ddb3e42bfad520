//go:build !linux

package programs

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock is not implemented here, so programs cannot be built. The package compiles on
// every system so that ./... does.
func lock(string) (unlock func(), err error) {
	return nil, fmt.Errorf("lock a file: %w on this system, only on Linux", errors.ErrUnsupported)
}

// OwnGroup leaves the process as it is.
func OwnGroup() *syscall.SysProcAttr {
	return nil
}

// SignalGroup sends the signal to the process only.
func SignalGroup(pid int, signal syscall.Signal) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return process.Signal(signal)
}
