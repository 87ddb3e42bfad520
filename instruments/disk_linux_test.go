package instruments

import (
	"errors"
	"fmt"
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
		without          []int
		wrong            string
		more             []uint64
	}{
		{what: "Linux 2.6.25 to 4.17", line: "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11", name: "sda"},
		{what: "with discards, 4.18", line: "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", name: "sda", more: []uint64{12, 13, 14, 15}},
		{what: "with flushes, 5.5", line: " 259       0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", name: "nvme0n1", more: []uint64{12, 13, 14, 15, 16, 17}},
		{what: "a name with a slash", line: " 104 0 cciss/c0d0 1 2 3 4 5 6 7 8 9 10 11", name: "cciss/c0d0"},
		{what: "a partition before 2.6.25", line: "   8       1 sda1 1 2 3 4"},
		{what: "an empty line", line: ""},
		{what: "an empty line of blanks", line: "   "},
		// What cannot be read is unknown by itself.
		{what: "a negative number", line: "8 0 sda 1 2 -3 4 5 6 7 8 9 10 11", name: "sda", without: []int{2}, wrong: `counter 3 of 11: "-3" is not a number`},
		{what: "a word", line: "8 0 sda 1 2 3 4 5 6 7 8 9 10 many", name: "sda", without: []int{10}, wrong: `"many" is not a number`},
		{what: "more sectors than bytes can be counted", line: "8 0 sda 1 2 18446744073709551615 4 5 6 7 8 9 10 11", name: "sda", without: []int{2}, wrong: "counter 3"},
		{what: "sectors below 0", line: "8 0 sda 1 2 3 4 5 6 18446744073709551600 8 9 10 11", name: "sda", without: []int{6}, wrong: "counter 7"},
		{what: "negative discards", line: "8 0 sda 1 2 3 4 5 6 7 8 9 10 11 -1 13 -1 15", name: "sda", more: []uint64{unknownCount, 13, unknownCount, 15}, wrong: "counter 12"},
		{what: "a line cut off", line: "8 0 sda 1 2 3 4 5 6 7", name: "sda", without: []int{7, 8, 9, 10}, wrong: "counter 8 of 11: there is no number"},
		{what: "numbers of the device that cannot be read", line: "x -1 sda 1 2 3 4 5 6 7 8 9 10 11", name: "sda"},
		{what: "no name", line: "8 0", wrong: "no name"},
	} {
		t.Run(c.what, func(t *testing.T) {
			name, got, err := parseDiskstat([]byte(c.line))
			if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("error is %v, want one with %q", err, c.wrong)
			}
			want := full
			for _, i := range c.without {
				*[...]*uint64{
					&want.reads, &want.readsMerged, &want.readBytes, &want.readTime, &want.writes, &want.writesMerged,
					&want.writeBytes, &want.writeTime, &want.pending, &want.ioTime, &want.weightedIOTime,
				}[i] = unknownCount
			}
			for i := range want.more {
				if want.more[i] = unknownCount; i < len(c.more) {
					want.more[i] = c.more[i]
				}
			}
			if c.name == "" {
				want = diskCounters{}
			}
			if want.device = got.device; string(name) != c.name || got != want {
				t.Errorf("got %q %+v, want %q %+v", name, got, c.name, want)
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
		if name == nil {
			if c != (diskCounters{}) {
				t.Errorf("%q: numbers %+v without a device", line, c)
			}
			return
		}
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if words[2] != string(name) || len(words) < 14 && err == nil {
			t.Errorf("%q: name is %q, error %v", line, name, err)
		}
		for i, n := range []uint64{c.reads, c.readsMerged, c.readBytes, c.readTime, c.writes, c.writesMerged, c.writeBytes, c.writeTime, c.pending, c.ioTime, c.weightedIOTime} {
			switch {
			case n == unknownCount && err == nil, n != unknownCount && !isCount(n):
				t.Errorf("%q: counter %d is %d, error %v", line, i+1, n, err)
			case n == unknownCount:
			case (i == 2 || i == 6) && n%sectorSize != 0:
				t.Errorf("%q: %+v holds parts of sectors", line, c)
			case i != 2 && i != 6 && strings.TrimLeft(words[3+i], "0") != strings.TrimLeft(fmt.Sprint(n), "0"):
				t.Errorf("%q: counter %d is %d", line, i+1, n)
			}
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

	// The counters go back: they are held, and neither the rate nor the total is known.
	b.write(diskstats("8 0 sda 120 1 1200 100 200 2 2000 400 0 5250 9500", "8 16 sdb 1 0 8 0 9 0 9 9 0 9 9"))
	r = b.tick(f)
	wantPoints(t, r, map[string]float64{
		"system.disk.io{sdb,read}": 7002 * 512, "sysotel.disk.io.rate{read,sdb}": unknown, "sysotel.disk.io.rate{write,sdb}": unknown,
		"sysotel.disk.busy{sdb}": unknown, "sysotel.disk.io.rate{write,sda}": 0,
	})
	wantPoints(t, r, total(unknown, unknown, unknown, unknown))
	// They go on from there: they were reset.
	b.write(diskstats("8 0 sda 120 1 1200 100 200 2 2000 400 0 5250 9500", "8 16 sdb 2 0 16 0 9 0 9 9 0 9 9"))
	r = b.tick(f)
	wantPoints(t, r, map[string]float64{"system.disk.io{sdb,read}": 16 * 512, "sysotel.disk.io.rate{read,sdb}": 4096})
	wantPoints(t, r, total(4096, 0, 1, 0))

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

func TestBlock(t *testing.T) {
	b := newBench(t, map[string]string{
		"sys/block/sda/device/": "", "sys/block/sda/sda1/": "", "sys/block/sdb/device/": "", "sys/block/sdb/removable": "1\n",
		"sys/block/vda/device/":                "",
		"sys/block/dm-0/dm/name":               "vg-root\n",
		"sys/block/dm-0/slaves/sda1/":          "",
		"sys/block/dm-0/slaves/sda2/":          "",
		"sys/block/dm-0/slaves/nvme0n1p3/":     "",
		"sys/block/dm-0/slaves/md0/":           "",
		"sys/block/md0/md/":                    "",
		"sys/block/loop0/":                     "",
		"sys/block/zram0/":                     "",
		"sys/block/ram0/":                      "",
		"sys/block/sr0/device/":                "",
		"sys/block/fd0/device/":                "",
		"sys/block/nbd0/size":                  "0\n",
		"sys/block/nbd1/size":                  "2048\n",
		"sys/block/nvme0n1/device/":            "",
		"sys/block/nvme0c0n1/device/":          "",
		"sys/block/nvme0c0n1/hidden":           "1\n",
		"sys/block/nvme0c1n1/device/":          "",
		"sys/block/cciss!c0d0/device/":         "",
		"sys/block/cciss!c0d0/cciss!c0d0p1/":   "",
		"sys/block/bcache0/slaves/sda/":        "",
		"sys/block/bcache0/slaves/sdb/":        "",
		"sys/block/odd0/slaves/sda/":           "",
		"sys/block/mmcblk0/device/":            "",
		"sys/block/mmcblk0boot0/device/":       "",
		"sys/block/xvda1/device/":              "",
		"sys/block/dm-1/slaves/cciss!c0d0p1/x": "",
	})
	for name, want := range map[string]block{
		"sda": {kind: blockPhysical}, "sdb": {kind: blockPhysical, swaps: true}, "vda": {kind: blockPhysical}, "nvme0n1": {kind: blockPhysical},
		"cciss/c0d0": {kind: blockPhysical}, "mmcblk0": {kind: blockPhysical}, "mmcblk0boot0": {kind: blockPhysical}, "xvda1": {kind: blockPhysical},
		"dm-0": {kind: blockStacked, mapper: "vg-root", on: []string{"md0", "nvme0n1", "sda"}},
		"md0":  {kind: blockStacked}, "bcache0": {kind: blockStacked, on: []string{"sda", "sdb"}}, "odd0": {kind: blockStacked, on: []string{"sda"}},
		"nbd1": {kind: blockVirtual, swaps: true}, "nbd0": {kind: blockEmpty, swaps: true},
		"sda1": {kind: blockPart, of: "sda"}, "cciss/c0d0p1": {kind: blockPart, of: "cciss/c0d0"}, "mmcblk0p2": {kind: blockPart, of: "mmcblk0"},
		"sdz1": {kind: blockPart, of: "sdz"}, "sdz": {},
		"loop0": {kind: blockImage, swaps: true}, "zram0": {kind: blockMemory}, "ram0": {kind: blockMemory},
		"sr0": {kind: blockDrive, swaps: true}, "fd0": {kind: blockDrive, swaps: true},
		"nvme0c0n1": {kind: blockPart, of: "nvme0n1", path: true},
		// One that is not hidden is a disk: single paths were named so before Linux 4.15.
		"nvme0c1n1": {kind: blockPhysical},
	} {
		if got := b.host.block(name); !got.equal(&want) {
			t.Errorf("%s is %+v, want %+v", name, got, want)
		}
	}
}

func TestBlockWithoutSys(t *testing.T) {
	b := newBench(t, nil)
	for name, want := range map[string]block{
		"sda": {kind: blockPhysical}, "sdaa": {kind: blockPhysical}, "hda": {kind: blockPhysical}, "vdb": {kind: blockPhysical}, "xvda": {kind: blockPhysical},
		"nvme0n1": {kind: blockPhysical}, "nvme10n12": {kind: blockPhysical}, "mmcblk0": {kind: blockPhysical}, "mmcblk0boot0": {kind: blockPhysical},
		"sda1": {kind: blockPart, of: "sda"}, "vdb12": {kind: blockPart, of: "vdb"}, "nvme0n1p1": {kind: blockPart, of: "nvme0n1"},
		"nvme2c10n13": {kind: blockPart, of: "nvme2n13", path: true}, "mmcblk0p1": {kind: blockPart, of: "mmcblk0"},
		"loop3": {kind: blockImage, swaps: true}, "sr0": {kind: blockDrive, swaps: true}, "nbd3": {kind: blockVirtual, swaps: true},
		"dm-0": {kind: blockStacked}, "md127": {kind: blockStacked}, "zd16": {kind: blockStacked}, "drbd1": {kind: blockStacked},
		"md_d0": {}, "nvme0c": {}, "p": {}, "1": {}, "": {},
	} {
		if got := b.host.block(name); !got.equal(&want) {
			t.Errorf("%s is %+v, want %+v", name, got, want)
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
			// The network block device's work is done elsewhere, so no disk counts it again.
			if want := (DiskRates{ReadBytesPerSecond: 40 * 512, WriteBytesPerSecond: 400 * 512, ReadsPerSecond: 4, WritesPerSecond: 4}); r.Total != want {
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
	b.write(map[string]string{"sys/block/sda/device/": "", "sys/block/sdb/device/": ""})
	b.write(diskstats("8 0 sda 1 0 8 0 0 0 0 0 0 0 0", "8 16 sdb 1 0 8 0 0 0 0 0 0 0 0"))
	b.tick(f)
	// Only a file without a good line is an error, and that shows what is wrong.
	b.write(diskstats("8 0 sda nothing", "8 16"))
	if _, err := b.try(f); err == nil || !strings.Contains(err.Error(), `counter 1 of 11: "nothing"`) {
		t.Errorf("the error of a broken file is %v, want one that shows it", err)
	}
	// The tick after has nothing to compare with.
	b.write(diskstats("8 0 sda 3 0 24 0 0 0 0 0 0 0 0", "8 16 sdb 1 0 8 0 0 0 0 0 0 0 0"))
	wantPoints(t, b.tick(f), map[string]float64{"sysotel.disk.operations.rate{read,sda}": unknown, "system.disk.operations{sda,read}": 3})

	// A number that cannot be read costs itself and what is computed with it, a line without
	// a name itself, and the rest stands. Both are named.
	b.write(diskstats("8 0 sda 4 0 x 0 0 0 0 0 0 0 0", "8", "8 16 sdb 2 0 16 0 0 0 0 0 0 0 0", "8 16 sdb 9 0 99 0 0 0 0 0 0 0 0"))
	r := b.tick(f)
	wantPoints(t, r, map[string]float64{
		"sysotel.disk.operations.rate{read,sda}": 1, "sysotel.disk.io.rate{read,sda}": unknown, "system.disk.io{sda,read}": unknown, "sysotel.disk.io.rate{write,sda}": 0,
		"sysotel.disk.operations.rate{read,sdb}": 1, "sysotel.disk.io.rate{read,sdb}": 4096,
		"sysotel.disk.operations.rate{read,}": 2, "sysotel.disk.io.rate{read,}": unknown, "sysotel.disk.io.rate{write,}": 0,
	})
	if got, want := missingText(r), `/proc/diskstats: sda counter 3 of 11: "x" is not a number that can be, /proc/diskstats line "8" has no name of a device, /proc/diskstats: sdb the device is there twice`; got != want {
		t.Errorf("missing is %s, want %s", got, want)
	}
	// The next has no base for it, the one after has.
	b.write(diskstats("8 0 sda 5 0 40 0 0 0 0 0 0 0 0"))
	wantPoints(t, b.tick(f), map[string]float64{"sysotel.disk.operations.rate{read,sda}": 1, "sysotel.disk.io.rate{read,sda}": unknown, "system.disk.io{sda,read}": 40 * 512})
	b.write(diskstats("8 0 sda 6 0 48 0 0 0 0 0 0 0 0"))
	wantPoints(t, b.tick(f), map[string]float64{"sysotel.disk.io.rate{read,sda}": 4096, "sysotel.disk.io.rate{read,}": 4096})

	// A disk that is broken for good holds up the total for a minute.
	for second := range 130 {
		line := fmt.Sprint("8 0 sda ", 7+second, " 0 ", 56+8*second, " 0 0 0 0 0 0 0 0")
		b.write(diskstats(line, fmt.Sprint("8 16 sdb 1 0 -8 0 ", second, " 0 ", second, " 0 0 0 0")))
		r := b.tick(f)
		want := unknown
		switch {
		case second == 0, second > 60: // First sight, and given up.
			want = 4096
		}
		wantPoints(t, r, map[string]float64{"sysotel.disk.io.rate{read,}": want, "sysotel.disk.io.rate{read,sda}": 4096})
		if second > 0 {
			// What it wrote is known all the time, and in the total.
			wantPoints(t, r, map[string]float64{"sysotel.disk.io.rate{write,sdb}": 512, "sysotel.disk.io.rate{write,}": 512})
		}
		gone := strings.Contains(missingText(r), "sdb has lacked a rate for a minute; totals go on without it")
		if gone != (second > 60) {
			t.Errorf("second %d: said that the total goes on without it: %v", second, gone)
		}
	}
}

// TestDiskAgreesWithGopsutil reads the real machine between two readings of ours.
func TestDiskAgreesWithGopsutil(t *testing.T) {
	h := NewHost("/")
	names := func() map[string]diskCounters {
		found := map[string]diskCounters{}
		var s diskSource
		var bad misread
		err := s.each(t.Context(), h, &bad, func(name []byte, c *diskCounters) {
			if *c != (diskCounters{device: c.device}) { // gopsutil leaves these out.
				found[string(name)] = *c
			}
		})
		if err != nil || bad.Missing() != nil {
			t.Fatal(err, bad.Missing())
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
