package instruments

import (
	"math"
	"net"
	"strings"
)

// The types of interfaces that are not hardware, of ipifcons.h.
const (
	typeLoopback = 24
	typeTunnel   = 131
)

// attachment asks the system for the type of an interface. The virtual switch of Hyper-V,
// which calls itself Ethernet, carries what the interface below it carries too.
func (h *Host) attachment(name string) attachment {
	row, ok := interfaceNamed(name)
	switch {
	case ok && row.Type == typeLoopback:
		return attachment{kind: interfaceLoopback}
	case ok && (row.Type == typeTunnel || row.TunnelType != 0), strings.HasPrefix(strings.ToLower(name), "vethernet"):
		return attachment{kind: interfaceInner}
	}
	return attachment{kind: interfacePhysical}
}

// linkInfo asks the system for the speed of an interface.
func (h *Host) linkInfo(name string) linkInfo {
	row, ok := interfaceNamed(name)
	if !ok || row.TransmitLinkSpeed == 0 || row.TransmitLinkSpeed > math.MaxInt64 {
		return linkInfo{speed: unknown}
	}
	return linkInfo{speed: float64(row.TransmitLinkSpeed)}
}

// interfaceNamed is what the system says of the interface with a name.
func interfaceNamed(name string) (row ifEntry, ok bool) {
	found, err := net.InterfaceByName(name)
	if err != nil {
		return row, false
	}
	row.InterfaceIndex = uint32(found.Index)
	return row, row.ask() == nil
}

func isUplink(string) bool { return true }
