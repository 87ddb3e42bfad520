package instruments

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSpaceOfMachines reads the mounts of machines whose "/" is no disk with a
// file system of an ordinary type, or that have several ways to one space.
func TestSpaceOfMachines(t *testing.T) {
	const giga = 1 << 30
	for _, c := range []struct {
		what, mounts string
		files        map[string]string
		exclude      []string
		sizes        map[string]uint64 // In giga; half of it is used.
		rows         []string
		total        uint64
	}{
		// "/" of any type is measured.
		{what: "OpenVZ", mounts: "20 1 0:40 / / rw - simfs /vz/private/101 rw\n21 20 0:3 / /proc rw - proc proc rw", sizes: map[string]uint64{"/": 10}, rows: []string{"/"}, total: 10},
		{what: "WSL 1", mounts: "2 2 0:2 / / rw,noatime - lxfs rootfs rw\n3 2 0:9 / /mnt/c rw - drvfs C: rw", sizes: map[string]uint64{"/": 10, "/mnt/c": 90}, rows: []string{"/", "/mnt/c"}, total: 10},
		{what: "WSL 1, newer", mounts: "2 2 0:2 / / rw,noatime - wslfs rootfs rw", sizes: map[string]uint64{"/": 10}, rows: []string{"/"}, total: 10},
		{what: "NixOS that forgets", mounts: "20 1 0:25 / / rw - tmpfs none rw,size=2G\n21 20 8:2 /nix /nix rw - btrfs /dev/sda2 rw\n22 20 0:26 / /tmp rw - tmpfs tmpfs rw", sizes: map[string]uint64{"/": 2, "/nix": 100}, rows: []string{"/", "/nix"}, total: 102},
		{what: "aufs", mounts: "20 1 0:25 / / rw - aufs none rw,si=1a\n21 20 8:1 /hosts /etc/hosts rw - ext4 /dev/sda1 rw", sizes: map[string]uint64{"/": 50}, rows: []string{"/"}, total: 50},
		{what: "unionfs", mounts: "20 1 0:25 / / rw - fuse.unionfs unionfs rw", sizes: map[string]uint64{"/": 50}, rows: []string{"/"}, total: 50},
		{
			what:   "a container of podman without root",
			mounts: "20 1 0:50 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw,user_id=0\n21 20 8:1 /home/u/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n22 20 8:1 /data /data rw - ext4 /dev/sda1 rw",
			sizes:  map[string]uint64{"/": 50, "/data": 50}, rows: []string{"/", "/data"}, total: 50,
		},
		{what: "an image", mounts: "20 1 7:0 / / ro - squashfs /dev/loop0 ro\n21 20 8:1 / /data rw - ext4 /dev/sda1 rw", sizes: map[string]uint64{"/data": 50}, rows: []string{"/data"}, total: 50},
		{what: "another image", mounts: "20 1 253:0 / / ro - erofs /dev/dm-0 ro\n21 20 8:1 / /data rw - ext4 /dev/sda1 rw", sizes: map[string]uint64{"/data": 50}, rows: []string{"/data"}, total: 50},
		{what: "programs in memory", mounts: "1 1 0:2 / / rw - rootfs rootfs rw\n21 1 8:1 / /data rw - ext4 /dev/sda1 rw", sizes: map[string]uint64{"/": 1, "/data": 50}, rows: []string{"/", "/data"}, total: 51},

		// An overlay has the space of what holds its upper directory, and without one it is an image.
		{
			what: "Fedora Atomic",
			mounts: `60 1 0:34 / / ro,relatime shared:1 - overlay composefs ro,lowerdir+=/run/ostree/.private/cfsroot-lower,datadir+=/sysroot/ostree/repo/objects,redirect_dir=on,metacopy=on
61 60 0:31 /root /sysroot ro - btrfs /dev/vda3 rw,subvol=/root
62 60 0:31 /root/ostree/deploy/fedora/deploy/1/etc /etc rw - btrfs /dev/vda3 rw,subvol=/root
63 60 0:31 /var /var rw - btrfs /dev/vda3 rw,subvol=/var
64 60 253:2 / /boot rw - ext4 /dev/vda2 rw
`,
			sizes: map[string]uint64{"/etc": 200, "/boot": 1}, rows: []string{"/etc", "/boot"}, total: 201,
		},
		{
			what:   "OpenWrt",
			mounts: "20 1 31:5 / /rom ro - squashfs /dev/root ro\n21 1 0:15 / /overlay rw - ubifs /dev/ubi0_1 rw\n22 1 0:16 / / rw - overlay overlayfs:/overlay rw,lowerdir=/,upperdir=/overlay/upper,workdir=/overlay/work",
			sizes:  map[string]uint64{"/overlay": 4, "/": 4}, rows: []string{"/overlay", "/"}, total: 4,
		},
		{
			what:   "OpenWrt whose overlay is left out",
			mounts: "21 1 0:15 / /overlay rw - f2fs /dev/loop0 rw\n22 1 0:16 / / rw - overlay overlayfs:/overlay rw,lowerdir=/,upperdir=/overlay/upper", exclude: []string{"mountpoint:/overlay"},
			sizes: map[string]uint64{"/": 4}, rows: []string{"/"}, total: 4,
		},
		{
			what:   "a live system",
			mounts: "20 1 0:30 / / rw - overlay overlay rw,lowerdir=/run/live/rootfs,upperdir=/run/live/overlay/rw,workdir=/run/live/overlay/work\n21 20 0:31 / /run/live/overlay rw - tmpfs tmpfs rw\n22 20 8:1 /home /home rw - ext4 /dev/sda1 rw",
			sizes:  map[string]uint64{"/": 4, "/home": 50}, rows: []string{"/", "/home"}, total: 54,
		},
		{
			what: "a container of Docker",
			mounts: `20 1 0:30 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A:/var/lib/docker/overlay2/l/B,upperdir=/var/lib/docker/overlay2/c/diff,workdir=/var/lib/docker/overlay2/c/work
21 20 8:1 /var/lib/docker/containers/c/hosts /etc/hosts rw - ext4 /dev/sda1 rw
22 20 8:1 /var/lib/docker/volumes/v/_data /var/lib rw - ext4 /dev/sda1 rw
`,
			sizes: map[string]uint64{"/": 50, "/var/lib": 50}, rows: []string{"/", "/var/lib"}, total: 50,
		},
		{
			what:   "a container that may not write",
			mounts: "20 1 0:30 / / ro - overlay overlay ro,lowerdir=/l/A:/l/B\n21 20 8:1 /hosts /etc/hosts rw - ext4 /dev/sda1 rw",
			sizes:  map[string]uint64{"/": 50}, rows: []string{"/"}, total: 50,
		},
		{
			what:   "a machine with containers",
			mounts: "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 0:44 / /var/lib/docker/overlay2/c/merged rw - overlay overlay rw,lowerdir=/l,upperdir=/var/lib/docker/overlay2/c/diff",
			sizes:  map[string]uint64{"/": 50}, rows: []string{"/"}, total: 50,
		},

		// Images behind loop devices, and what is built on those.
		{
			what:   "images on a disk, in memory and on a server",
			mounts: "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 7:0 / /a rw - ext4 /dev/loop0 rw\n22 20 0:40 / /dev/shm rw - tmpfs tmpfs rw\n23 20 7:1 / /b rw - ext4 /dev/loop1 rw\n24 20 0:60 / /net rw - nfs4 s:/x rw\n25 20 259:3 / /c rw - ext4 /dev/loop2p1 rw",
			files: map[string]string{
				"sys/dev/block/7:0": "-> ../../devices/virtual/block/loop0", "sys/block/loop0/loop/backing_file": "/var/lib/images/my disk.img\n",
				"sys/dev/block/7:1": "-> ../../devices/virtual/block/loop1", "sys/block/loop1/loop/backing_file": "/dev/shm/x\n",
				"sys/dev/block/259:3": "-> ../../devices/virtual/block/loop2/loop2p1", "sys/block/loop2/loop/backing_file": "/net/disk\n",
			},
			sizes: map[string]uint64{"/": 50, "/a": 5, "/b": 6, "/net": 1000, "/c": 7}, rows: []string{"/", "/a", "/b", "/net", "/c"}, total: 63,
		},
		{
			what:   "a volume group on images",
			mounts: "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 253:0 / /a rw - ext4 /dev/mapper/vg-a rw\n22 20 253:1 / /b rw - ext4 /dev/mapper/vg-b rw",
			files: map[string]string{
				"sys/dev/block/253:0": "-> ../../devices/virtual/block/dm-0", "sys/block/dm-0/slaves/loop0": "-> ../../loop0", "sys/block/dm-0/slaves/loop1p2": "-> ../../loop1p2",
				"sys/dev/block/253:1": "-> ../../devices/virtual/block/dm-1", "sys/block/dm-1/slaves/loop0": "-> ../../loop0", "sys/block/dm-1/slaves/sdb": "-> ../../sdb", "sys/block/sdb/device/": "",
				"sys/block/loop0/loop/backing_file": "/one\n", "sys/block/loop1/loop/backing_file": "/two\n",
			},
			sizes: map[string]uint64{"/": 50, "/a": 5, "/b": 6}, rows: []string{"/", "/a", "/b"}, total: 56,
		},
		{
			what:   "a snapshot",
			mounts: "20 1 253:1 / / rw - ext4 /dev/mapper/vg-root rw\n21 20 253:4 / /backup ro - ext4 /dev/mapper/vg-snap ro",
			files: map[string]string{
				"sys/dev/block/253:1": "-> ../../devices/virtual/block/dm-1", "sys/dev/block/253:4": "-> ../../devices/virtual/block/dm-4",
				"sys/block/dm-1/slaves/dm-2": "-> ../../dm-2", "sys/block/dm-2/dm/uuid": "LVM-a1-real\n", "sys/block/dm-2/holders/dm-1": "-> ../../dm-1", "sys/block/dm-2/holders/dm-4": "-> ../../dm-4",
				"sys/block/dm-4/slaves/dm-2": "-> ../../dm-2", "sys/block/dm-4/slaves/dm-3": "-> ../../dm-3", "sys/block/dm-3/dm/uuid": "LVM-a2-cow\n", "sys/block/dm-1/dev": "253:1\n",
			},
			sizes: map[string]uint64{"/": 50, "/backup": 50}, rows: []string{"/", "/backup"}, total: 50,
		},
		// Nonsense that leads in a circle loses nothing.
		{
			what:   "images within each other",
			mounts: "21 1 7:0 / /a rw - ext4 /dev/loop0 rw\n22 1 7:1 / /b rw - ext4 /dev/loop1 rw",
			files: map[string]string{
				"sys/dev/block/7:0": "-> ../../devices/virtual/block/loop0", "sys/block/loop0/loop/backing_file": "/b/x\n",
				"sys/dev/block/7:1": "-> ../../devices/virtual/block/loop1", "sys/block/loop1/loop/backing_file": "/a/x\n",
			},
			sizes: map[string]uint64{"/a": 5, "/b": 6}, rows: []string{"/a", "/b"}, total: 6,
		},

		// A directory with a limit of its own is a row, and its space is the volume's.
		{
			what: "project quotas",
			mounts: `20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 8:17 / /srv rw - xfs /dev/sdb1 rw,attr2,inode64,prjquota
22 20 8:17 /web /var/www rw - xfs /dev/sdb1 rw,attr2,inode64,prjquota
23 20 8:17 /web /www rw - xfs /dev/sdb1 rw,attr2,inode64,prjquota
24 20 8:17 /mail /mail rw - xfs /dev/sdb1 rw,attr2,inode64,prjquota
25 20 8:1 /opt /opt rw - ext4 /dev/sda1 rw
`,
			sizes: map[string]uint64{"/": 50, "/srv": 100, "/www": 2, "/mail": 100}, rows: []string{"/", "/srv", "/www"}, total: 150,
		},

		// What is seen is what a path leads to, whatever its place in the list.
		{what: "moved over a newer one", mounts: "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 22 7:0 / /b rw - ext4 /dev/loop0 rw\n22 20 7:1 / /b rw - ext4 /dev/loop1 rw", sizes: map[string]uint64{"/": 50, "/b": 3}, rows: []string{"/", "/b"}, total: 53},
		{what: "below a covered one", mounts: "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 7:0 / /X rw - ext4 /dev/loop0 rw\n22 21 7:1 / /X/data rw - ext4 /dev/loop1 rw\n23 21 7:2 / /X rw - ext4 /dev/loop2 rw", sizes: map[string]uint64{"/": 50, "/X": 6}, rows: []string{"/", "/X"}, total: 56},
		{what: "on a way that is covered", mounts: "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 20 7:1 / /X/data rw - ext4 /dev/loop1 rw\n23 20 7:2 / /X rw - ext4 /dev/loop2 rw\n24 23 7:3 / /X/data rw - ext4 /dev/loop3 rw\n25 20 7:4 / /X-data rw - ext4 /dev/loop4 rw", sizes: map[string]uint64{"/": 50, "/X": 6, "/X/data": 7, "/X-data": 8}, rows: []string{"/", "/X", "/X/data", "/X-data"}, total: 71},
		{what: "a mount on an automatic one", mounts: "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 0:40 / /data rw - autofs systemd-1 rw\n22 21 8:2 / /data rw - ext4 /dev/sda2 rw", sizes: map[string]uint64{"/": 50, "/data": 6}, rows: []string{"/", "/data"}, total: 56},
		{what: "the line of its parent is lost", mounts: "21 20 8:2 / /data rw - ext4 /dev/sda2 rw\n22 20 8:3 / /data/x rw - ext4 /dev/sda3 rw\n23 21 8:4 / /data/y rw - ext4 /dev/sda4 rw", sizes: map[string]uint64{"/data": 6, "/data/y": 7}, rows: []string{"/data", "/data/y"}, total: 13},
		{what: "a line twice", mounts: "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / /data rw - ext4 /dev/sda2 rw\n21 20 8:2 / /data rw - ext4 /dev/sda2 rw\n20 1 8:1 / / rw - ext4 /dev/sda1 rw", sizes: map[string]uint64{"/": 50, "/data": 6}, rows: []string{"/data", "/"}, total: 56},
		{what: "parents in a circle", mounts: "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 22 8:2 / /a rw - ext4 /dev/sda2 rw\n22 21 8:3 / /b rw - ext4 /dev/sda3 rw", sizes: map[string]uint64{"/": 50}, rows: []string{"/"}, total: 50},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := newBench(t, map[string]string{"proc/1/mountinfo": c.mounts, "proc/filesystems": "\text4\n\txfs\n\tsquashfs\n\terofs\nnodev\ttmpfs\n"})
			b.write(c.files)
			b.host.statfs = func(path string) (capacity, error) {
				point := "/" + strings.TrimPrefix(strings.TrimPrefix(path, b.host.root), "/")
				size, ok := c.sizes[point]
				if !ok {
					t.Errorf("%s was asked", point)
					return capacity{}, syscall.ENOENT
				}
				return capacity{Size: size * giga, Free: size * giga / 2, Available: size * giga / 2}, nil
			}
			r := b.tick(newFilesystem(with("filesystem", nil, c.exclude))).(*Filesystem)
			var rows []string
			for _, m := range r.Mounts {
				if !m.Measured || m.Size != c.sizes[m.Mountpoint]*giga {
					t.Errorf("%+v, want %d giga", m, c.sizes[m.Mountpoint])
				}
				rows = append(rows, m.Mountpoint)
			}
			if !slices.Equal(rows, c.rows) {
				t.Errorf("rows are %v, want %v", rows, c.rows)
			}
			if r.Total == nil || r.Total.Size != c.total*giga || r.Total.Used != c.total*giga/2 || r.Total.Free != c.total*giga/2 {
				t.Errorf("the total is %+v, want %d giga", r.Total, c.total)
			}
		})
	}
}

