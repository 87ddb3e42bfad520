package instruments

import (
	"context"
	"strings"

	"sysotel/instruments/pattern"
	"sysotel/instruments/sanitize"
)

// Disk is a reading of the block devices.
type Disk struct {
	// Devices are whole disks and devices built on them (device mapper, RAID);
	// partitions, images and memory devices only if a pattern includes them.
	Devices []DiskDevice
	// Total is the sum over the physical disks, including those that a
	// pattern leaves out of Devices. Devices built on other disks are not in it,
	// because their operations are counted again on those.
	Total DiskRates
	// Detailed reports whether the system counts merges, waiting and busy time
	// (Linux does); if not, these fields are 0 or unknown and are not reported.
	Detailed bool
}

// DiskRates are the operations of the last tick, per second.
type DiskRates struct {
	ReadBytesPerSecond, WriteBytesPerSecond float64
	ReadsPerSecond, WritesPerSecond         float64
}

// DiskDevice is one block device. Counters count since boot, times are in seconds.
type DiskDevice struct {
	// Name is the kernel's name, "sda"; Mapper is the name that the device
	// mapper gave a "dm-0", such as "vg-root", else "".
	Name, Mapper string
	// Physical reports whether the device counts in the total.
	Physical bool
	// Reads and Writes are completed operations, Merged those that the kernel
	// joined to others before.
	Reads, Writes, ReadsMerged, WritesMerged uint64
	ReadBytes, WriteBytes                    uint64
	// ReadTime and WriteTime are summed over operations; IOTime is the time in
	// which at least one operation was under way, WeightedIOTime the same times
	// the number of operations under way.
	ReadTime, WriteTime, IOTime, WeightedIOTime float64
	// Pending is the number of operations under way at this moment.
	Pending uint64
	// DiskRates are those of this device.
	DiskRates
	// Busy is the share of the last tick in which an operation was under way,
	// 0 to 1. A disk that serves many at once may not be saturated at 1.
	Busy float64
	// ReadLatency and WriteLatency are the mean time of an operation that was
	// completed in the last tick, unknown where there was none.
	ReadLatency, WriteLatency float64
	// Queue is the mean number of operations under way in the last tick.
	Queue float64
}

var (
	diskKey          = Key{Name: "device", Semconv: "system.device", Help: "block device: sda, nvme0n1, dm-0"}
	diskDirectionKey = Key{Name: "direction", Semconv: "disk.io.direction", Help: "read or write"}
	diskSumKey       = Key{Name: "device", Semconv: "system.device", Help: "block device; left out of the point that is the sum over all physical disks"}

	diskIO = &Metric{
		Name: "system.disk.io", Unit: "By", Kind: Counter, Integer: true, Keys: []Key{diskKey, diskDirectionKey},
		Help: "Bytes read and written.", Source: "/proc/diskstats, sectors of 512 bytes",
	}
	diskOperations = &Metric{
		Name: "system.disk.operations", Unit: "{operations}", SemconvUnit: "{operation}", Kind: Counter, Integer: true, Keys: []Key{diskKey, diskDirectionKey},
		Help: "Completed reads and writes.", Source: "/proc/diskstats",
	}
	diskMerged = &Metric{
		Name: "system.disk.merged", Unit: "{operations}", SemconvUnit: "{operation}", Kind: Counter, Integer: true, Keys: []Key{diskKey, diskDirectionKey},
		Help: "Reads and writes that the kernel joined to neighbouring ones.", Source: "/proc/diskstats",
	}
	diskOperationTime = &Metric{
		Name: "system.disk.operation_time", Unit: "s", Kind: Counter, Keys: []Key{diskKey, diskDirectionKey},
		Help: "Time that reads and writes took, summed over operations.", Source: "/proc/diskstats",
	}
	diskIOTime = &Metric{
		Name: "system.disk.io_time", Unit: "s", Kind: Counter, Keys: []Key{diskKey},
		Help: "Time in which at least one operation was under way.", Source: "/proc/diskstats",
	}
	diskWeightedIOTime = &Metric{
		Name: "system.disk.weighted_io_time", Semconv: "-", Unit: "s", Kind: Counter, Keys: []Key{diskKey},
		Help: "Time in which operations were under way, times their number.", Source: "/proc/diskstats",
	}
	diskPending = &Metric{
		Name: "system.disk.pending_operations", Semconv: "-", Unit: "{operations}", Kind: UpDownCounter, Integer: true, Keys: []Key{diskKey},
		Help: "Operations under way at the moment of the reading.", Source: "/proc/diskstats",
	}
	diskIORate = &Metric{
		Name: "sysotel.disk.io.rate", Unit: "By/s", Kind: Gauge, Keys: []Key{diskDirectionKey, diskSumKey},
		Help: "Bytes read and written per second in the last tick, by device and (without device) over all physical disks.", Source: "difference of system.disk.io over the time that passed",
	}
	diskOperationsRate = &Metric{
		Name: "sysotel.disk.operations.rate", Unit: "{operation}/s", Kind: Gauge, Keys: []Key{diskDirectionKey, diskSumKey},
		Help: "Reads and writes completed per second in the last tick, by device and (without device) over all physical disks.", Source: "difference of system.disk.operations over the time that passed",
	}
	diskBusy = &Metric{
		Name: "sysotel.disk.busy", Unit: "1", Kind: Gauge, Keys: []Key{diskKey},
		Help: "Share of the last tick in which at least one operation was under way.", Source: "difference of system.disk.io_time over the time that passed",
	}
	diskLatency = &Metric{
		Name: "sysotel.disk.latency", Unit: "s", Kind: Gauge, Keys: []Key{diskKey, diskDirectionKey},
		Help: "Mean time of the operations completed in the last tick; no point where there was none.", Source: "difference of system.disk.operation_time over that of system.disk.operations",
	}
	diskQueue = &Metric{
		Name: "sysotel.disk.queue.length", Unit: "{operation}", Kind: Gauge, Keys: []Key{diskKey},
		Help: "Mean number of operations under way in the last tick.", Source: "difference of system.disk.weighted_io_time over the time that passed",
	}
)

