package instruments

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	gopsutildisk "github.com/shirou/gopsutil/v3/disk"
)

func TestParseDiskstat(t *testing.T) {
	full := diskCounters{
		reads: 1, readsMerged: 2, readBytes: 3 * 512, readTime: 4,
		writes: 5, writesMerged: 6, writeBytes: 7 * 512, writeTime: 8,
		pending: 9, ioTime: 10, weightedIOTime: 11,
	}
	for _, c := range []struct {
		what, line, name string
		want             diskCounters
		wrong            string
	}{
		{what: "Linux 2.6.25 to 4.17", line: "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11", name: "sda", want: full},
		{what: "with discards, 4.18", line: "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", name: "sda", want: full},
		{what: "with flushes, 5.5", line: " 259       0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", name: "nvme0n1", want: full},
		{what: "a name with a slash", line: " 104 0 cciss/c0d0 1 2 3 4 5 6 7 8 9 10 11", name: "cciss/c0d0", want: full},
		{what: "a partition before 2.6.25", line: "   8       1 sda1 1 2 3 4"},
		{what: "an empty line", line: ""},
		{what: "a negative number", line: "8 0 sda 1 2 -3 4 5 6 7 8 9 10 11", wrong: `"-3" is not a number`},
		{what: "a word", line: "8 0 sda 1 2 3 4 5 6 7 8 9 10 many", wrong: `"many" is not a number`},
		{what: "more sectors than bytes can be counted", line: "8 0 sda 1 2 18446744073709551615 4 5 6 7 8 9 10 11", wrong: "sectors"},
	} {
		t.Run(c.what, func(t *testing.T) {
			name, got, err := parseDiskstat([]byte(c.line))
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Fatalf("error is %v, want one with %q", err, c.wrong)
				}
				return
			}
			if err != nil || string(name) != c.name || got != c.want {
				t.Errorf("got %q %+v %v, want %q %+v", name, got, err, c.name, c.want)
			}
		})
	}
}

func FuzzParseDiskstat(f *testing.F) {
	f.Add("   8       0 sda 1 2 3 4 5 6 7 8 9 10 11")
	f.Add("8 0 sda 1 2 3")
	f.Add("8 0 sda 1 2 3 4 5 6 7 8 9 10 x")
	f.Fuzz(func(t *testing.T, line string) {
		name, c, err := parseDiskstat([]byte(line))
		if name == nil || err != nil {
			if c != (diskCounters{}) {
				t.Errorf("%q: numbers %+v without a device", line, c)
			}
			return
		}
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(words) < 14 || words[2] != string(name) {
			t.Errorf("%q: name is %q", line, name)
		}
		if c.readBytes%512 != 0 || c.writeBytes%512 != 0 {
			t.Errorf("%q: %+v holds parts of sectors", line, c)
		}
	})
}

// diskstats makes lines of /proc/diskstats of which only some counters matter.
func diskstats(lines ...string) map[string]string {
	return map[string]string{"proc/diskstats": strings.Join(lines, "\n") + "\n"}
}

