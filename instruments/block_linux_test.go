package instruments

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// blockStep is one second of a machine: the operations that each device has counted, as
// "name reads writes"; an operation has 8 sectors and takes 1 ms.
func blockStep(devices ...string) map[string]string {
	var lines []string
	for i, d := range devices {
		var name string
		var reads, writes int
		if _, err := fmt.Sscan(d, &name, &reads, &writes); err != nil {
			panic(err)
		}
		lines = append(lines, fmt.Sprintf("259 %d %s %d 0 %d %d %d 0 %d %d 0 %d %d", i, name, reads, 8*reads, reads, writes, 8*writes, writes, reads+writes, reads+writes))
	}
	return diskstats(lines...)
}

// TestDiskTotalHasEachOperationOnce: a device is left out of the total only while its
// relative is seen to count. Each case is a machine with what it counts in each second;
// want is the rate of reads and writes over all and of each device in the last
// second, and which devices are in the total.
func TestDiskTotalHasEachOperationOnce(t *testing.T) {
	oldNVMe := map[string]string{
		"sys/block/nvme0n1/device/": "", "sys/block/nvme0c0n1/device/": "", "sys/block/nvme0c0n1/hidden": "1\n",
		"sys/block/nvme0c1n1/device/": "", "sys/block/nvme0c1n1/hidden": "1\n",
	}
	lvm := map[string]string{"sys/block/sda/device/": "", "sys/block/dm-0/slaves/sda1/": "", "sys/block/dm-1/slaves/sda1/": ""}
	raid := map[string]string{
		"sys/block/sda/device/": "", "sys/block/sdb/device/": "", "sys/block/md0/slaves/sda/": "", "sys/block/md0/slaves/sdb/": "",
		"sys/block/dm-0/slaves/md0/": "",
	}
	for _, c := range []struct {
		what    string
		sys     map[string]string
		seconds []map[string]string
		// reads and writes are those of the total.
		reads, writes float64
		// devices are "name reads writes", with a + where the device is in the total.
		devices []string
	}{
		{
			"a head that keeps no counts (NVMe before Linux 6.4)", oldNVMe,
			[]map[string]string{blockStep("nvme0c0n1 100 100", "nvme0n1 0 0"), blockStep("nvme0c0n1 110 120", "nvme0n1 0 0")},
			10, 20, []string{"nvme0n1 10 20 +"},
		},
		{
			"two paths to it", oldNVMe,
			[]map[string]string{blockStep("nvme0c0n1 100 100", "nvme0c1n1 7 0", "nvme0n1 0 0"), blockStep("nvme0c0n1 110 120", "nvme0c1n1 8 1", "nvme0n1 0 0")},
			11, 21, []string{"nvme0n1 11 21 +"},
		},
		{
			"a path that goes and one that comes", oldNVMe,
			[]map[string]string{
				blockStep("nvme0c0n1 100 100", "nvme0n1 0 0"), blockStep("nvme0c0n1 110 120", "nvme0n1 0 0"),
				blockStep("nvme0c1n1 900 900", "nvme0n1 0 0"), blockStep("nvme0c1n1 904 901", "nvme0n1 0 0"),
			},
			4, 1, []string{"nvme0n1 4 1 +"},
		},
		{
			"a head and paths that count (Linux 6.4)", oldNVMe,
			[]map[string]string{blockStep("nvme0c0n1 100 100", "nvme0n1 100 100"), blockStep("nvme0c0n1 110 120", "nvme0n1 110 120")},
			10, 20, []string{"nvme0n1 10 20 +"},
		},
		{
			"a head that counts while its paths do not", oldNVMe,
			[]map[string]string{blockStep("nvme0c0n1 0 0", "nvme0n1 100 100"), blockStep("nvme0c0n1 0 0", "nvme0n1 110 120")},
			10, 20, []string{"nvme0n1 10 20 +"},
		},
		{
			"a path whose head is not there", oldNVMe,
			[]map[string]string{blockStep("nvme0c0n1 100 100"), blockStep("nvme0c0n1 110 120")},
			10, 20, []string{"nvme0c0n1 10 20 +"},
		},
		{
			"a head that never counted since boot, as its paths", oldNVMe,
			[]map[string]string{blockStep("nvme0c0n1 0 0", "nvme0n1 0 0"), blockStep("nvme0c0n1 5 0", "nvme0n1 0 0"), blockStep("nvme0c0n1 7 1", "nvme0n1 0 0")},
			2, 1, []string{"nvme0n1 2 1 +"},
		},
		{
			"volumes on a disk", lvm,
			[]map[string]string{blockStep("sda 100 100", "sda1 100 100", "dm-0 60 60", "dm-1 40 40"), blockStep("sda 110 120", "sda1 110 120", "dm-0 66 72", "dm-1 44 48")},
			10, 20, []string{"sda 10 20 +", "dm-0 6 12", "dm-1 4 8"},
		},
		{
			"volumes on a disk that does not count", lvm,
			[]map[string]string{blockStep("sda 0 0", "sda1 0 0", "dm-0 60 60", "dm-1 40 40"), blockStep("sda 0 0", "sda1 0 0", "dm-0 66 72", "dm-1 44 48")},
			10, 20, []string{"sda 0 0 +", "dm-0 6 12 +", "dm-1 4 8 +"},
		},
		{
			"a disk on which counting was switched off", lvm,
			[]map[string]string{
				blockStep("sda 100 100", "dm-0 60 60"), blockStep("sda 101 100", "dm-0 61 60"), blockStep("sda 101 100", "dm-0 62 60"),
				blockStep("sda 101 100", "dm-0 63 60"), blockStep("sda 101 100", "dm-0 64 60"), blockStep("sda 101 100", "dm-0 66 60"),
			},
			2, 0, []string{"sda 0 0 +", "dm-0 2 0 +"},
		},
		{
			"a cache above a disk that was quiet for two seconds", lvm,
			[]map[string]string{
				blockStep("sda 100 100", "dm-0 60 60"), blockStep("sda 101 100", "dm-0 61 60"), blockStep("sda 101 100", "dm-0 62 60"),
				blockStep("sda 101 100", "dm-0 63 60"), blockStep("sda 103 100", "dm-0 65 60"),
			},
			2, 0, []string{"sda 2 0 +", "dm-0 2 0"},
		},
		{
			"a mirror and a volume on it", raid,
			[]map[string]string{blockStep("sda 50 100", "sdb 50 100", "md0 100 100", "dm-0 100 100"), blockStep("sda 55 120", "sdb 55 120", "md0 110 120", "dm-0 110 120")},
			10, 40, []string{"sda 5 20 +", "sdb 5 20 +", "md0 10 20", "dm-0 10 20"},
		},
		{
			"an array on disks that do not count", raid,
			[]map[string]string{blockStep("sda 0 0", "sdb 0 0", "md0 100 100", "dm-0 100 100"), blockStep("sda 0 0", "sdb 0 0", "md0 110 120", "dm-0 110 120")},
			10, 20, []string{"sda 0 0 +", "sdb 0 0 +", "md0 10 20 +", "dm-0 10 20"},
		},
		{
			"a volume on an array that does not count, on disks that do", raid,
			[]map[string]string{blockStep("sda 50 100", "sdb 50 100", "md0 0 0", "dm-0 100 100"), blockStep("sda 55 120", "sdb 55 120", "md0 0 0", "dm-0 110 120")},
			10, 40, []string{"sda 5 20 +", "sdb 5 20 +", "md0 0 0", "dm-0 10 20"},
		},
		{
			"a disk that leaves counting to its partitions", map[string]string{"sys/block/sda/device/": ""},
			[]map[string]string{blockStep("sda 0 0", "sda1 10 10", "sda2 20 20"), blockStep("sda 0 0", "sda1 11 12", "sda2 23 24")},
			4, 6, []string{"sda 4 6 +"},
		},
		{
			"partitions without a disk (Xen)", nil,
			[]map[string]string{blockStep("xvda1 10 10", "xvda2 20 20"), blockStep("xvda1 11 12", "xvda2 23 24")},
			4, 6, []string{"xvda1 1 2 +", "xvda2 3 4 +"},
		},
		{
			"loops, memory and a disk", map[string]string{"sys/block/sda/device/": "", "sys/block/loop0/": "", "sys/block/zram0/": ""},
			[]map[string]string{blockStep("sda 10 10", "loop0 5 0", "zram0 9 9"), blockStep("sda 11 12", "loop0 15 0", "zram0 99 99")},
			1, 2, []string{"sda 1 2 +"},
		},
		{
			"loops on no disk", map[string]string{"sys/block/loop0/": "", "sys/block/zram0/": "", "sys/block/dm-0/slaves/loop0/": ""},
			[]map[string]string{blockStep("loop0 5 0", "zram0 9 9", "dm-0 5 0"), blockStep("loop0 15 0", "zram0 99 99", "dm-0 15 0")},
			10, 0, []string{"dm-0 10 0"},
		},
		{
			"a volume in memory", map[string]string{"sys/block/sda/device/": "", "sys/block/zram0/": "", "sys/block/dm-0/slaves/zram0/": ""},
			[]map[string]string{blockStep("sda 10 10", "zram0 9 9", "dm-0 9 9"), blockStep("sda 11 12", "zram0 99 99", "dm-0 99 99")},
			1, 2, []string{"sda 1 2 +", "dm-0 90 90"},
		},
		{
			"a memory card with boot parts", map[string]string{"sys/block/mmcblk0/device/": "", "sys/block/mmcblk0boot0/device/": ""},
			[]map[string]string{blockStep("mmcblk0 10 10", "mmcblk0p1 10 10", "mmcblk0boot0 3 0"), blockStep("mmcblk0 11 12", "mmcblk0p1 11 12", "mmcblk0boot0 5 0")},
			3, 2, []string{"mmcblk0 1 2 +", "mmcblk0boot0 2 0 +"},
		},
		{
			"a CD", map[string]string{"sys/block/sda/device/": "", "sys/block/sr0/device/": ""},
			[]map[string]string{blockStep("sda 10 10", "sr0 0 0"), blockStep("sda 11 12", "sr0 50 0")},
			51, 2, []string{"sda 1 2 +"},
		},
		{
			"DRBD, ZFS and a disk", map[string]string{"sys/block/sda/device/": "", "sys/block/drbd0/": "", "sys/block/zd0/": ""},
			[]map[string]string{blockStep("sda 10 10", "drbd0 1 1", "zd0 1 1"), blockStep("sda 13 16", "drbd0 2 3", "zd0 3 4")},
			3, 6, []string{"sda 3 6 +", "drbd0 1 2", "zd0 2 3"},
		},
		{
			"DRBD whose disk is on another machine", map[string]string{"sys/block/drbd0/": ""},
			[]map[string]string{blockStep("drbd0 1 1"), blockStep("drbd0 2 3")},
			1, 2, []string{"drbd0 1 2 +"},
		},
		{
			"stacked on each other in a ring", map[string]string{"sys/block/dm-0/slaves/dm-1/": "", "sys/block/dm-1/slaves/dm-0/": ""},
			[]map[string]string{blockStep("dm-0 1 1", "dm-1 1 1"), blockStep("dm-0 2 3", "dm-1 2 3")},
			unknown, unknown, []string{"dm-0 1 2", "dm-1 1 2"},
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := newBench(t, c.sys)
			f := newDisk(Defaults())
			var before map[string]uint64
			var r *Disk
			for second, files := range c.seconds {
				b.write(files)
				r = b.tick(f).(*Disk)
				counts := map[string]uint64{}
				for _, d := range r.Devices {
					counts[d.Name] = d.Reads
					if was, ok := before[d.Name]; ok && d.Reads < was {
						t.Errorf("second %d: the counter of %s fell from %d to %d", second, d.Name, was, d.Reads)
					}
				}
				before = counts
			}
			if got, want := r.Total, (DiskRates{c.reads * 4096, c.writes * 4096, c.reads, c.writes}); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("total is %+v, want %+v", got, want)
			}
			var got []string
			for _, d := range r.Devices {
				text := fmt.Sprintf("%s %v %v", d.Name, d.ReadsPerSecond, d.WritesPerSecond)
				if d.Physical {
					text += " +"
				}
				got = append(got, text)
				if d.ReadsPerSecond > 0 && math.Abs(d.ReadLatency-0.001) > 1e-9 {
					t.Errorf("the latency of %s is %v, want 1 ms", d.Name, d.ReadLatency)
				}
			}
			if !slices.Equal(got, c.devices) {
				t.Errorf("devices are %q, want %q", got, c.devices)
			}
		})
	}
}