// diskKind says what a block device is.
type diskKind uint8

const (
	// diskSkipped are partitions, devices in memory, images and empty drives.
	diskSkipped diskKind = iota
	// diskStacked are built on other devices.
	diskStacked
	// diskVirtual are built neither on another device nor on hardware of this
	// machine: a network block device.
	diskVirtual
	// diskPhysical are whole disks.
	diskPhysical
)

// disk reads the block devices.
type disk struct {
	filter  pattern.Filter
	source  diskSource
	devices map[string]*diskState
	scans   uint64
	span    span
	// shown is the number of devices in the reading before.
	shown int
}

// diskState is what is kept of one device between two reads.
type diskState struct {
	name, mapper string
	kind         diskKind
	// shown reports whether the device is in the reading; one that is not can still
	// count in the total.
	shown  bool
	before diskCounters
	// scan is the number of the newest read that saw the device.
	scan uint64
}

func newDisk(c Config) Collector {
	return &disk{filter: c.Filter("disk"), devices: map[string]*diskState{}}
}

func (*disk) Name() string { return "disk" }

// Configure implements Configurable.
func (d *disk) Configure(c Config) {
	d.filter = c.Filter("disk")
	for _, s := range d.devices {
		s.shown = d.filter.Keep(s.kind != diskSkipped, "device", s.name)
	}
}

func (*disk) Metrics() []*Metric {
	return []*Metric{
		diskIO, diskOperations, diskMerged, diskOperationTime, diskIOTime, diskWeightedIOTime, diskPending,
		diskIORate, diskOperationsRate, diskBusy, diskLatency, diskQueue,
	}
}

