package instruments

import "context"

// Paging is a reading of swap space and page faults; what could not be read is
// above 2^63-1 and not reported.
type Paging struct {
	misread

	// Total, Used and Free are of all swap devices together, in bytes; all are 0
	// where no swap is configured.
	Total, Used, Free uint64
	// Utilization is Used over Total, 0 to 1; unknown without swap.
	Utilization float64
	// Devices are the partitions and files that are swapped to.
	Devices []SwapDevice
	// Counted reports whether the counters below are known on this system.
	Counted bool
	// MajorFaults had to read from a disk, MinorFaults did not.
	MajorFaults, MinorFaults uint64
	// SwapIn and SwapOut count pages brought in from swap and written to it.
	SwapIn, SwapOut uint64
	// OOMKills counts the processes killed by the OOM killer since boot, where
	// OOMCounted (Linux since 4.13). Each is an event too.
	OOMKills   uint64
	OOMCounted bool
}

// SwapDevice is one partition or file that is swapped to.
type SwapDevice struct {
	// Name is its path, "/dev/sda2".
	Name string
	// Used and Free are in bytes.
	Used, Free uint64
}

var (
	swapDeviceKey = Key{Name: "device", Semconv: "system.device", Help: "path of the swap partition or file"}
	swapStateKey  = Key{Name: "state", Semconv: "system.paging.state", Help: "used, free"}
	faultKey      = Key{Name: "type", Semconv: "system.paging.fault.type", Help: "major: read from a disk; minor: all others"}
	pagingKey     = Key{
		Name: "direction", Semconv: "system.paging.direction", Values: map[string]string{"page_in": "in", "page_out": "out"},
		Help: "page_in, page_out",
	}

	pagingUsage = &Metric{
		Name: "system.paging.usage", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{swapDeviceKey, swapStateKey},
		Help: "Swap space of each device that is used and free.", Source: "/proc/swaps",
	}
	pagingUtilization = &Metric{
		Name: "system.paging.utilization", Unit: "1", Kind: Gauge, Keys: []Key{swapDeviceKey, swapStateKey},
		Help: "Share of each device's swap space that is used and free.", Source: "/proc/swaps",
	}
	pagingFaults = &Metric{
		Name: "system.paging.faults", Unit: "{faults}", SemconvUnit: "{fault}", Kind: Counter, Integer: true, Keys: []Key{faultKey},
		Help: "Page faults of all processes.", Source: "/proc/vmstat: pgmajfault, and pgfault without it; the host metrics receiver sends them 4,096 times too large",
	}
	pagingOperations = &Metric{
		Name: "system.paging.operations", Unit: "{operations}", SemconvUnit: "{operation}", Kind: Counter, Integer: true, Keys: []Key{pagingKey, faultKey},
		Help: "Pages brought in from swap and written to it.", Source: "/proc/vmstat, pswpin and pswpout as type major, in pages; type minor is not sent: the host metrics receiver fills it with all block I/O (pgpgin, pgpgout), which is not paging",
	}
	oomKills = &Metric{
		Name: "sysotel.oom.kills", Unit: "{process}", Kind: Counter, Integer: true,
		Help: "Processes killed by the OOM killer.", Source: "/proc/vmstat, oom_kill",
	}
	swapLimit = &Metric{
		Name: "sysotel.swap.limit", Unit: "By", Kind: UpDownCounter, Integer: true,
		Help: "Swap space of all devices; 0 without swap.", Source: "/proc/meminfo, SwapTotal; the sum of /proc/swaps where it cannot be",
	}
	swapUsage = &Metric{
		Name: "sysotel.swap.usage", Unit: "By", Kind: UpDownCounter, Integer: true,
		Help: "Swap space in use on all devices; 0 without swap.", Source: "/proc/meminfo, SwapTotal - SwapFree",
	}
	swapUtilization = &Metric{
		Name: "sysotel.swap.utilization", Unit: "1", Kind: Gauge,
		Help: "Share of the swap space that is in use; not sent without swap.", Source: "sysotel.swap.usage over sysotel.swap.limit",
	}
)

// paging reads swap space and page faults.
type paging struct {
	swaps *file
	// counts are swapIn, swapOut, oomKills, majorFaults and faults of vmCounts.
	counts trail[[5]uint64]
}

func newPaging() Collector { return &paging{} }

func (*paging) Name() string { return "paging" }

func (*paging) Metrics() []*Metric {
	return []*Metric{pagingUsage, pagingUtilization, pagingFaults, pagingOperations, oomKills, swapLimit, swapUsage, swapUtilization}
}

func (p *paging) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	r, err := p.space(ctx, h, t)
	if err != nil {
		return nil, err
	}
	r.Utilization = unknown
	if r.Total != unknownCount && r.Used != unknownCount {
		r.Utilization = ratio(float64(r.Used), float64(r.Total))
	}
	return r, nil
}

// Report implements Reading.
func (p *Paging) Report(o *Observer) {
	for _, d := range p.Devices {
		o.Uint(pagingUsage, d.Used, d.Name, "used")
		o.Uint(pagingUsage, d.Free, d.Name, "free")
		if d.Used == unknownCount {
			continue
		}
		total := float64(d.Used) + float64(d.Free)
		o.Float(pagingUtilization, ratio(float64(d.Used), total), d.Name, "used")
		o.Float(pagingUtilization, ratio(float64(d.Free), total), d.Name, "free")
	}
	if p.Counted {
		o.Uint(pagingFaults, p.MajorFaults, "major")
		o.Uint(pagingFaults, p.MinorFaults, "minor")
		o.Uint(pagingOperations, p.SwapIn, "page_in", "major")
		o.Uint(pagingOperations, p.SwapOut, "page_out", "major")
	}
	if p.OOMCounted {
		o.Uint(oomKills, p.OOMKills)
	}
	o.Uint(swapLimit, p.Total)
	o.Uint(swapUsage, p.Used)
	o.Float(swapUtilization, p.Utilization)
}