// A head that carries the sum of its paths is as busy as the busiest of them, and its
// queue is that of all.
func TestDiskCarriesItsPaths(t *testing.T) {
	b := newBench(t, map[string]string{"sys/block/nvme0n1/device/": "", "sys/block/nvme0c0n1/hidden": "1\n", "sys/block/nvme0c1n1/hidden": "1\n"})
	f := newDisk(Defaults())
	b.write(diskstats("0 0 nvme0c0n1 100 1 1000 50 100 2 1000 70 1 120 240", "0 0 nvme0c1n1 10 1 100 5 10 2 100 7 2 12 24", "259 0 nvme0n1 0 0 0 0 0 0 0 0 0 0 0"))
	r := b.tick(f)
	wantPoints(t, r, map[string]float64{
		"system.disk.io{nvme0n1,read}": 1100 * 512, "system.disk.merged{nvme0n1,write}": 4, "system.disk.operation_time{nvme0n1,read}": 0.055,
		"system.disk.io_time{nvme0n1}": 0.12, "system.disk.pending_operations{nvme0n1}": 3, "sysotel.disk.busy{nvme0n1}": unknown,
	})
	b.write(diskstats("0 0 nvme0c0n1 200 1 2000 150 100 2 1000 70 0 1020 740", "0 0 nvme0c1n1 60 1 600 105 10 2 100 7 5 312 224", "259 0 nvme0n1 0 0 0 0 0 0 0 0 0 0 0"))
	wantPoints(t, b.tick(f), map[string]float64{
		"system.disk.io{nvme0n1,read}": 2600 * 512, "sysotel.disk.io.rate{read,nvme0n1}": 1500 * 512, "sysotel.disk.operations.rate{read,}": 150,
		"system.disk.io_time{nvme0n1}": 1.02, "sysotel.disk.busy{nvme0n1}": 0.9, "sysotel.disk.queue.length{nvme0n1}": 0.7,
		"sysotel.disk.latency{nvme0n1,read}": 0.2 / 150, "system.disk.pending_operations{nvme0n1}": 5,
	})
}

