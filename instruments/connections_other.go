//go:build !linux

package instruments

import (
	"context"
	"strings"

	gopsutilnet "github.com/shirou/gopsutil/v3/net"
)

// connectionSource reads from gopsutil.
type connectionSource struct{}

// connectionsLimit bounds the list that gopsutil makes to have it counted.
const connectionsLimit = 1 << 16

// tcp counts TCP sockets by state.
func (connectionSource) tcp(ctx context.Context, _ *Host) (*tcpCounts, error) {
	found, err := gopsutilnet.ConnectionsMaxWithContext(ctx, "tcp", connectionsLimit)
	if err != nil {
		return nil, err
	}
	var c tcpCounts
	for _, one := range found {
		status := strings.NewReplacer("CLOSED", "CLOSE", "FIN_WAIT_1", "FIN_WAIT1", "FIN_WAIT_2", "FIN_WAIT2", "SYN_RECEIVED", "SYN_RECV").Replace(one.Status)
		for i, state := range tcpStates {
			if status == state {
				c.add(byte(i + 1))
			}
		}
	}
	return &c, nil
}

// sockets: only Linux keeps totals.
func (connectionSource) sockets(*Host) *Sockets { return nil }
