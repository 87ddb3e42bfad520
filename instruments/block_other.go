//go:build !linux

package instruments

// block takes every disk that gopsutil lists for a physical one.
func (h *Host) block(string) block { return block{kind: blockPhysical} }

// diskIdentity is by what a device is known to be the same one: nothing but its name.
type diskIdentity struct{}

func (s *diskState) isReplaced(*Host, *diskCounters, bool, bool) bool { return false }