// A disk that is replaced under its name within a tick begins anew, though its counters
// are above those of the old one.
func TestDiskReplacedUnderItsName(t *testing.T) {
	for what, replace := range map[string]map[string]string{
		"sequence": {"sys/block/sda/diskseq": "12\n", "proc/diskstats": "8 0 sda 500 0 5000 50 500 0 5000 50 0 50 50\n"},
		"number":   {"proc/diskstats": "8 16 sda 500 0 5000 50 500 0 5000 50 0 50 50\n"},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t, map[string]string{"sys/block/sda/device/": "", "sys/block/sda/diskseq": "7\n"})
			f := newDisk(Defaults())
			b.write(diskstats("8 0 sda 100 0 1000 10 100 0 1000 10 0 10 10"))
			b.tick(f)
			b.write(replace)
			wantPoints(t, b.tick(f), map[string]float64{
				// Its counter began at 0 since the tick before: readers see that, too.
				"system.disk.io{sda,read}": 0, "sysotel.disk.io.rate{read,sda}": unknown, "sysotel.disk.busy{sda}": unknown,
				"sysotel.disk.latency{sda,read}": unknown, "sysotel.disk.io.rate{read,}": unknown,
			})
			b.write(map[string]string{"proc/diskstats": strings.ReplaceAll(replace["proc/diskstats"], "500 0 5000", "510 0 5080")})
			wantPoints(t, b.tick(f), map[string]float64{"system.disk.io{sda,read}": 5080 * 512, "sysotel.disk.io.rate{read,sda}": 80 * 512})
		})
	}
	// A card of a reader has another number, and the reader counts on.
	b := newBench(t, map[string]string{"sys/block/sda/device/": "", "sys/block/sda/diskseq": "7\n", "sys/block/sda/removable": "1\n"})
	f := newDisk(Defaults())
	b.write(diskstats("8 0 sda 100 0 1000 10 100 0 1000 10 0 10 10"))
	b.tick(f)
	b.write(map[string]string{"sys/block/sda/diskseq": "8\n"})
	b.write(diskstats("8 0 sda 101 0 1008 10 100 0 1000 10 0 10 10"))
	wantPoints(t, b.tick(f), map[string]float64{"sysotel.disk.io.rate{read,sda}": 4096})
}

