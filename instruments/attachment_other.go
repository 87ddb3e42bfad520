//go:build !linux && !windows

package instruments

import "strings"

// attachment guesses by name: macOS does not report what is hardware. The tunnels, bridges and radio helpers of macOS carry what its en
// interfaces carry too.
func (h *Host) attachment(name string) attachment {
	lower := strings.ToLower(name)
	if isNumbered(lower, "lo") {
		return attachment{kind: interfaceLoopback}
	}
	for _, prefix := range [...]string{"utun", "bridge", "awdl", "llw", "ap", "anpi", "gif", "stf", "vmenet", "tun", "tap"} {
		if strings.HasPrefix(lower, prefix) {
			return attachment{kind: interfaceInner}
		}
	}
	return attachment{kind: interfacePhysical}
}

// linkInfo is known on Linux only.
func (h *Host) linkInfo(string) linkInfo { return linkInfo{speed: unknown} }

func isUplink(string) bool { return true }
