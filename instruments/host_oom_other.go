//go:build !linux

package instruments

import "fmt"

// KernelLog is the kernel's log; it can be read on Linux only.
type KernelLog struct{}

// OpenKernelLog fails: this system's log is not read.
func (h *Host) OpenKernelLog() (*KernelLog, error) {
	return nil, fmt.Errorf("read the kernel's log: %w", ErrUnsupported)
}

// OOMVictims returns none.
func (*KernelLog) OOMVictims() ([]OOMVictim, error) { return nil, nil }

// Close does nothing.
func (*KernelLog) Close() error { return nil }