func TestDiskRates(t *testing.T) {
	sys := map[string]string{"sys/block/sda/device/": "", "sys/block/sdb/device/": ""}
	b := newBench(t, sys)
	f := newDisk(Defaults())
	total := func(read, write, reads, writes float64) map[string]float64 {
		return map[string]float64{
			"sysotel.disk.io.rate{read,}": read, "sysotel.disk.io.rate{write,}": write,
			"sysotel.disk.operations.rate{read,}": reads, "sysotel.disk.operations.rate{write,}": writes,
		}
	}

	b.write(diskstats("8 0 sda 100 1 1000 50 200 2 2000 400 3 5000 9000"))
	r := b.tick(f)
	wantPoints(t, r, map[string]float64{
		"system.disk.io{sda,read}": 512_000, "system.disk.io{sda,write}": 1_024_000,
		"system.disk.operations{sda,read}": 100, "system.disk.operations{sda,write}": 200,
		"system.disk.merged{sda,read}": 1, "system.disk.merged{sda,write}": 2,
		"system.disk.operation_time{sda,read}": 0.05, "system.disk.operation_time{sda,write}": 0.4,
		"system.disk.io_time{sda}": 5, "system.disk.weighted_io_time{sda}": 9, "system.disk.pending_operations{sda}": 3,
		// The first reading has no rates: not 0, but no point.
		"sysotel.disk.io.rate{read,sda}": unknown, "sysotel.disk.busy{sda}": unknown,
		"sysotel.disk.latency{sda,read}": unknown, "sysotel.disk.queue.length{sda}": unknown,
	})
	wantPoints(t, r, total(unknown, unknown, unknown, unknown))

	b.write(diskstats("8 0 sda 110 1 1100 100 200 2 2000 400 0 5250 9500"))
	r = b.tick(f)
	wantPoints(t, r, map[string]float64{
		"sysotel.disk.io.rate{read,sda}": 51_200, "sysotel.disk.io.rate{write,sda}": 0,
		"sysotel.disk.operations.rate{read,sda}": 10, "sysotel.disk.operations.rate{write,sda}": 0,
		"sysotel.disk.busy{sda}": 0.25, "sysotel.disk.queue.length{sda}": 0.5,
		"sysotel.disk.latency{sda,read}": 0.005,
		// Nothing was written, so a write took no known time (and not 0).
		"sysotel.disk.latency{sda,write}": unknown,
	})
	wantPoints(t, r, total(51_200, 0, 10, 0))

	// A disk appears: it has counters and no rate, and the total has the others.
	b.write(diskstats("8 0 sda 120 1 1200 100 200 2 2000 400 0 5250 9500", "8 16 sdb 7 0 7000 0 0 0 0 0 0 0 0"))
	r = b.tick(f)
	wantPoints(t, r, map[string]float64{
		"system.disk.io{sdb,read}": 7000 * 512, "sysotel.disk.io.rate{read,sdb}": unknown,
		"sysotel.disk.io.rate{read,sda}": 51_200,
	})
	wantPoints(t, r, total(51_200, 0, 10, 0))

	b.write(diskstats("8 0 sda 120 1 1200 100 200 2 2000 400 0 5250 9500", "8 16 sdb 8 0 7002 0 0 0 0 0 0 0 0"))
	r = b.tick(f)
	wantPoints(t, r, map[string]float64{"sysotel.disk.io.rate{read,sdb}": 1024, "sysotel.disk.busy{sda}": 0})
	wantPoints(t, r, total(1024, 0, 1, 0))

	// Another disk takes the name: its counters go back, and neither its rate nor
	// the total is known.
	b.write(diskstats("8 0 sda 120 1 1200 100 200 2 2000 400 0 5250 9500", "8 16 sdb 1 0 8 0 9 0 9 9 0 9 9"))
	r = b.tick(f)
	wantPoints(t, r, map[string]float64{
		"system.disk.io{sdb,read}": 4096, "sysotel.disk.io.rate{read,sdb}": unknown, "sysotel.disk.io.rate{write,sdb}": unknown,
		"sysotel.disk.busy{sdb}": unknown, "sysotel.disk.io.rate{write,sda}": 0,
	})
	wantPoints(t, r, total(unknown, unknown, unknown, unknown))

	// It is unplugged, and plugged in again with more on its counters.
	b.write(diskstats("8 0 sda 120 1 1200 100 200 2 2000 400 0 5250 9500"))
	r = b.tick(f)
	wantPoints(t, r, map[string]float64{"system.disk.io{sdb,read}": unknown, "sysotel.disk.io.rate{read,sdb}": unknown})
	wantPoints(t, r, total(0, 0, 0, 0))
	b.write(diskstats("8 0 sda 120 1 1200 100 200 2 2000 400 0 5250 9500", "8 16 sdb 99 0 9999 0 99 0 99 99 0 99 99"))
	r = b.tick(f)
	wantPoints(t, r, map[string]float64{"system.disk.io{sdb,read}": 9999 * 512, "sysotel.disk.io.rate{read,sdb}": unknown})
}

// A counter that goes back alone makes all of the device's numbers unknown: the
// others may have been reset too and grown past what they were.
func TestDiskResetOfOneCounter(t *testing.T) {
	b := newBench(t, map[string]string{"sys/block/sda/device/": ""})
	before := "8 0 sda 100 0 1000 9 100 0 1000 9 0 9 9"
	for _, after := range []string{
		"8 0 sda 99 0 1001 9 101 0 1001 9 0 9 9", "8 0 sda 101 0 999 9 101 0 1001 9 0 9 9",
		"8 0 sda 101 0 1001 9 99 0 1001 9 0 9 9", "8 0 sda 101 0 1001 9 101 0 999 9 0 9 9",
	} {
		f := newDisk(Defaults())
		b.write(diskstats(before))
		b.tick(f)
		b.write(diskstats(after))
		wantPoints(t, b.tick(f), map[string]float64{
			"sysotel.disk.io.rate{read,sda}": unknown, "sysotel.disk.io.rate{write,sda}": unknown,
			"sysotel.disk.operations.rate{read,sda}": unknown, "sysotel.disk.operations.rate{write,sda}": unknown,
			"sysotel.disk.busy{sda}": unknown, "sysotel.disk.latency{sda,read}": unknown, "sysotel.disk.io.rate{read,}": unknown,
		})
	}
}