// Numbers that cannot be are not told: counters that show 0 for an instant, operations
// under way below 0, more busy time than there was.
func TestDiskNumbersThatCannotBe(t *testing.T) {
	sys := map[string]string{"sys/block/sda/device/": ""}
	line := func(sectors, pending, ioTime uint64) map[string]string {
		return diskstats(fmt.Sprintf("8 0 sda 100 0 %d 10 100 0 1000 10 %d %d 10", sectors, pending, ioTime))
	}
	b := newBench(t, sys)
	f := newDisk(Defaults())
	const boot = 1_300_000_000 // 665 GB
	for _, c := range []struct {
		files map[string]string
		want  map[string]float64
	}{
		{line(boot, 1, 5000), map[string]float64{"system.disk.pending_operations{sda}": 1}},
		{line(boot+8, math.MaxUint32, 5500), map[string]float64{"sysotel.disk.io.rate{read,sda}": 4096, "system.disk.pending_operations{sda}": unknown, "sysotel.disk.busy{sda}": 0.5}},
		{diskstats("8 0 sda 0 0 0 0 0 0 0 0 0 0 0"), map[string]float64{"sysotel.disk.io.rate{read,sda}": unknown, "sysotel.disk.io.rate{read,}": unknown, "system.disk.io{sda,read}": (boot + 8) * 512, "sysotel.disk.busy{sda}": unknown}},
		{line(boot+24, 0, 6000), map[string]float64{"sysotel.disk.io.rate{read,sda}": unknown, "sysotel.disk.io.rate{read,}": unknown, "system.disk.io{sda,read}": (boot + 24) * 512, "sysotel.disk.busy{sda}": unknown}},
		{line(boot+32, 0, 6250), map[string]float64{"sysotel.disk.io.rate{read,sda}": 4096, "sysotel.disk.io.rate{read,}": 4096, "sysotel.disk.busy{sda}": 0.25}},
		// The busy time alone shows 0 for an instant.
		{line(boot+32, 0, 0), map[string]float64{"sysotel.disk.io.rate{read,sda}": 0, "sysotel.disk.busy{sda}": unknown, "system.disk.io_time{sda}": 6.25}},
		{line(boot+32, 0, 6500), map[string]float64{"sysotel.disk.busy{sda}": unknown, "system.disk.io_time{sda}": 6.5}},
		// An operation of 30 s was counted when it ended: the disk was busy, for this second.
		{line(boot+32, 0, 36500), map[string]float64{"sysotel.disk.busy{sda}": 1}},
		{line(boot+32, 0, 4_000_000_000), map[string]float64{"sysotel.disk.busy{sda}": unknown}},
	} {
		b.write(c.files)
		wantPoints(t, b.tick(f), c.want)
	}

	// The agent starts in the instant: what the disk counted since boot is no rate.
	f = newDisk(Defaults())
	b.write(diskstats("8 0 sda 0 0 0 0 0 0 0 0 0 0 0"))
	b.tick(f)
	b.write(line(boot, 0, 0))
	wantPoints(t, b.tick(f), map[string]float64{"sysotel.disk.io.rate{read,sda}": unknown, "sysotel.disk.latency{sda,read}": unknown, "sysotel.disk.io.rate{read,}": unknown, "system.disk.io{sda,read}": boot * 512})
	b.write(line(boot+8, 0, 0))
	wantPoints(t, b.tick(f), map[string]float64{"sysotel.disk.io.rate{read,sda}": 4096})
}

