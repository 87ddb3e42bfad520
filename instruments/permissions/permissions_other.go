//go:build !linux

package permissions

// These systems have no single permission for it.
const (
	processIORemedy = "to run as root or as an administrator"
	hiddenRemedy    = processIORemedy
	kernelLogRemedy = processIORemedy
	unseenRemedy    = "instruments.filesystem.exclude"
	mountRemedy     = "instruments.filesystem.exclude"
)

// NeedsRoot is what an ordinary user does not see.
const NeedsRoot = "to see more of other users' processes"

// hidesProcesses is false: every process is listed here.
func hidesProcesses(string) bool { return false }