func TestDiskTimesWrapAndBusyIsClamped(t *testing.T) {
	b := newBench(t, map[string]string{"sys/block/sda/device/": ""})
	f := newDisk(Defaults())
	b.write(diskstats("8 0 sda 10 0 0 4294967290 0 0 0 0 0 1000 4294967290"))
	b.tick(f)
	// The kernel keeps times in 32 bits: they wrap, and the disk is still the same.
	b.write(diskstats("8 0 sda 20 0 10 4 0 0 0 0 0 2012 4"))
	wantPoints(t, b.tick(f), map[string]float64{
		"sysotel.disk.io.rate{read,sda}": 5120, "sysotel.disk.operations.rate{read,sda}": 10,
		"sysotel.disk.latency{sda,read}": unknown, "sysotel.disk.queue.length{sda}": unknown,
		"sysotel.disk.busy{sda}": 1,
	})
}

// An agent that was held up for long does not spread over a second what took ten.
func TestDiskHasNoRateOverAGap(t *testing.T) {
	b := newBench(t, map[string]string{"sys/block/sda/device/": ""})
	f := newDisk(Defaults())
	b.write(diskstats("8 0 sda 10 0 0 0 0 0 0 0 0 0 0"))
	b.tick(f)
	b.now = b.now.Add(10 * 1e9)
	b.write(diskstats("8 0 sda 20 0 10 4 0 0 0 0 0 2012 4"))
	wantPoints(t, b.tick(f), map[string]float64{"sysotel.disk.io.rate{read,sda}": unknown, "sysotel.disk.io.rate{read,}": unknown})
}

func TestDiskKinds(t *testing.T) {
	files := map[string]string{
		"sys/block/sda/device/": "", "sys/block/sda/sda1/": "",
		"sys/block/vda/device/":     "",
		"sys/block/dm-0/dm/name":    "vg-root\n",
		"sys/block/md0/md/":         "",
		"sys/block/loop0/":          "",
		"sys/block/zram0/":          "",
		"sys/block/ram0/":           "",
		"sys/block/sr0/device/":     "",
		"sys/block/fd0/device/":     "",
		"sys/block/nbd0/size":       "0\n",
		"sys/block/nbd1/size":       "2048\n",
		"sys/block/nvme0n1/device/": "",
		// The path of a multipath NVMe disk; its disk counts the same operations.
		"sys/block/nvme0c0n1/device/":   "",
		"sys/block/nvme0c0n1/hidden":    "1\n",
		"sys/block/cciss!c0d0/device/":  "",
		"sys/block/bcache0/slaves/sda/": "",
		"sys/block/odd0/slaves/sda/":    "",
	}
	b := newBench(t, files)
	for name, want := range map[string]struct {
		kind   diskKind
		mapper string
	}{
		"sda": {diskPhysical, ""}, "vda": {diskPhysical, ""}, "nvme0n1": {diskPhysical, ""}, "cciss/c0d0": {diskPhysical, ""},
		"dm-0": {diskStacked, "vg-root"}, "md0": {diskStacked, ""}, "bcache0": {diskStacked, ""}, "odd0": {diskStacked, ""},
		"nbd1": {diskVirtual, ""},
		"sda1": {diskSkipped, ""}, "loop0": {diskSkipped, ""}, "zram0": {diskSkipped, ""}, "ram0": {diskSkipped, ""},
		"sr0": {diskSkipped, ""}, "fd0": {diskSkipped, ""}, "nbd0": {diskSkipped, ""}, "nvme0c0n1": {diskSkipped, ""},
	} {
		if kind, mapper := b.host.diskKind(name); kind != want.kind || mapper != want.mapper {
			t.Errorf("%s is %v %q, want %v %q", name, kind, mapper, want.kind, want.mapper)
		}
	}
}

func TestDiskKindsWithoutSys(t *testing.T) {
	b := newBench(t, nil)
	for name, want := range map[string]diskKind{
		"sda": diskPhysical, "sdaa": diskPhysical, "hda": diskPhysical, "vdb": diskPhysical, "xvda": diskPhysical,
		"nvme0n1": diskPhysical, "nvme10n12": diskPhysical, "mmcblk0": diskPhysical,
		"sda1": diskSkipped, "vdb12": diskSkipped, "nvme0n1p1": diskSkipped, "nvme0c0n1": diskSkipped, "mmcblk0p1": diskSkipped,
		"mmcblk0boot0": diskSkipped, "loop3": diskSkipped, "sr0": diskSkipped,
		"dm-0": diskStacked, "md127": diskStacked, "md_d0": diskSkipped, "zd16": diskStacked, "drbd1": diskStacked,
	} {
		if kind, _ := b.host.diskKind(name); kind != want {
			t.Errorf("%s is %v, want %v", name, kind, want)
		}
	}
}