// What carries another counts for it only while it has numbers.
func TestCarrierWithoutNumbers(t *testing.T) {
	b := newBench(t, map[string]string{
		"proc/1/mountinfo":  "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / /disk rw - ext4 /dev/sda2 rw\n22 20 7:0 / /image rw - ext4 /dev/loop0 rw\n",
		"sys/dev/block/7:0": "-> ../../devices/virtual/block/loop0", "sys/block/loop0/loop/backing_file": "/disk/image\n",
	})
	refused := false
	b.host.statfs = func(path string) (capacity, error) {
		if refused && strings.HasSuffix(path, "/disk") {
			return capacity{}, syscall.EACCES
		}
		return capacity{Size: 1000, Free: 500, Available: 500}, nil
	}
	f := newFilesystem(Defaults())
	wantPoints(t, b.tick(f), map[string]float64{"sysotel.disk.limit{,,}": 2000, "sysotel.disk.limit{/dev/loop0,/image,ext4}": 1000})
	refused = true
	wantPoints(t, b.tick(newFilesystem(Defaults())), map[string]float64{"sysotel.disk.limit{,,}": 2000, "sysotel.disk.limit{/dev/sda2,/disk,ext4}": unknown})
}

// TestMemberThatFails: the total waits a minute for a file system that fails, then goes
// on without it and says so, and takes it in again when it is back. One that was never
// permitted is not waited for.
func TestMemberThatFails(t *testing.T) {
	b := newBench(t, map[string]string{"proc/1/mountinfo": "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / /dead rw - ext4 /dev/sda2 rw\n22 20 8:3 / /private rw - ext4 /dev/sda3 rw\n"})
	var err error
	b.host.statfs = func(path string) (capacity, error) {
		switch {
		case strings.HasSuffix(path, "/private"):
			return capacity{}, syscall.EACCES
		case strings.HasSuffix(path, "/dead") && err != nil:
			return capacity{}, err
		}
		return capacity{Size: 1000, Free: 500, Available: 500}, nil
	}
	f := newFilesystem(Defaults())
	reason := func(r *Filesystem) string {
		for _, m := range r.Missing() {
			if m.Subject == "/dead" {
				return m.Reason
			}
		}
		return ""
	}
	want := func(second int, total float64, sentence string) {
		t.Helper()
		r := b.tick(f).(*Filesystem)
		wantPoints(t, r, map[string]float64{"sysotel.disk.limit{,,}": total, "sysotel.disk.limit{/dev/sda1,/,ext4}": 1000})
		if got := reason(r); got != sentence {
			t.Errorf("second %d: /dead is missing because %q, want %q", second, got, sentence)
		}
	}
	for _, failure := range []error{syscall.EIO, syscall.ENOTCONN, syscall.EACCES} {
		err = nil
		want(0, 2000, "")
		err = failure
		for second := range 60 {
			want(second, unknown, failure.Error())
			if second == 30 {
				// A change of the list is no new start.
				b.write(map[string]string{"proc/1/mountinfo": "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / /dead rw - ext4 /dev/sda2 rw\n22 20 8:3 / /private ro - ext4 /dev/sda3 rw\n23 20 0:30 / /proc rw - proc proc rw\n"})
			}
		}
		for second := 60; second < 65; second++ {
			want(second, 1000, failure.Error()+"; totals go on without it")
		}
		b.write(map[string]string{"proc/1/mountinfo": "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / /dead rw - ext4 /dev/sda2 rw\n22 20 8:3 / /private rw - ext4 /dev/sda3 rw\n"})
	}
	err = nil
	want(0, 2000, "")
}

