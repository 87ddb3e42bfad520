package instruments

import (
	"context"
	"math"
	"strings"
	"time"

	"sysotel/instruments/pattern"
	"sysotel/instruments/sanitize"
)

// Disk is a reading of the block devices.
type Disk struct {
	// Devices are whole disks and devices built on them (device mapper, RAID);
	// partitions, images and memory devices only if a pattern includes them.
	Devices []DiskDevice
	// Total has each operation once: it is the sum over the disks, including those
	// that a pattern leaves out of Devices. A device built on others is in it only where
	// those are not seen to count its operations again.
	Total DiskRates
	// Detailed reports whether the system counts merges, waiting and busy time
	// (Linux does); if not, these fields are 0 or unknown and are not reported.
	Detailed bool
	// Unnamed are those that have no name of their own in metrics, because there are too
	// many. Their sum is the last of Devices then.
	Unnamed []DiskDevice
	// misread is what could not be read, and which disks the total goes on without.
	misread
}

// Folded implements Folder.
func (d *Disk) Folded() (things int, full bool) { return len(d.Unnamed), len(d.Unnamed) > 0 }

// DiskRates are the operations of the last tick, per second.
type DiskRates struct {
	ReadBytesPerSecond, WriteBytesPerSecond float64
	ReadsPerSecond, WritesPerSecond         float64
}

// DiskDevice is one block device. Counters count since boot, times are in seconds; a
// counter that could not be read is 2^64-1, a time is unknown.
type DiskDevice struct {
	// Name is the kernel's name, "sda"; Mapper is the name that the device
	// mapper gave a "dm-0", such as "vg-root", else "".
	Name, Mapper string
	// Physical reports whether the device counts in the total: a whole disk, or what
	// stands on disks that keep no counts.
	Physical bool
	// Sum is set on the sum over Disk.Unnamed, whose counters count since the agent started.
	Sum bool
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
	// Discards are completed, those joined to others before and their sectors; Flushes are
	// requests to write what the device holds in its cache.
	Discards, DiscardsMerged, DiscardedSectors, Flushes uint64
	// DiscardTime and FlushTime are summed over operations.
	DiscardTime, FlushTime float64
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
	diskKey          = Key{Name: "device", Semconv: "system.device", Help: "block device: sda, nvme0n1, dm-0; what is beyond instruments.disk.names is others"}
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
	diskDiscardOperations = &Metric{
		Name: "sysotel.disk.discard.operations", Unit: "{operation}", Kind: Counter, Integer: true, Keys: []Key{diskKey},
		Help: "Completed discards: what marks blocks of a device as free.", Source: "/proc/diskstats, since Linux 4.18",
	}
	diskDiscardMerged = &Metric{
		Name: "sysotel.disk.discard.merged", Unit: "{operation}", Kind: Counter, Integer: true, Keys: []Key{diskKey},
		Help: "Discards that the kernel joined to neighbouring ones.", Source: "/proc/diskstats, since Linux 4.18",
	}
	diskDiscardSectors = &Metric{
		Name: "sysotel.disk.discard.sectors", Unit: "{sector}", Kind: Counter, Integer: true, Keys: []Key{diskKey},
		Help: "Sectors of 512 bytes that were discarded.", Source: "/proc/diskstats, since Linux 4.18",
	}
	diskDiscardDuration = &Metric{
		Name: "sysotel.disk.discard.time", Unit: "s", Kind: Counter, Keys: []Key{diskKey},
		Help: "Time that discards took, summed over operations.", Source: "/proc/diskstats, since Linux 4.18",
	}
	diskFlushOperations = &Metric{
		Name: "sysotel.disk.flush.operations", Unit: "{operation}", Kind: Counter, Integer: true, Keys: []Key{diskKey},
		Help: "Completed requests to write what the device holds in its cache.", Source: "/proc/diskstats, since Linux 5.5",
	}
	diskFlushDuration = &Metric{
		Name: "sysotel.disk.flush.time", Unit: "s", Kind: Counter, Keys: []Key{diskKey},
		Help: "Time that such requests took, summed over them.", Source: "/proc/diskstats, since Linux 5.5",
	}
	diskQueue = &Metric{
		Name: "sysotel.disk.queue.length", Unit: "{operation}", Kind: Gauge, Keys: []Key{diskKey},
		Help: "Mean number of operations under way in the last tick.", Source: "difference of system.disk.weighted_io_time over the time that passed",
	}
)

// disk reads the block devices. What they are and what stands on what is in block.go.
type disk struct {
	filter  pattern.Filter
	source  diskSource
	devices map[string]*diskState
	// order has the devices of the newest reading in the order of the file.
	order []*diskState
	// reported has those of its Devices.
	reported []*diskState
	// looks asks beside the tick what stacked devices stand on: volumes are renamed and
	// moved, arrays get other members.
	looks beside[block]
	scans uint64
	span  span
	// shown is the number of devices in the reading before.
	shown int
	// roster chooses the devices with a name of their own, others has the numbers of the
	// rest together, once there were such.
	roster roster
	others *diskNumbers
}