func (d *disk) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	r := &Disk{Devices: make([]DiskDevice, 0, d.shown), Detailed: diskDetails}
	var physical, virtual diskSum
	seconds, begun := unknown, false
	err := d.source.each(ctx, h, func(name []byte, c diskCounters) {
		if !begun {
			// Only now are there new counters to compare.
			d.scans++
			seconds, begun = d.span.next(h.Now(), t.Interval), true
		}
		s, known := d.devices[string(name)]
		if !known {
			s = &diskState{name: string(name)}
			d.classify(h, s)
			d.devices[s.name] = s
		}
		known = known && s.scan == d.scans-1
		before := s.before
		s.before, s.scan = c, d.scans
		if s.kind == diskSkipped && known && c != before && waitsForMedium(s.name) {
			d.classify(h, s)
		}
		if s.kind == diskSkipped && !s.shown {
			return
		}
		one := DiskDevice{Name: s.name, Mapper: sanitize.EscapeControl(s.mapper), Physical: s.kind == diskPhysical}
		one.count(c)
		one.compare(c, before, known, seconds)
		switch s.kind {
		case diskPhysical:
			physical.add(one.DiskRates, known)
		case diskVirtual:
			virtual.add(one.DiskRates, known)
		}
		if s.shown {
			r.Devices = append(r.Devices, one)
		}
	})
	if err != nil {
		return nil, err
	}
	for name, s := range d.devices {
		if s.scan != d.scans || !begun {
			delete(d.devices, name)
		}
	}
	d.shown = len(r.Devices)
	// A machine without disks of its own may run on a network block device.
	r.Total = physical.rates()
	if physical.devices == 0 {
		r.Total = virtual.rates()
	}
	return r, nil
}

// classify looks up once what a device is: it does not change while the name exists.
func (d *disk) classify(h *Host, s *diskState) {
	s.kind, s.mapper = h.diskKind(s.name)
	s.shown = d.filter.Keep(s.kind != diskSkipped, "device", s.name)
}

// waitsForMedium reports whether a device that was skipped can come up under
// its name: the kernel lists network block devices before they are connected.
func waitsForMedium(name string) bool { return isNumbered(name, "nbd") }

// count fills in the counters.
func (d *DiskDevice) count(c diskCounters) {
	d.Reads, d.Writes, d.ReadsMerged, d.WritesMerged = c.reads, c.writes, c.readsMerged, c.writesMerged
	d.ReadBytes, d.WriteBytes, d.Pending = c.readBytes, c.writeBytes, c.pending
	d.ReadTime, d.WriteTime = float64(c.readTime)/1000, float64(c.writeTime)/1000
	d.IOTime, d.WeightedIOTime = float64(c.ioTime)/1000, float64(c.weightedIOTime)/1000
	if !diskDetails {
		d.IOTime, d.WeightedIOTime = unknown, unknown
	}
}

// isNumbered reports whether name is the prefix and a number: loop0, but not looper.
func isNumbered(name, prefix string) bool {
	number, ok := strings.CutPrefix(name, prefix)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// Report implements Reading.
func (d *Disk) Report(o *Observer) {
	for i := range d.Devices {
		one := &d.Devices[i]
		o.Uint(diskIO, one.ReadBytes, one.Name, "read")
		o.Uint(diskIO, one.WriteBytes, one.Name, "write")
		o.Uint(diskOperations, one.Reads, one.Name, "read")
		o.Uint(diskOperations, one.Writes, one.Name, "write")
		o.Float(diskOperationTime, one.ReadTime, one.Name, "read")
		o.Float(diskOperationTime, one.WriteTime, one.Name, "write")
		o.Float(diskIOTime, one.IOTime, one.Name)
		o.Float(diskWeightedIOTime, one.WeightedIOTime, one.Name)
		if d.Detailed {
			o.Uint(diskMerged, one.ReadsMerged, one.Name, "read")
			o.Uint(diskMerged, one.WritesMerged, one.Name, "write")
			o.Uint(diskPending, one.Pending, one.Name)
		}
		one.report(o, one.Name)
		o.Float(diskBusy, one.Busy, one.Name)
		o.Float(diskLatency, one.ReadLatency, one.Name, "read")
		o.Float(diskLatency, one.WriteLatency, one.Name, "write")
		o.Float(diskQueue, one.Queue, one.Name)
	}
	d.Total.report(o, "")
}

func (r *DiskRates) report(o *Observer, device string) {
	o.Float(diskIORate, r.ReadBytesPerSecond, "read", device)
	o.Float(diskIORate, r.WriteBytesPerSecond, "write", device)
	o.Float(diskOperationsRate, r.ReadsPerSecond, "read", device)
	o.Float(diskOperationsRate, r.WritesPerSecond, "write", device)
}
