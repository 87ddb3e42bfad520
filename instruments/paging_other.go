//go:build !linux

package instruments

import (
	"context"

	gopsutilmem "github.com/shirou/gopsutil/v3/mem"
)

// space asks the system. Its fault counters mean something else on each system
// and are left out.
func (*paging) space(ctx context.Context, _ *Host, _ Tick) (*Paging, error) {
	swap, err := gopsutilmem.SwapMemoryWithContext(ctx)
	if err != nil {
		return nil, err
	}
	r := &Paging{Total: swap.Total, Used: min(swap.Used, swap.Total)}
	r.Free = r.Total - r.Used
	// macOS does not list its swap files; the totals stand without them.
	if devices, err := gopsutilmem.SwapDevicesWithContext(ctx); err == nil {
		for _, d := range devices {
			r.Devices = append(r.Devices, SwapDevice{Name: d.Name, Used: d.UsedBytes, Free: d.FreeBytes})
		}
	}
	return r, nil
}