// What a volume is called and stands on is asked again beside the tick.
func TestVolumeIsRenamedAndMoved(t *testing.T) {
	b := newBench(t, map[string]string{"sys/block/sda/device/": "", "sys/block/sdb/device/": "", "sys/block/dm-0/slaves/sda/": "", "sys/block/dm-0/dm/name": "vg-old\n"})
	synctest.Test(t, func(t *testing.T) {
		b.t, b.host.Now = t, time.Now
		f := newDisk(Defaults())
		mapper := func() string {
			for _, d := range b.tick(f).(*Disk).Devices {
				if d.Name == "dm-0" {
					return d.Mapper
				}
			}
			return ""
		}
		b.write(blockStep("sda 1 1", "sdb 1 1", "dm-0 1 1"))
		if got := mapper(); got != "vg-old" {
			t.Errorf("the name is %q", got)
		}
		b.remove("sys/block/dm-0/slaves/sda")
		b.write(map[string]string{"sys/block/dm-0/slaves/sdb/": "", "sys/block/dm-0/dm/name": "vg-new\n"})
		for range 70 {
			time.Sleep(time.Second)
			mapper()
		}
		synctest.Wait()
		if got := mapper(); got != "vg-new" {
			t.Errorf("after a minute the name is %q", got)
		}
		if below := f.(*disk).devices["dm-0"].below; len(below) != 1 || below[0].name != "sdb" {
			t.Errorf("it stands on %v", below)
		}
		synctest.Wait()
	})
}

