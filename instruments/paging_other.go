//go:build !linux

package instruments

import (
	"context"
	"runtime"

	gopsutilmem "github.com/shirou/gopsutil/v3/mem"
)

// space asks the system. Its fault counters mean something else on each system
// and are left out.
func (*paging) space(ctx context.Context, _ *Host, _ Tick) (*Paging, error) {
	// macOS does not list its swap files; the totals stand without them.
	devices, err := gopsutilmem.SwapDevicesWithContext(ctx)
	r := &Paging{}
	for _, d := range devices {
		r.Devices = append(r.Devices, SwapDevice{Name: d.Name, Used: d.UsedBytes, Free: d.FreeBytes})
		r.Total, r.Used = r.Total+d.UsedBytes+d.FreeBytes, r.Used+d.UsedBytes
	}
	if runtime.GOOS == "windows" {
		// There gopsutil's total is the memory that may be promised, RAM included.
		if err != nil {
			return nil, err
		}
		r.Free = r.Total - r.Used
		return r, nil
	}
	swap, err := gopsutilmem.SwapMemoryWithContext(ctx)
	if err != nil {
		return nil, err
	}
	r.Total, r.Used = swap.Total, min(swap.Used, swap.Total)
	r.Free = r.Total - r.Used
	return r, nil
}
