//go:build !linux

package instruments

// block takes every disk that gopsutil lists for a physical one.
func (h *Host) block(string) block { return block{kind: blockPhysical} }

// sequence would be a number that no other device gets.
type sequence struct{}

func (s *diskState) isReplaced(*Host, *diskCounters, bool, bool) bool { return false }

func (*sequence) changed(*Host, string, string, string, bool) bool { return false }
