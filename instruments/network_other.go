//go:build !linux

package instruments

import (
	"context"
	"strings"

	gopsutilnet "github.com/shirou/gopsutil/v3/net"
)

// networkSource reads from gopsutil.
type networkSource struct{}

// each calls visit for every interface.
func (networkSource) each(ctx context.Context, _ *Host, visit func(name []byte, c interfaceCounters)) error {
	found, err := gopsutilnet.IOCountersWithContext(ctx, true)
	if err != nil {
		return err
	}
	for _, c := range found {
		visit([]byte(c.Name), interfaceCounters{
			receive:  trafficCounters{c.BytesRecv, c.PacketsRecv, c.Errin, c.Dropin},
			transmit: trafficCounters{c.BytesSent, c.PacketsSent, c.Errout, c.Dropout},
		})
	}
	return nil
}

// interfaceKind guesses by name: neither macOS nor Windows reports what is
// hardware. The tunnels, bridges and radio helpers of macOS carry what its en
// interfaces carry too.
func (h *Host) interfaceKind(name string) interfaceKind {
	lower := strings.ToLower(name)
	if isNumbered(lower, "lo") || strings.HasPrefix(lower, "loopback") {
		return interfaceLoopback
	}
	for _, prefix := range [...]string{"utun", "bridge", "awdl", "llw", "ap", "anpi", "gif", "stf", "vmenet", "vethernet", "tun", "tap"} {
		if strings.HasPrefix(lower, prefix) {
			return interfaceInner
		}
	}
	return interfacePhysical
}

// linkSpeed is known on Linux only.
func (h *Host) linkSpeed(string) float64 { return unknown }
