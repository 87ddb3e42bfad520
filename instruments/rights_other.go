//go:build !linux

package instruments

// These systems know no single right for it.
const (
	processIORemedy = "to run as root or as an administrator"
	hiddenRemedy    = processIORemedy
	kernelLogRemedy = processIORemedy
	mountRemedy     = "instruments.filesystem.exclude"
)

// RootServes is what an ordinary user does not see.
const RootServes = "to see more of other users' processes"

// hidesProcesses is false: every process is listed here.
func (h *Host) hidesProcesses() bool { return false }