// diskState is what is kept of one device between two reads.
type diskState struct {
	// name is the kernel's, label can be shown.
	name, label string
	block
	relations
	// place is in the roster.
	place member
	// shown reports whether the device is in the reading; one that is not can still
	// count in the total.
	shown bool
	// number is its major and minor number; by that and its sequence another device
	// under the same name is noticed.
	number   uint64
	sequence sequence
	counts   trail[[6]uint64]
	times    [4]trail[[1]uint64]
	more     [diskMore]trail[[1]uint64]
	// diskNumbers are those of the newest reading: the device's own, or what its parts
	// counted where it keeps no counts itself.
	diskNumbers
	carrying bool
	ceiling  ceiling
	outage   outage
	// scan is the number of the newest read that saw the device, first is set if there
	// was none before it.
	scan  uint64
	first bool
}

// lookEvery is how often it is asked again what a stacked device stands on.
const lookEvery = time.Minute

func newDisk(c Config) Collector {
	return &disk{
		filter: c.Filter("disk"), roster: roster{most: c.names("disk")}, devices: map[string]*diskState{},
		looks: beside[block]{every: lookEvery, read: func(h *Host, name string, _ block) block { return h.block(name) }},
	}
}

func (*disk) Name() string { return "disk" }

// Configure implements Configurable.
func (d *disk) Configure(c Config) {
	d.filter, d.roster.most = c.Filter("disk"), c.names("disk")
	for _, s := range d.devices {
		d.show(s)
	}
}

func (*disk) Metrics() []*Metric {
	return []*Metric{
		diskIO, diskOperations, diskMerged, diskOperationTime, diskIOTime, diskWeightedIOTime, diskPending,
		diskIORate, diskOperationsRate, diskBusy, diskLatency, diskQueue,
		diskDiscardOperations, diskDiscardMerged, diskDiscardSectors, diskDiscardDuration, diskFlushOperations, diskFlushDuration,
	}
}

func (d *disk) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	r := &Disk{Devices: make([]DiskDevice, 0, d.shown), Detailed: diskDetails}
	begun, changed := false, false
	now, seconds := h.Now(), unknown
	begin := func() {
		if !begun {
			// Only now are there new counters to compare.
			d.scans++
			now = h.Now()
			seconds, begun = d.span.next(now, t.Interval), true
			d.order = d.order[:0]
		}
	}
	err := d.source.each(ctx, h, &r.misread, func(name []byte, c *diskCounters) {
		begin()
		s := d.devices[string(name)]
		switch {
		case s == nil:
			s = &diskState{name: string(name), label: sanitize.EscapeControl(string(name))}
			s.place.name = s.label
			s.block = h.block(s.name)
			d.devices[s.name] = s
			changed = true
		case s.scan == d.scans:
			r.note("/proc/diskstats: "+s.label, "the device is there twice")
			return
		}
		s.first = s.scan == 0
		if s.scan != d.scans-1 {
			s.miss()
		}
		s.scan = d.scans
		d.order = append(d.order, s)
		if s.kind == blockEmpty && s.counts.begun && c.counts() != s.counts.value {
			s.block, changed = h.block(s.name), true
		}
		if s.take(c, s.isReplaced(h, c, turn(len(d.order), len(d.devices), d.scans), len(d.devices) <= sequenceTurn)) {
			s.block, changed = h.block(s.name), true
		}
	})
	if err != nil {
		return nil, err
	}
	begin()
	for name, s := range d.devices {
		if s.scan != d.scans {
			delete(d.devices, name)
			d.roster.release(&s.place)
			d.looks.forget(name)
			changed = true
		}
	}
	for _, s := range d.order {
		if s.kind != blockStacked {
			continue
		}
		if found, ok := d.looks.get(h, s.name, now); ok && !found.equal(&s.block) {
			s.block, changed = found, true
		}
	}
	if changed {
		link(d.devices, d.order)
		for _, s := range d.order {
			d.show(s)
		}
	}
	d.compare(r, seconds, now)
	d.shown = len(r.Devices)
	d.fold(r, seconds, t.Halved)
	return r, nil
}

// show decides whether a device is in the readings.
func (d *disk) show(s *diskState) {
	usual := s.kind.usual() || s.kind == blockPart && s.whole == nil
	if s.shown = d.filter.Keep(usual, "device", s.name); !s.shown {
		d.roster.release(&s.place)
	}
}

