package guest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// mounted waits until the agent reports exactly the file systems that are named by their mount
// points, each with its own device and size, and the machine's total has each device once. What
// stat(1) says of a visible mount point is the truth.
func (m *machine) mounted(what string, want map[string]string) {
	m.t.Helper()
	m.eventually(what, func() error {
		c := m.current()
		total, counted := 0.0, map[string]bool{}
		missing := len(want)
		for _, f := range c.Disk.Filesystems {
			device, named := want[f.Mountpoint]
			if !named {
				return fmt.Errorf("%s of %s is reported", f.Mountpoint, f.Device)
			}
			missing--
			if f.Device != device {
				return fmt.Errorf("%s is reported of %s, want %s", f.Mountpoint, f.Device, device)
			}
			truth := m.number("stat -f -c '%b %S' " + f.Mountpoint + " | awk '{print $1 * $2}'")
			if f.Total == nil || *f.Total != truth {
				return fmt.Errorf("%s has a size of %v, want %v", f.Mountpoint, f.Total, truth)
			}
			if !counted[device] {
				counted[device] = true
				total += truth
			}
		}
		if missing != 0 {
			return fmt.Errorf("%d of %v are not reported: %+v", missing, want, c.Disk.Filesystems)
		}
		if c.Disk.Total == nil || math.Abs(*c.Disk.Total-total) > 0.5 {
			return fmt.Errorf("the total is %s, want %v", show(c.Disk.Total), total)
		}
		return nil
	})
}

func show(v *float64) string {
	if v == nil {
		return "unknown"
	}
	return fmt.Sprint(*v)
}

// mountHardware has four disks, vda to vdd, of different sizes.
func mountHardware(t *testing.T) hardware {
	t.Helper()
	h := hardware{
		memory:  768,
		modules: []string{"virtio_pci", "virtio_blk", "ext4", "btrfs", "xfs", "overlay", "loop", "squashfs"},
		tools:   []string{"mkfs.ext4", "mkfs.btrfs", "mount", "umount"},
	}
	for i, size := range []int64{256, 320, 384, 448} {
		id := fmt.Sprintf("d%d", i)
		h.devices = slices.Concat(h.devices, drive(t, id, size), []string{"-device", "virtio-blk-pci,drive=" + id})
	}
	return h
}

