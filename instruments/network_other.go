//go:build !linux && !windows

package instruments

import (
	"context"

	gopsutilnet "github.com/shirou/gopsutil/v3/net"
)

// networkSource reads from gopsutil.
type networkSource struct{}

// each calls visit for every interface.
func (networkSource) each(ctx context.Context, _ *Host, _ *misread, visit func(name []byte, c *interfaceCounters)) error {
	found, err := gopsutilnet.IOCountersWithContext(ctx, true)
	if err != nil {
		return err
	}
	for _, c := range found {
		visit([]byte(c.Name), &interfaceCounters{
			receive:  trafficCounters{c.BytesRecv, c.PacketsRecv, c.Errin, c.Dropin},
			transmit: trafficCounters{c.BytesSent, c.PacketsSent, c.Errout, c.Dropout},
		})
	}
	return nil
}
