package instruments

import (
	"context"
	"runtime"
)

// Memory is a reading of the machine's memory, in bytes; what could not be read is
// above 2^63-1 and not reported.
type Memory struct {
	misread

	// Total is the memory that the kernel can use.
	Total uint64
	// Available is an estimate of what programs can still get without swapping. ZFS's
	// cache (ARC) is in it as far as ZFS gives it back.
	Available uint64
	// Used is Total minus Available and HugeFree.
	Used uint64
	// HugeFree is set aside as huge pages (hugetlbfs) that no program has taken: not
	// available to others, and not used; 0 without such pages.
	HugeFree uint64
	// ARC is the cache of ZFS; 0 without ZFS.
	ARC uint64
	// Free is unused memory.
	Free uint64
	// Buffers caches raw block devices; Cached caches files and includes
	// SlabReclaimable. Both are 0 except on Linux.
	Buffers, Cached uint64
	// SlabReclaimable and SlabUnreclaimable are the kernel's own objects. Both
	// are 0 except on Linux.
	SlabReclaimable, SlabUnreclaimable uint64
	// Inactive was not used recently. Linux reports it, but it is part of Cached
	// and Used there and not a state of its own.
	Inactive uint64
	// Utilization is Used over Total, 0 to 1.
	Utilization float64
}

var (
	memoryStateKey = Key{
		Name: "state", Semconv: "system.memory.state",
		Values: map[string]string{"buffered": "buffers", "slab_reclaimable": absent, "slab_unreclaimable": absent, "inactive": absent},
		Help:   "used, free, buffered, cached, slab_reclaimable, slab_unreclaimable (Linux), inactive (other systems); on Linux cached includes slab_reclaimable, so the states do not add up to the limit",
	}

	memoryUsage = &Metric{
		Name: "system.memory.usage", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{memoryStateKey},
		Help:   "Memory in each state; used is the limit without what is available and without free huge pages.",
		Source: "/proc/meminfo: used = system.memory.limit - system.linux.memory.available - sysotel.memory.hugepages.free, MemFree, Buffers, cached = Cached + SReclaimable as in free(1) and the host metrics receiver, SReclaimable, SUnreclaim",
	}
	memoryUtilization = &Metric{
		Name: "system.memory.utilization", Unit: "1", Kind: Gauge, Keys: []Key{memoryStateKey},
		Help: "Share of the memory in each state.", Source: "system.memory.usage over system.memory.limit",
	}
	memoryLimit = &Metric{
		Name: "system.memory.limit", Unit: "By", Kind: UpDownCounter, Integer: true,
		Help: "Memory that the kernel can use.", Source: "/proc/meminfo, MemTotal",
	}
	memoryAvailable = &Metric{
		Name: "system.linux.memory.available", Semconv: "system.memory.linux.available", Unit: "By", Kind: UpDownCounter, Integer: true,
		Help: "Estimate of the memory that programs can still get without swapping.", Source: "/proc/meminfo, MemAvailable; before Linux 3.14 estimated as the kernel does, with the low watermarks of /proc/zoneinfo; with ZFS plus size - c_min of /proc/spl/kstat/zfs/arcstats, which the kernel does not count",
	}
	memoryHugeFree = &Metric{
		Name: "sysotel.memory.hugepages.free", Unit: "By", Kind: UpDownCounter, Integer: true,
		Help: "Memory set aside as huge pages of every size that no program has taken; not sent without huge pages.", Source: "/proc/meminfo, HugePages_Free x Hugepagesize; with several sizes free_hugepages in /sys/kernel/mm/hugepages",
	}
	memoryARC = &Metric{
		Name: "sysotel.memory.arc.usage", Unit: "By", Kind: UpDownCounter, Integer: true,
		Help: "Memory in the cache of ZFS (ARC); not sent without ZFS.", Source: "/proc/spl/kstat/zfs/arcstats, size",
	}
	memorySlab = &Metric{
		Semconv: "system.memory.linux.slab.usage", Unit: "By", Kind: UpDownCounter, Integer: true,
		Keys: []Key{{Name: "state", Semconv: "system.memory.linux.slab.state", Help: "reclaimable, unreclaimable"}},
		Help: "Memory in the kernel's slab caches.", Source: "/proc/meminfo, SReclaimable and SUnreclaim; the host metrics receiver sends them as states of system.memory.usage",
	}
)

// memory reads how memory is used.
type memory struct{ pools memoryPools }

func newMemory() Collector { return &memory{} }

func (*memory) Name() string { return "memory" }

func (*memory) Metrics() []*Metric {
	return []*Metric{memoryUsage, memoryUtilization, memoryLimit, memoryAvailable, memorySlab, memoryHugeFree, memoryARC}
}

func (m *memory) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	r, err := h.memory(ctx, t, &m.pools)
	if err != nil {
		return nil, err
	}
	r.Used, r.Utilization = unknownCount, unknown
	if r.Total != unknownCount && r.Available != unknownCount {
		// /proc/meminfo is not read atomically and some virtual machines return memory to the host.
		r.Available = min(r.Available, r.Total)
		r.Used = saturatingSub(r.Total-r.Available, r.HugeFree)
		r.Utilization = ratio(float64(r.Used), float64(r.Total))
	}
	return &r, nil
}

// each calls f with each state that the receiver sends on this system.
func (m *Memory) each(f func(state string, bytes uint64)) {
	f("used", m.Used)
	f("free", m.Free)
	if runtime.GOOS != "linux" {
		f("inactive", m.Inactive)
		return
	}
	f("buffered", m.Buffers)
	f("cached", m.Cached)
	f("slab_reclaimable", m.SlabReclaimable)
	f("slab_unreclaimable", m.SlabUnreclaimable)
}

// Report implements Reading.
func (m *Memory) Report(o *Observer) {
	m.each(func(state string, bytes uint64) {
		o.Uint(memoryUsage, bytes, state)
		if bytes != unknownCount && m.Total != unknownCount {
			o.Float(memoryUtilization, ratio(float64(bytes), float64(m.Total)), state)
		}
	})
	o.Uint(memoryLimit, m.Total)
	if runtime.GOOS == "linux" {
		o.Uint(memoryAvailable, m.Available)
		o.Uint(memorySlab, m.SlabReclaimable, "reclaimable")
		o.Uint(memorySlab, m.SlabUnreclaimable, "unreclaimable")
		if m.HugeFree > 0 {
			o.Uint(memoryHugeFree, m.HugeFree)
		}
		if m.ARC > 0 {
			o.Uint(memoryARC, m.ARC)
		}
	}
}