// TestGuestMounts covers, moves and binds mounts, and holds what is reported against what can
// be seen.
func TestGuestMounts(t *testing.T) {
	onEach(t, func(t *testing.T, kernel string) {
		h := mountHardware(t)
		h.helper, h.modules, h.tools = true, append(h.modules, "quota_v2"), append(h.tools, "chattr")
		m := boot(t, kernel, h)
		m.sh(`for i in virtio_pci virtio_blk ext4 btrfs overlay quota_v2; do modprobe $i; done; sleep 1
			for d in vda vdb vdc; do mkfs.ext4 -q /dev/$d; done
			mkdir -p /srv /b; mount /dev/vda /srv; mkdir /srv/data; mount /dev/vdb /srv/data`)
		m.startAgent()
		root := map[string]string{}
		for _, f := range m.current().Disk.Filesystems {
			if f.Mountpoint == "/" {
				root["/"] = f.Device
			}
		}
		mounted := func(what string, want map[string]string) {
			t.Helper()
			all := map[string]string{}
			for _, from := range []map[string]string{root, want} {
				for point, device := range from {
					all[point] = device
				}
			}
			m.mounted(what, all)
		}
		mounted("two mounts", map[string]string{"/srv": "/dev/vda", "/srv/data": "/dev/vdb"})

		m.sh("mount /dev/vdc /srv")
		mounted("covered, and out of reach", map[string]string{"/srv": "/dev/vdc"})
		m.sh("mkdir /srv/data")
		mounted("covered by one that has such a directory", map[string]string{"/srv": "/dev/vdc"})
		m.sh("umount /srv")
		mounted("uncovered", map[string]string{"/srv": "/dev/vda", "/srv/data": "/dev/vdb"})

		m.sh("umount /srv/data; mount /dev/vdb /b; mount /dev/vdc /b")
		mounted("two at one point", map[string]string{"/srv": "/dev/vda", "/b": "/dev/vdc"})
		m.sh("umount /b; umount /b; mount /dev/vdb /b; mount --move /srv /b")
		mounted("an older one moved over a newer one", map[string]string{"/b": "/dev/vda"})
		m.sh("umount /b; umount /b || { sleep 2; umount /b; }; mount /dev/vda /srv; mkdir -p /srv/part; mount --bind /srv/part /b")
		m.eventually("a directory bound elsewhere", func() error {
			total, truth := m.current().Disk.Total, m.number("stat -f -c '%b %S' /srv | awk '{print $1 * $2}'")
			if _, ok := root["/"]; ok {
				truth += m.number("stat -f -c '%b %S' / | awk '{print $1 * $2}'")
			}
			if total == nil || *total != truth {
				return fmt.Errorf("the total is %s, want %v", show(total), truth)
			}
			return nil
		})

		// A file system of two disks, mounted as a whole and in part.
		m.sh(`umount /b; umount /srv; mkfs.btrfs -q -f -d raid1 -m raid1 /dev/vdb /dev/vdd
			mount -o device=/dev/vdb,device=/dev/vdd /dev/vdb /b; dd if=/dev/zero of=/b/file bs=1M count=20 2>/dev/null; sync`)
		mounted("btrfs on two disks", map[string]string{"/b": "/dev/vdb"})

		// The agent holds a mount for an instant in each second.
		const unmount = "off() { for n in 1 2 3 4 5; do umount $1 && return; sleep 1; done; }\n"
		m.sh(unmount + "off /b")
		if kernel != "6.1" {
			// Nothing is put beneath a mount that stands on the root's.
			m.sh("mkdir -p /c /n; mount -t tmpfs n /n; mkdir /n/srv; mount /dev/vda /n/srv; mount /dev/vdc /c")
			m.help("beneath", "/c", "/n/srv")
			m.sh(unmount + "off /c")
			mounted("one put beneath another", map[string]string{"/n/srv": "/dev/vda"})
			m.sh(unmount + "off /n/srv")
			mounted("what was beneath", map[string]string{"/n/srv": "/dev/vdc"})
			m.sh(unmount + "off /n/srv; off /n")
		}

		// A directory with a limit of its own: a row, and its space is the volume's.
		m.sh(`mkfs.ext4 -q -F -O quota,project /dev/vdc; mount -o prjquota /dev/vdc /srv; mkdir /srv/limited /srv/free; chattr -p 42 +P /srv/limited`)
		m.help("quota", "/dev/vdc", "42", "20480")
		m.sh("mkdir -p /free; mount --bind /srv/limited /b; mount --bind /srv/free /free; dd if=/dev/zero of=/b/file bs=1M count=18 2>/dev/null; sync")
		m.eventually("a project's quota", func() error {
			c := m.current()
			total, sizes := 0.0, map[string]float64{}
			for point := range root {
				total += m.number("stat -f -c '%b %S' " + point + " | awk '{print $1 * $2}'")
			}
			whole := m.number("stat -f -c '%b %S' /srv | awk '{print $1 * $2}'")
			for _, f := range c.Disk.Filesystems {
				if _, other := root[f.Mountpoint]; other || f.Total == nil || f.Used == nil {
					continue
				}
				if sizes[f.Mountpoint] = *f.Total; f.Mountpoint == "/b" && (*f.Used < 18<<20 || *f.Used > 19<<20) {
					return fmt.Errorf("%.0f bytes of the limit are used, want 18 MiB", *f.Used)
				}
			}
			if len(sizes) != 2 || sizes["/srv"] != whole || sizes["/b"] != 20<<20 {
				return fmt.Errorf("sizes of %v, want /srv with %.0f and /b with 20 MiB", sizes, whole)
			}
			if c.Disk.Total == nil || *c.Disk.Total != total+whole {
				return fmt.Errorf("the total is %s, want %v", show(c.Disk.Total), total+whole)
			}
			return nil
		})
		if said := m.unhealthy(); said["family filesystem"] != "" || said["family disk"] != "" {
			t.Error(said)
		}
	})
}

