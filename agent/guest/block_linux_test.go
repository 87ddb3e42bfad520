package guest

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// image returns the path of an empty disk image of a size in MiB.
func image(t *testing.T, size int64) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size << 20); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// drive returns the arguments of QEMU for a drive that devices name by its id.
func drive(t *testing.T, id string, size int64) []string {
	t.Helper()
	return []string{"-drive", "if=none,format=raw,cache=unsafe,id=" + id + ",file=" + image(t, size)}
}

// moves runs a script and holds what disks wrote or read since against the truth in MiB, by
// device; devices that are not named must not have moved. The machine's total must be what the
// carriers moved, each byte once. loose, in MiB, is what file systems add of their own.
func (m *machine) moves(direction, script string, devices map[string]float64, carriers []string, loose float64) {
	m.t.Helper()
	counter := `system_disk_io_bytes_total{direction="` + direction + `"}`
	rate := func(device string) float64 {
		return m.integral(`sysotel_disk_io_rate_bytes_per_second{device="` + device + `",direction="` + direction + `"}`)
	}
	rates := func() float64 {
		sum := -rate("")
		for _, c := range carriers {
			sum += rate(c)
		}
		return sum
	}
	before, apart := m.query(counter), rates()
	m.sh(script + "\nsync\nsleep 2")
	loose += 0.1
	counts := func() error {
		after := m.query(counter)
		moved := map[string]float64{}
		for key, now := range after {
			moved[strings.TrimSpace(strings.Replace(key, direction, "", 1))] = (now - before[key]) / (1 << 20)
		}
		for device, want := range devices {
			if _, there := moved[device]; !there {
				return fmt.Errorf("%s is not reported: %v", device, moved)
			}
			if math.Abs(moved[device]-want) > loose {
				return fmt.Errorf("%s: %v MiB moved, want %v", direction, moved, devices)
			}
		}
		for device := range moved {
			if _, named := devices[device]; !named && moved[device] > loose {
				return fmt.Errorf("%s: %v MiB moved, want %v", direction, moved, devices)
			}
		}
		if more := (rates() - apart) / (1 << 20); math.Abs(more) > loose {
			return fmt.Errorf("%s: the machine's rate adds up to %.2f MiB less than those of %v", direction, more, carriers)
		}
		return nil
	}
	var err error
	for range 8 {
		if err = counts(); err == nil {
			return
		}
		m.sh("sleep 1")
	}
	m.t.Errorf("%v\nafter %s", err, script)
}

// fill is a script that writes to a device, past the page cache.
func fill(device string, mib int) string {
	return fmt.Sprintf("dd if=/dev/zero of=/dev/%s bs=1M count=%d oflag=direct 2>/dev/null", device, mib)
}