// What stands on other disks is shown and is not counted again.
func TestDiskTotalCountsWholeDisksOnce(t *testing.T) {
	b := newBench(t, map[string]string{
		"sys/block/sda/device/": "", "sys/block/dm-0/dm/name": "vg-root\n", "sys/block/nbd1/size": "9\n", "sys/block/loop0/": "",
	})
	step := func(n string) map[string]string {
		counters := " " + n + " 0 " + n + "0 0 " + n + " 0 " + n + "00 0 0 0 0"
		return diskstats("8 0 sda"+counters, "8 1 sda1"+counters, "253 0 dm-0"+counters, "43 1 nbd1"+counters, "7 0 loop0"+counters)
	}
	for _, c := range []struct {
		what             string
		include, exclude []string
		devices          []string
	}{
		{what: "by default", devices: []string{"sda", "dm-0", "nbd1"}},
		// Left out of the list a disk is in the total all the same.
		{what: "with a disk excluded", exclude: []string{"sd*"}, devices: []string{"dm-0", "nbd1"}},
		{what: "with a partition included", include: []string{"device:sda1", "loop*"}, devices: []string{"sda1", "loop0"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			f := newDisk(with("disk", c.include, c.exclude))
			b.write(step("1"))
			b.tick(f)
			b.write(step("3"))
			r := b.tick(f).(*Disk)
			var names []string
			for _, d := range r.Devices {
				names = append(names, d.Name)
				if d.Name == "dm-0" && (d.Mapper != "vg-root" || d.Physical) {
					t.Errorf("dm-0 is %q, physical %v", d.Mapper, d.Physical)
				}
			}
			if !slices.Equal(names, c.devices) {
				t.Errorf("devices are %v, want %v", names, c.devices)
			}
			if want := (DiskRates{ReadBytesPerSecond: 20 * 512, WriteBytesPerSecond: 200 * 512, ReadsPerSecond: 2, WritesPerSecond: 2}); r.Total != want {
				t.Errorf("total is %+v, want %+v", r.Total, want)
			}
		})
	}
}

func TestDisklessMachineCountsItsNetworkDisk(t *testing.T) {
	b := newBench(t, map[string]string{"sys/block/nbd0/size": "0\n", "sys/block/dm-0/dm/name": "root\n"})
	f := newDisk(Defaults())
	b.write(diskstats("43 0 nbd0 0 0 0 0 0 0 0 0 0 0 0", "253 0 dm-0 0 0 0 0 0 0 0 0 0 0 0"))
	if r := b.tick(f).(*Disk); len(r.Devices) != 1 || !math.IsNaN(r.Total.ReadBytesPerSecond) {
		t.Errorf("before it is connected: %+v", r)
	}
	// It is connected: the kernel listed its name before, and counts from now on.
	b.write(map[string]string{"sys/block/nbd0/size": "2048\n"})
	b.write(diskstats("43 0 nbd0 1 0 8 0 0 0 0 0 0 0 0", "253 0 dm-0 1 0 8 0 0 0 0 0 0 0 0"))
	r := b.tick(f).(*Disk)
	if len(r.Devices) != 2 || r.Total.ReadBytesPerSecond != 4096 {
		t.Errorf("connected: %+v", r)
	}
}

// What a device is, is looked up when its name appears and not at every tick.
func TestDiskKindIsLookedUpOnce(t *testing.T) {
	b := newBench(t, map[string]string{"sys/block/sda/device/": "", "sys/block/keep/": ""})
	f := newDisk(Defaults())
	b.write(diskstats("8 0 sda 1 0 8 0 0 0 0 0 0 0 0"))
	b.tick(f)
	b.remove("sys/block/sda")
	if r := b.tick(f).(*Disk); len(r.Devices) != 1 || !r.Devices[0].Physical {
		t.Errorf("a disk that was known changed: %+v", r.Devices)
	}
	b.write(diskstats("8 16 sdb 1 0 8 0 0 0 0 0 0 0 0"))
	b.tick(f)
	b.write(diskstats("8 0 sda 1 0 8 0 0 0 0 0 0 0 0"))
	if r := b.tick(f).(*Disk); len(r.Devices) != 0 {
		t.Errorf("a disk that vanished was not forgotten: %+v", r.Devices)
	}
}