// compare fills in the devices that are shown, and the total.
func (d *disk) compare(r *Disk, seconds float64, now time.Time) {
	someCount := settle(d.order)
	d.reported = d.reported[:0]
	var sum diskSum
	for _, s := range d.order {
		counted := s.isCounted(someCount)
		if !counted && !s.shown {
			continue
		}
		one := DiskDevice{Name: s.label, Mapper: sanitize.EscapeControl(s.mapper), Physical: counted}
		one.count(&s.diskNumbers)
		one.countMore(&s.more)
		one.compare(&s.diskNumbers, &s.ceiling, seconds)
		switch {
		case !counted, s.first: // At first sight there is no rate yet.
		case math.IsNaN(seconds):
			sum.add(&one.DiskRates, false)
		case one.known():
			s.outage.ends()
			sum.add(&one.DiskRates, false)
		default:
			gone := s.outage.fails(now)
			if gone {
				r.note(s.label, lacksRate+leftOut)
			}
			sum.add(&one.DiskRates, gone)
		}
		if s.shown {
			r.Devices = append(r.Devices, one)
			d.reported = append(d.reported, s)
		}
	}
	r.Total = sum.rates()
}

// fold adds up the devices that have no name of their own. First those have one that are in
// the total, then those that do most.
func (d *disk) fold(r *Disk, seconds float64, halved int) {
	passed := orZero(seconds)
	d.roster.begin()
	for i := range r.Devices {
		one := &r.Devices[i]
		share := orZero(one.Busy) + (orZero(one.ReadBytesPerSecond)+orZero(one.WriteBytesPerSecond))/fastDisk
		if one.Physical {
			share++
		}
		d.roster.see(&d.reported[i].place, true, share, passed)
	}
	if d.roster.choose(passed, halved) > 0 && d.others == nil {
		d.others = &diskNumbers{}
	}
	if d.others == nil {
		return
	}
	d.others.grown, d.others.pending = [diskCounts]float64{}, 0
	sum := DiskDevice{Name: otherNames, Sum: true}
	var rates diskSum
	named := r.Devices[:0]
	for i := range r.Devices {
		one, s := r.Devices[i], d.reported[i]
		if !s.place.named || !s.place.was {
			d.others.add(&s.diskNumbers)
		}
		if s.place.named {
			named = append(named, one)
			continue
		}
		if isCount(one.Pending) {
			d.others.pending += one.Pending
		}
		rates.add(&one.DiskRates, true)
		sum.Queue += orZero(one.Queue)
		r.Unnamed = append(r.Unnamed, one)
	}
	sum.count(d.others)
	sum.DiskRates = rates.rates()
	// Devices that are busy at the same time have no share of the tick together.
	sum.Busy, sum.ReadLatency, sum.WriteLatency = unknown, unknown, unknown
	r.Devices = append(named, sum)
}

// add adds what a device has counted since the reading before.
func (n *diskNumbers) add(o *diskNumbers) {
	for i := range n.count {
		if grown := o.grown[i]; grown > 0 {
			n.count[i] += uint64(grown)
		}
	}
}

// count fills in the counters.
func (d *DiskDevice) count(n *diskNumbers) {
	d.Reads, d.ReadsMerged, d.ReadBytes = n.count[diskReads], n.count[diskReadsMerged], n.count[diskReadBytes]
	d.Writes, d.WritesMerged, d.WriteBytes = n.count[diskWrites], n.count[diskWritesMerged], n.count[diskWriteBytes]
	d.Pending = n.pending
	seconds := func(i int) float64 {
		if n.count[i] == unknownCount {
			return unknown
		}
		return float64(n.count[i]) / 1000
	}
	d.ReadTime, d.WriteTime = seconds(diskReadTime), seconds(diskWriteTime)
	d.IOTime, d.WeightedIOTime = unknown, unknown
	if diskDetails {
		d.IOTime, d.WeightedIOTime = seconds(diskIOMillis), seconds(diskWeightedMillis)
	}
}

// countMore fills in the counters of newer kernels.
func (d *DiskDevice) countMore(more *[diskMore]trail[[1]uint64]) {
	seconds := func(i int) float64 {
		if n := more[i].count(0); isCount(n) {
			return float64(n) / 1000
		}
		return unknown
	}
	d.Discards, d.DiscardsMerged = more[diskDiscards].count(0), more[diskDiscardsMerged].count(0)
	d.DiscardedSectors, d.Flushes = more[diskDiscardedSectors].count(0), more[diskFlushes].count(0)
	d.DiscardTime, d.FlushTime = seconds(diskDiscardTime), seconds(diskFlushTime)
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
			o.Uint(diskDiscardOperations, one.Discards, one.Name)
			o.Uint(diskDiscardMerged, one.DiscardsMerged, one.Name)
			o.Uint(diskDiscardSectors, one.DiscardedSectors, one.Name)
			o.Float(diskDiscardDuration, one.DiscardTime, one.Name)
			o.Uint(diskFlushOperations, one.Flushes, one.Name)
			o.Float(diskFlushDuration, one.FlushTime, one.Name)
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