// TestThousandsOfDisks: 2,000 devices are read in a time that grows with their number.
func TestThousandsOfDisks(t *testing.T) {
	memoryDir(t)
	b := newBench(t, manyDisks(2000))
	f := newDisk(Defaults())
	b.tick(f)
	if r := b.tick(f).(*Disk); len(r.Devices)-1+len(r.Unnamed) != 2000/2 || r.Missing() != nil || r.Total.ReadsPerSecond != 0 {
		t.Errorf("%d devices, total %v", len(r.Devices), r.Total)
	}
}

// manyDisks is a machine of n devices: a quarter of each are disks, partitions, volumes
// on these, and loops.
func manyDisks(n int) map[string]string {
	files := map[string]string{}
	var devices []string
	for i := range n / 4 {
		disk, part := fmt.Sprint("nvme", i, "n1"), fmt.Sprint("nvme", i, "n1p1")
		devices = append(devices, disk+" 9 9", part+" 9 9", fmt.Sprint("dm-", i, " 9 9"), fmt.Sprint("loop", i, " 9 9"))
		files["sys/block/"+disk+"/device/"], files["sys/block/"+disk+"/"+part+"/"] = "", ""
		files[fmt.Sprint("sys/block/dm-", i, "/slaves/", part, "/")] = ""
		files["sys/block/"+disk+"/diskseq"] = fmt.Sprintln(i)
		files[fmt.Sprint("sys/block/loop", i, "/")] = ""
	}
	maps.Copy(files, blockStep(devices...))
	return files
}

func BenchmarkDisks(b *testing.B) {
	for _, n := range []int{8, 200, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := NewHost(b.TempDir())
			layFiles(b, h.root, manyDisks(n))
			f := newDisk(Defaults())
			var seq uint64
			b.ReportAllocs()
			for b.Loop() {
				seq++
				if _, err := f.Read(b.Context(), h, Tick{Seq: seq, Interval: 1e9}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/device")
		})
	}
}
