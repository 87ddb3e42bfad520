package instruments

// MemInfo is a reading of every line of /proc/meminfo. Memory has what it means.
type MemInfo struct {
	misread

	// Fields are the lines that report bytes, in the kernel's order and words.
	Fields []MemoryField
	// Dirty waits to be written to a disk, Shared is in tmpfs and shared memory; in
	// bytes. What is above 2^63-1 is unknown, here and below.
	Dirty, Shared uint64
	// Huge pages of the usual size: their number, those that no program has taken,
	// those promised, and those above the number that was asked for.
	HugeTotal, HugeFree, HugeReserved, HugeSurplus uint64
	// HugeSize is the usual size of a huge page and PageSize that of an ordinary one,
	// in bytes.
	HugeSize, PageSize uint64
}

// MemoryField is one line.
type MemoryField struct {
	// Name is the kernel's word: "Active(anon)".
	Name  string
	Bytes uint64
}

var (
	hugeStateKey = Key{Name: "system.memory.linux.hugepages.state", Help: "used or free"}

	memoryField = &Metric{
		Name: "sysotel.meminfo.field", Unit: "By", Kind: Gauge, Integer: true,
		Keys: []Key{{Name: "field", Help: "the kernel's word: Active(anon), Dirty, Committed_AS, Zswap, ..."}},
		Help: "Every line of /proc/meminfo that reports bytes, as the kernel has it.", Source: "/proc/meminfo",
	}
	memoryDirty = &Metric{
		Name: "system.linux.memory.dirty", Semconv: "-", Unit: "By", Kind: UpDownCounter, Integer: true,
		Help: "Memory that waits to be written to a disk.", Source: "/proc/meminfo, Dirty",
	}
	memoryShared = &Metric{
		Name: "system.memory.linux.shared", Unit: "By", Kind: UpDownCounter, Integer: true,
		Help: "Memory of shared mappings and of tmpfs.", Source: "/proc/meminfo, Shmem",
	}
	memoryPageSize = &Metric{
		Name: "system.memory.page_size", Semconv: "-", Unit: "By", Kind: Gauge, Integer: true,
		Help: "Size of a page of memory.", Source: "getpagesize(2)",
	}
	hugeLimit = &Metric{
		Name: "system.memory.linux.hugepages.limit", Unit: "{page}", Kind: UpDownCounter, Integer: true,
		Help: "Number of huge pages of the usual size.", Source: "/proc/meminfo, HugePages_Total",
	}
	hugePageSize = &Metric{
		Name: "system.memory.linux.hugepages.page_size", Unit: "By", Kind: UpDownCounter, Integer: true,
		Help: "Usual size of a huge page.", Source: "/proc/meminfo, Hugepagesize",
	}
	hugeReserved = &Metric{
		Name: "system.memory.linux.hugepages.reserved", Unit: "{page}", Kind: UpDownCounter, Integer: true,
		Help: "Huge pages that are promised to programs and not yet taken.", Source: "/proc/meminfo, HugePages_Rsvd",
	}
	hugeSurplus = &Metric{
		Name: "system.memory.linux.hugepages.surplus", Unit: "{page}", Kind: UpDownCounter, Integer: true,
		Help: "Huge pages above the number in vm.nr_hugepages.", Source: "/proc/meminfo, HugePages_Surp",
	}
	hugeUsage = &Metric{
		Name: "system.memory.linux.hugepages.usage", Unit: "{page}", Kind: UpDownCounter, Integer: true, Keys: []Key{hugeStateKey},
		Help: "Huge pages of the usual size that are used and free.", Source: "/proc/meminfo, HugePages_Total and HugePages_Free",
	}
	hugeUtilization = &Metric{
		Name: "system.memory.linux.hugepages.utilization", Unit: "1", Kind: Gauge, Keys: []Key{hugeStateKey},
		Help: "Share of the huge pages that is used and free; not sent without huge pages.", Source: "system.memory.linux.hugepages.usage over system.memory.linux.hugepages.limit",
	}
)

// meminfoFamily reports /proc/meminfo.
type meminfoFamily struct{}

func newMemInfo() Collector { return meminfoFamily{} }

func (meminfoFamily) Name() string { return "meminfo" }

func (meminfoFamily) Metrics() []*Metric {
	return []*Metric{
		memoryField, memoryDirty, memoryShared, memoryPageSize,
		hugeLimit, hugePageSize, hugeReserved, hugeSurplus, hugeUsage, hugeUtilization,
	}
}

// Report implements Reading.
func (m *MemInfo) Report(o *Observer) {
	for i := range m.Fields {
		o.Uint(memoryField, m.Fields[i].Bytes, m.Fields[i].Name)
	}
	o.Uint(memoryDirty, m.Dirty)
	o.Uint(memoryShared, m.Shared)
	o.Uint(memoryPageSize, m.PageSize)
	o.Uint(hugeLimit, m.HugeTotal)
	o.Uint(hugePageSize, m.HugeSize)
	o.Uint(hugeReserved, m.HugeReserved)
	o.Uint(hugeSurplus, m.HugeSurplus)
	o.Uint(hugeUsage, m.HugeFree, "free")
	if isCount(m.HugeTotal) && isCount(m.HugeFree) {
		used := m.HugeTotal - m.HugeFree
		o.Uint(hugeUsage, used, "used")
		o.Float(hugeUtilization, ratio(float64(m.HugeFree), float64(m.HugeTotal)), "free")
		o.Float(hugeUtilization, ratio(float64(used), float64(m.HugeTotal)), "used")
	}
}
