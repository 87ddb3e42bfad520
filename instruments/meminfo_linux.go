package instruments

import (
	"context"
	"os"
)

// Read implements Collector.
func (meminfoFamily) Read(_ context.Context, h *Host, t Tick) (Reading, error) {
	m, err := h.meminfo.read(h, t)
	if err != nil {
		return nil, err
	}
	r := &MemInfo{
		Fields: m.fields, misread: m.oddFields, Dirty: unknownCount, Shared: unknownCount,
		HugeTotal: m.hugeTotal, HugeFree: m.hugeFree, HugeReserved: m.hugeReserved, HugeSurplus: m.hugeSurplus,
		HugeSize: m.hugeSize, PageSize: uint64(os.Getpagesize()),
	}
	for _, f := range m.fields {
		switch f.Name {
		case "Dirty":
			r.Dirty = f.Bytes
		case "Shmem":
			r.Shared = f.Bytes
		}
	}
	if isCount(r.HugeTotal) && isCount(r.HugeFree) && r.HugeFree > r.HugeTotal {
		r.HugeFree = unknownCount
		r.note("/proc/meminfo: HugePages_Free", "is more than HugePages_Total")
	}
	return r, nil
}