func TestDiskErrors(t *testing.T) {
	b := newBench(t, nil)
	f := newDisk(Defaults())
	if _, err := b.try(f); !errors.Is(err, ErrUnsupported) {
		t.Errorf("without /proc/diskstats the error is %v, want %v", err, ErrUnsupported)
	}
	b.write(map[string]string{"sys/block/sda/device/": ""})
	b.write(diskstats("8 0 sda 1 0 8 0 0 0 0 0 0 0 0"))
	b.tick(f)
	b.write(diskstats("8 0 sda 1 0 x 0 0 0 0 0 0 0 0"))
	if _, err := b.try(f); err == nil || !strings.Contains(err.Error(), `"8 0 sda 1 0 x`) {
		t.Errorf("the error of a broken line is %v, want one that shows it", err)
	}
	// The tick after compares with the last good reading.
	b.write(diskstats("8 0 sda 3 0 24 0 0 0 0 0 0 0 0"))
	wantPoints(t, b.tick(f), map[string]float64{"sysotel.disk.operations.rate{read,sda}": 1, "sysotel.disk.io.rate{read,}": 4096})

	// A disk after a broken line was not read in that tick, and has no rate in
	// the next: its counters are two seconds apart.
	b.write(map[string]string{"sys/block/sdb/device/": ""})
	b.write(diskstats("8 0 sda 3 0 24 0 0 0 0 0 0 0 0", "8 16 sdb 1 0 8 0 0 0 0 0 0 0 0"))
	b.tick(f)
	b.write(diskstats("8 0 sda 3 0 24 0 0 0 0 0 0 0 0", "8 8 sdx 1 0 x 0 0 0 0 0 0 0 0", "8 16 sdb 2 0 16 0 0 0 0 0 0 0 0"))
	if _, err := b.try(f); err == nil {
		t.Error("a broken line was taken")
	}
	b.write(diskstats("8 0 sda 4 0 32 0 0 0 0 0 0 0 0", "8 16 sdb 3 0 24 0 0 0 0 0 0 0 0"))
	wantPoints(t, b.tick(f), map[string]float64{"sysotel.disk.operations.rate{read,sda}": 1, "sysotel.disk.operations.rate{read,sdb}": unknown})
}

// TestDiskAgreesWithGopsutil reads the real machine between two readings of ours.
func TestDiskAgreesWithGopsutil(t *testing.T) {
	h := NewHost("/")
	names := func() map[string]diskCounters {
		found := map[string]diskCounters{}
		var s diskSource
		err := s.each(t.Context(), h, func(name []byte, c diskCounters) {
			if c != (diskCounters{}) { // gopsutil leaves these out.
				found[string(name)] = c
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	before := names()
	theirs, err := gopsutildisk.IOCountersWithContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after := names()
	if len(before) == 0 || len(theirs) == 0 {
		t.Fatalf("no disk is there: %d by us, %d by gopsutil", len(before), len(theirs))
	}
	between := func(name, what string, low, v, high uint64) {
		if v < low || v > high {
			t.Errorf("%s: %s is %d by gopsutil, %d before and %d after by us", name, what, v, low, high)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		a, b, g := before[name], after[name], theirs[name]
		between(name, "reads", a.reads, g.ReadCount, b.reads)
		between(name, "reads merged", a.readsMerged, g.MergedReadCount, b.readsMerged)
		between(name, "bytes read", a.readBytes, g.ReadBytes, b.readBytes)
		between(name, "read time", a.readTime, g.ReadTime, b.readTime)
		between(name, "writes", a.writes, g.WriteCount, b.writes)
		between(name, "writes merged", a.writesMerged, g.MergedWriteCount, b.writesMerged)
		between(name, "bytes written", a.writeBytes, g.WriteBytes, b.writeBytes)
		between(name, "write time", a.writeTime, g.WriteTime, b.writeTime)
		between(name, "busy time", a.ioTime, g.IoTime, b.ioTime)
		between(name, "weighted time", a.weightedIOTime, g.WeightedIO, b.weightedIOTime)
	}
}

func BenchmarkDisk(b *testing.B) { benchmarkRead(b, newDisk(Defaults())) }

// BenchmarkDiskGopsutil is what the same numbers cost through gopsutil.
func BenchmarkDiskGopsutil(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gopsutildisk.IOCountersWithContext(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkRead reads a collector of the real machine over and over.
func benchmarkRead(b *testing.B, f Collector) {
	h := NewHost("/")
	var seq uint64
	b.ReportAllocs()
	for b.Loop() {
		seq++
		if _, err := f.Read(b.Context(), h, Tick{Seq: seq, Interval: 1e9}); err != nil {
			b.Fatal(err)
		}
	}
}