// TestGuestDisks moves known amounts over disks of each kind, and over what stands on them: each
// byte counts once in the machine's total, at the disk that carries it.
func TestGuestDisks(t *testing.T) {
	onEach(t, func(t *testing.T, kernel string) {
		m := boot(t, kernel, hardware{
			memory: 768,
			devices: slices.Concat(
				// A namespace that two controllers of a subsystem share: kernels before
				// 6.4 count at its hidden paths only.
				[]string{"-device", "nvme-subsys,id=sub,nqn=sub", "-device", "nvme,serial=one,subsys=sub", "-device", "nvme,serial=one,subsys=sub"},
				drive(t, "shared", 64), []string{"-device", "nvme-ns,drive=shared,nsid=1"},
				drive(t, "plain", 64), []string{"-device", "nvme,id=plug,serial=two,drive=plain"},
				[]string{"-device", "ich9-ahci,id=ahci"},
				drive(t, "sata0", 64), []string{"-device", "ide-hd,drive=sata0,bus=ahci.0"}, // sda
				drive(t, "sata1", 64), []string{"-device", "ide-hd,drive=sata1,bus=ahci.1"}, // sdb
				drive(t, "virtio", 192), []string{"-device", "virtio-blk-pci,drive=virtio"}, // vda
			),
			modules: []string{
				"nvme", "ahci", "sd_mod", "virtio_pci", "virtio_blk", "scsi_debug", "null_blk", "loop", "zram", "lzo_rle", "raid1", "dm_mod", "dm_delay", "ext4",
			},
			tools: []string{"mdadm", "dmsetup", "mkfs.ext4"},
		})
		m.sh("for m in nvme ahci sd_mod virtio_pci virtio_blk loop zram raid1 dm_mod dm_delay ext4; do modprobe $m; done; sleep 2")
		m.sh("modprobe scsi_debug dev_size_mb=64 delay=0; modprobe null_blk nr_devices=1 gb=1; sleep 1; ls /sys/block")
		m.startAgent()

		named := func(serial string) string {
			return strings.TrimSpace(m.sh("cd /sys/block; for d in nvme?n1; do [ $(cat $d/device/serial) != " + serial + " ] || echo $d; done"))
		}
		shared, plain := named("one"), named("two")
		for _, disk := range []string{"vda", "sda", shared, plain, "sdc"} {
			m.moves("write", fill(disk, 20), map[string]float64{disk: 20}, []string{disk}, 0)
			m.moves("read", fmt.Sprintf("dd if=/dev/%s of=/dev/null bs=1M count=10 iflag=direct 2>/dev/null", disk), map[string]float64{disk: 10}, []string{disk}, 0)
		}
		// Nothing else counts what goes to this one; that one is memory.
		m.moves("write", fill("nullb0", 20), map[string]float64{"nullb0": 20}, []string{"nullb0"}, 0)
		m.moves("write", "echo 64M >/sys/block/zram0/disksize; "+fill("zram0", 20), nil, nil, 0)

		// A mirror writes twice what is written to it, until a half is gone.
		m.sh("yes | mdadm --create /dev/md0 --run --assume-clean --level=1 --raid-devices=2 /dev/sda /dev/sdb; sleep 3")
		m.moves("write", fill("md0", 20), map[string]float64{"md0": 20, "sda": 20, "sdb": 20}, []string{"sda", "sdb"}, 0)
		m.sh("mdadm --fail /dev/md0 /dev/sdb; sleep 2")
		m.moves("write", fill("md0", 20), map[string]float64{"md0": 20, "sda": 20}, []string{"sda"}, 0)
		m.sh("mdadm --remove /dev/md0 /dev/sdb; echo 1 >/sys/block/sdb/device/delete; sleep 2")
		m.moves("write", fill("md0", 20), map[string]float64{"md0": 20, "sda": 20}, []string{"sda"}, 0)

		// What stands on vda: a part of it, one that answers late, a file system, a disk in a file.
		m.sh(`dmsetup='dmsetup --noudevsync --noudevrules'
			echo 0 65536 linear /dev/vda 0 | $dmsetup create part
			echo 0 65536 delay /dev/vda 65536 20 | $dmsetup create late
			echo 0 196608 linear /dev/vda 131072 | $dmsetup create files; sleep 2`)
		m.moves("write", fill("dm-0", 20), map[string]float64{"dm-0": 20, "vda": 20}, []string{"vda"}, 0)
		m.moves("write", fill("dm-1", 20), map[string]float64{"dm-1": 20, "vda": 20}, []string{"vda"}, 0)
		m.sh("mkfs.ext4 -q -E lazy_itable_init=0,nodiscard /dev/dm-2; mount /dev/dm-2 /mnt; dd if=/dev/zero of=/mnt/image bs=1M count=30 2>/dev/null; losetup /dev/loop0 /mnt/image; sync; sleep 2")

		// A volume that gets another name, while it is written to: nothing else is different.
		mapped := func(name string) {
			t.Helper()
			m.eventuallyIn(2, "the name "+name, func() error {
				devices := m.current().Disk.Devices
				for _, d := range devices {
					if d.Name == "dm-0" && d.Mapper == name {
						return nil
					}
				}
				return fmt.Errorf("%+v", devices)
			})
		}
		mapped("part")
		rename := "dmsetup --noudevsync --noudevrules rename part renamed"
		m.moves("write", fill("dm-0", 10)+"; "+rename+"; "+fill("dm-0", 10), map[string]float64{"dm-0": 20, "vda": 20}, []string{"vda"}, 0.5)
		mapped("renamed")
		m.moves("write", fill("dm-0", 20), map[string]float64{"dm-0": 20, "vda": 20}, []string{"vda"}, 0.5)
		if n := m.value(`sum(resets(system_disk_io_bytes_total{device="dm-0"}[10m]))`); n != 0 {
			t.Errorf("the counters fell %v times", n)
		}
		// Another one that takes the number of one that is gone has counted nothing.
		m.sh("dmsetup --noudevsync --noudevrules remove renamed; echo 0 65536 linear /dev/vda 0 | dmsetup --noudevsync --noudevrules create new; sleep 2; ls -d /sys/block/dm-0")
		mapped("new")
		m.eventually("a volume that begins anew", func() error {
			if n := m.value(`system_disk_io_bytes_total{device="dm-0",direction="write"}`); n > 1<<20 {
				return fmt.Errorf("it has written %v bytes", n)
			}
			return nil
		})
		m.moves("write", fill("dm-0", 20), map[string]float64{"dm-0": 20, "vda": 20}, []string{"vda"}, 0.5)
		m.moves("write", "dd if=/dev/zero of=/mnt/file bs=1M count=20 conv=fsync 2>/dev/null", map[string]float64{"dm-2": 20, "vda": 20}, []string{"vda"}, 1)
		m.moves("write", fill("loop0", 20)+"; sync", map[string]float64{"dm-2": 20, "vda": 20}, []string{"vda"}, 1)

		// A disk that is pulled out takes nothing with it.
		m.monitor.do("device_del", map[string]any{"id": "plug"})
		m.sh("sleep 5; ! ls /sys/block | grep " + plain)
		m.moves("write", fill("vda", 20), map[string]float64{"vda": 20}, []string{"vda"}, 0.5)
		m.wantHealthy()
	})
}