// TestFilesystemNumbersThatAreNone has what servers and programs say where they do
// not know, or count below 0.
func TestFilesystemNumbersThatAreNone(t *testing.T) {
	const giga, mega = 1 << 30, 1 << 20
	minus := func(n uint64) uint64 { return -n }
	for _, c := range []struct {
		what           string
		is             capacity
		measured       bool
		free, reserved uint64
		utilization    float64
		inodes         uint64
	}{
		{what: "CephFS counts no free inodes", is: capacity{Size: giga, Free: giga / 2, Available: giga / 2, Inodes: 2167140, InodesFree: minus(1)}, measured: true, free: giga / 2, utilization: 0.5},
		{what: "composefs", is: capacity{Size: giga, Free: giga / 2, Available: giga / 2, Inodes: minus(1), InodesFree: minus(125126)}, measured: true, free: giga / 2, utilization: 0.5},
		{what: "more free inodes than there are", is: capacity{Size: giga, Free: giga / 2, Available: giga / 2, Inodes: 100, InodesFree: 101}, measured: true, free: giga / 2, utilization: 0.5},
		{what: "all inodes free", is: capacity{Size: giga, Free: giga, Available: giga, Inodes: 100, InodesFree: 100}, measured: true, free: giga, utilization: 0, inodes: 100},
		{what: "inodes on demand", is: capacity{Size: giga, Free: giga / 2, Available: giga / 2, InodesFree: 7}, measured: true, free: giga / 2, utilization: 0.5},
		{what: "s3fs", is: capacity{Size: minus(16 * mega), Free: minus(16 * mega), Available: minus(16 * mega)}},
		{what: "a size of 2^63", is: capacity{Size: 1 << 63, Free: giga, Available: giga}},
		{what: "the largest size", is: capacity{Size: 1<<63 - 1, Free: giga, Available: giga}, measured: true, free: giga, utilization: 1},
		{what: "root took of its reserve", is: capacity{Size: giga, Free: 100 * mega, Available: minus(400 * mega)}, measured: true, reserved: 100 * mega, utilization: 1},
		{what: "more for users than is free", is: capacity{Size: giga, Free: 100 * mega, Available: 200 * mega}, measured: true, free: 100 * mega, utilization: 1 - 100./1024},
		{what: "free is -1", is: capacity{Size: giga, Free: minus(1), Available: minus(1)}},
		{what: "more free than the size", is: capacity{Size: giga, Free: giga + 1, Available: giga}},
		{what: "more available than the size", is: capacity{Size: giga, Free: giga, Available: giga + 1}},
	} {
		m := Mount{Utilization: unknown}
		m.fill(c.is, nil)
		if m.Measured != c.measured || m.Measured == (m.Reason != "") || m.Free != c.free || m.Reserved != c.reserved || m.Inodes != c.inodes ||
			c.measured && (math.Abs(m.Utilization-c.utilization) > 1e-9 || m.Used+max(m.Free+m.Reserved, c.is.Free) != m.Size) {
			t.Errorf("%s: %+v gave %+v", c.what, c.is, m)
		}
		wantPoints(t, &Filesystem{Mounts: []Mount{m}}, map[string]float64{"sysotel.disk.limit{,,}": map[bool]float64{true: float64(c.is.Size), false: unknown}[c.measured]})
	}
	for _, c := range []struct{ blocks, size, want uint64 }{
		{10, 4096, 40960}, {0, 4096, 0}, {1<<51 - 1, 4096, 1<<63 - 4096},
		{minus(1), 4096, minus(1)}, {1 << 63, 4096, 1 << 63}, {1 << 52, 4096, math.MaxUint64}, {1 << 55, 4096, math.MaxUint64},
	} {
		if got := bytesOf(c.blocks, c.size); got != c.want {
			t.Errorf("%d blocks of %d are %d, want %d", c.blocks, c.size, got, c.want)
		}
	}
	// Sums of what cannot be do not become small.
	f := &filesystem{}
	f.choose([]mountEntry{entry("8:1", "/a"), entry("8:2", "/b"), entry("8:3", "/c")})
	mounts := make([]Mount, 3)
	for i := range mounts {
		mounts[i].fill(capacity{Size: 1<<63 - 1, Free: 1, Available: 1}, nil)
	}
	if total := f.total(mounts, time.Now()); total != nil {
		t.Errorf("the total is %+v, want none", total)
	}
}