// copyRoot copies the guest's programs to a directory, for another root.
const copyRoot = `copy() { mkdir -p $1; for d in /bin /sbin /lib /lib64 /usr /etc /init /sysotel; do [ ! -e $d ] || cp -a $d $1; done; cd $1; mkdir -p proc sys dev run tmp mnt var/lib root; cd /; }
`

// TestGuestOverlayRoots starts from roots that are no disk of their own: each has the size of what
// carries what is written to it, and an image has none.
func TestGuestOverlayRoots(t *testing.T) {
	onEach(t, func(t *testing.T, kernel string) {
		t.Run("image", func(t *testing.T) {
			// As composefs makes it: a root without an upper layer, and the disk that
			// carries it mounted in parts.
			m := boot(t, kernel, mountHardware(t))
			m.sh(copyRoot + `for i in virtio_pci virtio_blk ext4 btrfs overlay; do modprobe $i; done; sleep 1
				mkfs.btrfs -q /dev/vdd; mkdir /disk /new /empty; mount /dev/vdd /disk; copy /disk/image; mkdir /disk/image/sysroot /disk/state; mkdir /disk/state/etc /disk/state/var
				cp -a /etc/. /disk/state/etc
				mkdir -p /disk/empty; mount -t overlay overlay -o ro,lowerdir=/disk/image:/disk/empty /new
				mount --bind /disk/state/etc /new/etc; mount --bind /disk/state/var /new/var
				mount --bind /disk /new/sysroot`)
			m.switchRoot("/new", "/init")
			m.sh("mkdir -p /var/lib")
			m.startAgent()
			m.eventually("the disk, and not the image", func() error {
				c := m.current()
				truth := m.number("stat -f -c '%b %S' /sysroot | awk '{print $1 * $2}'")
				if c.Disk.Total == nil || *c.Disk.Total != truth {
					return fmt.Errorf("the total is %s, want %v: %+v", show(c.Disk.Total), truth, c.Disk.Filesystems)
				}
				return nil
			})
		})
		t.Run("upper", func(t *testing.T) {
			// As OpenWrt and live systems have it: what is written goes to a disk that is
			// mounted too.
			m := boot(t, kernel, mountHardware(t))
			m.sh(copyRoot + `for i in virtio_pci virtio_blk ext4 btrfs overlay; do modprobe $i; done; sleep 1
				mkfs.ext4 -q /dev/vdd; mkdir /overlay /new; mount /dev/vdd /overlay; mkdir /overlay/upper /overlay/work; copy /overlay/rom; mkdir /overlay/rom/overlay
				mount -t overlay overlay -o lowerdir=/overlay/rom,upperdir=/overlay/upper,workdir=/overlay/work /new
				mount --move /overlay /new/overlay`)
			m.switchRoot("/new", "/init")
			m.startAgent()
			m.eventually("the disk once", func() error {
				c := m.current()
				truth := m.number("stat -f -c '%b %S' /overlay | awk '{print $1 * $2}'")
				if c.Disk.Total == nil || *c.Disk.Total != truth {
					return fmt.Errorf("the total is %s, want %v: %+v", show(c.Disk.Total), truth, c.Disk.Filesystems)
				}
				return nil
			})
			if log := m.sh("cat /run/sysotel.log"); strings.Contains(log, "container") {
				t.Errorf("the machine is taken for a container:\n%s", log)
			}
		})
	})
}
