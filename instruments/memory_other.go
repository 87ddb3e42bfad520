//go:build !linux

package instruments

import (
	"context"

	gopsutilmem "github.com/shirou/gopsutil/v3/mem"
)

// meminfoFile has nothing to keep where there is no /proc/meminfo.
type meminfoFile struct{}

// memoryPools has nothing to keep: huge pages and ZFS's cache are read on Linux only.
type memoryPools struct{}

// memory asks the system how memory is used.
func (h *Host) memory(ctx context.Context, _ Tick, _ *memoryPools) (Memory, error) {
	m, err := gopsutilmem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return Memory{}, err
	}
	return Memory{Total: m.Total, Available: m.Available, Free: m.Free, Inactive: m.Inactive}, nil
}

// totalMemory is not needed where there are no control groups.
func (*Host) totalMemory(Tick) uint64 { return maxBytes }