// TestAnswerOfAnother: an answer counts if the device is the one that is listed, by one
// of the two ways.
func TestAnswerOfAnother(t *testing.T) {
	volume := unix.Mkdev
	own, first := "/data", "/proc/1/root/data"
	is := func(major, minor uint32) any {
		return capacity{Size: 1000, Free: 500, Available: 500, Volume: volume(major, minor)}
	}
	for _, c := range []struct {
		what   string
		ways   map[string]any // A capacity or an error.
		reason string
	}{
		{what: "the one that is listed", ways: map[string]any{own: is(8, 2)}},
		{what: "seen by the first process", ways: map[string]any{own: is(0, 44), first: is(8, 2)}},
		{what: "nothing is there", ways: map[string]any{own: syscall.ENOENT, first: is(8, 2)}},
		{what: "no way there", ways: map[string]any{own: syscall.EACCES, first: is(8, 2)}},
		{what: "a file on the way", ways: map[string]any{own: syscall.ENOTDIR, first: is(8, 2)}},
		{what: "not permitted to look", ways: map[string]any{own: is(0, 44), first: syscall.EACCES}, reason: "not visible from here: where the agent runs, another file system is mounted there; by way of /proc/1/root, permission denied"},
		{what: "nowhere", ways: map[string]any{own: syscall.ENOENT, first: is(8, 1)}, reason: "not visible from here: where the agent runs, no such file or directory; by way of /proc/1/root, another file system is mounted there"},
		{what: "not permitted at all", ways: map[string]any{own: syscall.EACCES, first: syscall.EACCES}, reason: "permission denied"},
		{what: "broken", ways: map[string]any{own: syscall.EIO}, reason: "input/output error"},
		{what: "broken by the other way", ways: map[string]any{own: syscall.ENOENT, first: syscall.EIO}, reason: "input/output error"},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := newBench(t, map[string]string{"proc/1/mountinfo": "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / /data rw - ext4 /dev/sda2 rw\n"})
			b.host.statfs = func(path string) (capacity, error) {
				if path == b.host.root {
					return is(8, 1).(capacity), nil
				}
				switch answer := c.ways[strings.TrimPrefix(path, b.host.root)].(type) {
				case capacity:
					return answer, nil
				case error:
					return capacity{}, answer
				}
				t.Errorf("%s was asked", path)
				return capacity{}, syscall.EINVAL
			}
			f := newFilesystem(Defaults())
			for range 3 {
				r := b.tick(f).(*Filesystem)
				if m := r.Mounts[1]; m.Measured != (c.reason == "") || m.Reason != c.reason {
					t.Errorf("%+v, want the reason %q", m, c.reason)
				}
			}
		})
	}
}

// mountsOf is a list of n mounts as a build farm has them: disks, binds of a few of
// them, and mounts below mounts.
func mountsOf(n int) string {
	var list strings.Builder
	list.WriteString("20 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
	for i := 1; i < n; i++ {
		switch id := 20 + i; i % 4 {
		case 0:
			fmt.Fprintf(&list, "%d 20 0:%d / /run/build/%d/proc rw - proc proc rw\n", id, id, i)
		case 1:
			fmt.Fprintf(&list, "%d 20 8:1 /build/%d /srv/build/%d/root rw - ext4 /dev/sda1 rw\n", id, i, i)
		case 2:
			fmt.Fprintf(&list, "%d %d 0:%d / /srv/build/%d/root/merged rw - overlay overlay rw,lowerdir=/l,upperdir=/srv/build/%d/root/up\n", id, id-1, id, i-1, i-1)
		default:
			fmt.Fprintf(&list, "%d 20 253:%d / /volumes/%d rw - xfs /dev/mapper/v%d rw,prjquota\n", id, id, i, i)
		}
	}
	return list.String()
}

// BenchmarkMountsChange is what a change of the list costs: ten times the mounts are to
// cost about ten times as much.
func BenchmarkMountsChange(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			text := []byte(mountsOf(n))
			h := NewHost(b.TempDir())
			devices := map[string]string{}
			for i := range n + 20 {
				devices[fmt.Sprintf("sys/dev/block/253:%d", i)] = fmt.Sprintf("-> ../../devices/virtual/block/dm-%d", i)
			}
			layFiles(b, h.root, devices)
			var before []mountEntry
			b.ReportAllocs()
			for b.Loop() {
				entries, _, err := parseMountinfo(text)
				if err != nil {
					b.Fatal(err)
				}
				f := &filesystem{}
				before = h.describeMounts(entries, before)
				f.choose(before)
				if len(f.mounts) != 1+n/4 {
					b.Fatalf("%d mounts are chosen", len(f.mounts))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/mount")
		})
	}
}

// TestMountedDevicesAreAskedOnce: a device stays what it is while it is mounted, and is
// looked at again once it was not.
func TestMountedDevicesAreAskedOnce(t *testing.T) {
	const mounts = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n%d 20 253:4 / /data rw - ext4 /dev/mapper/data rw\n"
	b := newBench(t, map[string]string{"proc/1/mountinfo": fmt.Sprintf(mounts, 21), "sys/dev/block/253:4": "-> ../../devices/virtual/block/dm-4"})
	b.host.statfs = func(string) (capacity, error) { return capacity{Size: 1000, Free: 500, Available: 500}, nil }
	f := newFilesystem(Defaults())
	block := func(text string) string {
		t.Helper()
		b.write(map[string]string{"proc/1/mountinfo": text})
		for _, m := range b.tick(f).(*Filesystem).Mounts {
			if m.Mountpoint == "/data" {
				return m.Block
			}
		}
		return "nothing"
	}
	if got := block(fmt.Sprintf(mounts, 21)); got != "dm-4" {
		t.Errorf("it is on %s", got)
	}
	b.remove("sys/dev/block/253:4")
	b.write(map[string]string{"sys/dev/block/253:4": "-> ../../devices/virtual/block/other"})
	if got := block(fmt.Sprintf(mounts, 21) + "22 20 0:30 / /proc rw - proc proc rw\n"); got != "dm-4" {
		t.Errorf("after a change of other mounts it is on %s", got)
	}
	if got := block(fmt.Sprintf(mounts, 23)); got != "other" {
		t.Errorf("mounted anew it is on %s", got)
	}
}

// Mounts on mounts, mounts over mounts and mounts beside each other are all walked once.
func TestManyMountsAreWalkedOnce(t *testing.T) {
	const n = 10_000
	deep, stack := make([]mountEntry, n), make([]mountEntry, n)
	path := ""
	for i := range n {
		path += "/a"
		deep[i] = entry(fmt.Sprint("8:", i), path)
		deep[i].id, deep[i].parent = fmt.Sprint(i), fmt.Sprint(i-1)
		stack[i] = entry(fmt.Sprint("8:", i), "/a")
		stack[i].id, stack[i].parent = fmt.Sprint(i), fmt.Sprint(i-1)
	}
	if seen := visibleMounts(deep); len(seen) != n {
		t.Errorf("%d of %d mounts below each other are seen", len(seen), n)
	}
	if seen := visibleMounts(stack); len(seen) != 1 || seen[0].id != fmt.Sprint(n-1) {
		t.Errorf("of %d mounts over each other %d are seen", n, len(seen))
	}
}
