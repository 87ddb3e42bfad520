package instruments

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysotel/instruments/pattern"
)

func TestParseMountinfo(t *testing.T) {
	for _, c := range []struct {
		what, line string
		want       mountEntry
		wrong      string
	}{
		{
			what: "of proc_pid_mountinfo(5)", line: "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
			want: mountEntry{id: "36", parent: "35", volume: "98:0", number: unix.Mkdev(98, 0), root: "/mnt1", point: "/mnt2", kind: "ext3", device: "/dev/root"},
		},
		{
			what: "without optional fields", line: "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
			want: mountEntry{id: "27", parent: "1", volume: "254:0", number: unix.Mkdev(254, 0), root: "/", point: "/", kind: "ext4", device: "/dev/vda"},
		},
		{
			what: "with many", line: "27 1 254:0 / / rw shared:1 master:2 propagate_from:3 unbindable - ext4 /dev/vda rw",
			want: mountEntry{id: "27", parent: "1", volume: "254:0", number: unix.Mkdev(254, 0), root: "/", point: "/", kind: "ext4", device: "/dev/vda"},
		},
		{
			what: "a read-only mount", line: "27 1 8:1 / /x ro,relatime - ext4 /dev/sda1 rw",
			want: mountEntry{id: "27", parent: "1", volume: "8:1", number: unix.Mkdev(8, 1), root: "/", point: "/x", kind: "ext4", device: "/dev/sda1", readOnly: true},
		},
		{
			what: "a read-only file system", line: "27 1 8:1 / /x rw - ext4 /dev/sda1 ro,errors=remount-ro",
			want: mountEntry{id: "27", parent: "1", volume: "8:1", number: unix.Mkdev(8, 1), root: "/", point: "/x", kind: "ext4", device: "/dev/sda1", readOnly: true},
		},
		{
			what: "turned read-only after an error", line: "27 1 8:1 / /x rw - ext4 /dev/sda1 rw,errors=remount-ro,emergency_ro",
			want: mountEntry{id: "27", parent: "1", volume: "8:1", number: unix.Mkdev(8, 1), root: "/", point: "/x", kind: "ext4", device: "/dev/sda1", readOnly: true},
		},
		{
			what: "octal", line: `27 1 8:1 /a\134b /my\040disk\011\012\043 rw - fuse.sshfs me@host:/my\040files rw`,
			want: mountEntry{id: "27", parent: "1", volume: "8:1", number: unix.Mkdev(8, 1), root: `/a\b`, point: "/my disk\t\n#", kind: "fuse.sshfs", device: "me@host:/my files"},
		},
		{
			what: "what looks like octal and is none", line: `27 1 8:1 / /a\9\04 rw - ext4 /dev/sda1 rw`,
			want: mountEntry{id: "27", parent: "1", volume: "8:1", number: unix.Mkdev(8, 1), root: "/", point: `/a\9\04`, kind: "ext4", device: "/dev/sda1"},
		},
		{what: "no device", line: "27 1 0:9 / /x rw - tmpfs  rw", want: mountEntry{id: "27", parent: "1", volume: "0:9", number: unix.Mkdev(0, 9), root: "/", point: "/x", kind: "tmpfs"}},
		{
			what: "a dash in a path", line: "27 1 8:1 /- /a-b rw - ext4 /dev/sda1 rw",
			want: mountEntry{id: "27", parent: "1", volume: "8:1", number: unix.Mkdev(8, 1), root: "/-", point: "/a-b", kind: "ext4", device: "/dev/sda1"},
		},
		{what: "cut off early", line: "27 1 8:1 / /x", wrong: "5 fields"},
		{what: "no dash", line: "27 1 8:1 / /x rw shared:1 ext4 /dev/sda1 rw", wrong: "no dash"},
		{what: "cut off after the dash", line: "27 1 8:1 / /x rw - ext4", wrong: "no type"},
		{what: "cut off after the type", line: "27 1 8:1 / /x rw - ext4 /dev/sda1", wrong: "no device"},
		{what: "no device number", line: "27 1 8.1 / /x rw - ext4 /dev/sda1 rw", wrong: `"8.1"`},
		{what: "a relative mount point", line: "27 1 8:1 / x rw - ext4 /dev/sda1 rw", wrong: "slash"},
	} {
		t.Run(c.what, func(t *testing.T) {
			got, bad, err := parseMountinfo([]byte(c.line + "\n"))
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Fatalf("error is %v, want one with %q", err, c.wrong)
				}
				return
			}
			if err != nil || len(bad.Missing()) > 0 || len(got) != 1 || got[0] != c.want {
				t.Errorf("got %+v %v, want %+v", got, err, c.want)
			}
		})
	}
}

func FuzzParseMountinfo(f *testing.F) {
	f.Add("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n27 1 254:0 / / rw - ext4 /dev/vda rw")
	f.Add(`27 1 8:1 /a\134b /my\040disk rw - fuse.sshfs  rw`)
	f.Add("27 1 8:1 / /x rw -")
	f.Fuzz(func(t *testing.T, text string) {
		entries, bad, err := parseMountinfo([]byte(text))
		if err != nil {
			return
		}
		// A line that is read alone is read among others, and no other is.
		var good []string
		wrong := false
		for line := range strings.SplitSeq(text, "\n") {
			if _, err := parseMount([]byte(line)); err == nil {
				good = append(good, line)
			} else if line != "" {
				wrong = true
			}
		}
		if len(entries) != len(good) || wrong != (len(bad.Missing()) > 0) {
			t.Fatalf("%d mounts in %d good lines, missing %v", len(entries), len(good), bad.Missing())
		}
		for i, e := range entries {
			fields := strings.Split(good[i], " ")
			if e.point == "" || e.kind == "" || e.volume != fields[2] || e.id != fields[0] {
				t.Errorf("%q gave %+v", good[i], e)
			}
		}
		// Whatever was parsed can be chosen from, and every volume comes once.
		h := &Host{root: "/nowhere"}
		chosen, _ := chooseMounts(h.describeMounts(entries, nil), pattern.Filter{})
		seen := map[string]bool{}
		for _, e := range chosen {
			if e.part {
				continue
			}
			if seen[e.volume] {
				t.Errorf("%s is chosen twice", e.volume)
			}
			seen[e.volume] = true
		}
	})
}

func TestMountTypes(t *testing.T) {
	onDevices := parseFilesystems("nodev\tsysfs\nnodev\ttmpfs\n\text4\n\tsquashfs\n\tfuseblk\nnodev\tzfs\n\todd\n")
	for kind, want := range map[string]string{
		"ext4": "own", "xfs": "own", "btrfs": "own", "bcachefs": "own", "vfat": "own", "odd": "own", "zfs": "own",
		"fuseblk": "own watched",
		"nfs":     "watched", "nfs4": "watched", "cifs": "watched", "smb3": "watched", "9p": "watched", "ceph": "watched",
		"virtiofs": "watched", "fuse.sshfs": "watched", "fuse.glusterfs": "watched", "fuse": "watched",
		"squashfs": "", "erofs": "", "iso9660": "", "tmpfs": "", "proc": "", "sysfs": "", "cgroup2": "", "overlay": "", "autofs": "",
		"nsfs": "", "fuse.portal": "no", "fuse.gvfsd-fuse": "no", "fuse.lxcfs": "no", "fuse.snapfuse": "no", "fuse.Editor.AppImage": "no",
	} {
		e := mountEntry{kind: kind, point: "/x", device: "pool/x"}
		e.describe(onDevices)
		var words []string
		if e.own && e.storage {
			words = append(words, "own")
		}
		if e.watched && e.storage {
			words = append(words, "watched")
		}
		if e.watched && !e.storage {
			words = append(words, "no")
		}
		if got := strings.Join(words, " "); got != want || (want == "" || want == "no") == e.storage {
			t.Errorf("%s is %q (storage %v), want %q", kind, got, e.storage, want)
		}
	}
	snapshot := mountEntry{kind: "zfs", point: "/tank/.zfs/snapshot/a", device: "tank@a"}
	if snapshot.describe(nil); snapshot.storage {
		t.Error("a snapshot of zfs counts what its data set counts too")
	}
}

const machineMounts = `22 27 0:21 / /proc rw,relatime - proc proc rw
25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw
27 1 8:2 / / rw,relatime shared:1 - ext4 /dev/root rw,discard
30 27 8:1 / /boot ro - vfat /dev/sda1 ro
31 27 8:2 /srv /export rw - ext4 /dev/root rw
32 27 253:0 / /var rw - xfs /dev/mapper/vg-var rw
33 27 0:60 / /net/home rw - nfs4 server:/home rw
34 33 8:17 / /net/home/usb rw - ext4 /dev/sdb1 rw
35 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro
`

func machineFiles(mounts string) map[string]string {
	return map[string]string{
		"proc/1/mountinfo": mounts, "proc/filesystems": "nodev\tproc\nnodev\ttmpfs\n\text4\n\txfs\n\tvfat\n\tsquashfs\n",
		"sys/dev/block/8:2": "-> ../../devices/pci0000:00/block/sda/sda2", "sys/devices/pci0000:00/block/sda/sda2/uevent": "MAJOR=8\nMINOR=2\nDEVNAME=sda2\nDEVTYPE=partition\n",
		"sys/dev/block/253:0": "-> ../../devices/virtual/block/dm-0",
	}
}

func TestFilesystem(t *testing.T) {
	b := newBench(t, machineFiles(machineMounts))
	asked := make(chan string, 100)
	b.host.statfs = func(path string) (capacity, error) {
		asked <- path
		return capacity{Size: 1000, Free: 300, Available: 200, Inodes: 10, InodesFree: 4}, nil
	}
	f := newFilesystem(Defaults())
	r := b.tick(f).(*Filesystem)
	type row struct {
		device, block, point, kind, mode string
		watched                          bool
	}
	want := []row{
		// /dev/root is what the kernel says before it knows the name.
		{"/dev/sda2", "sda2", "/", "ext4", "rw", false},
		{"/dev/sda1", "", "/boot", "vfat", "ro", false},
		{"/dev/mapper/vg-var", "dm-0", "/var", "xfs", "rw", false},
		{"server:/home", "", "/net/home", "nfs4", "rw", true},
		// A disk, but the way to it leads through the server.
		{"/dev/sdb1", "", "/net/home/usb", "ext4", "rw", true},
	}
	var got []row
	for _, m := range r.Mounts {
		got = append(got, row{m.Device, m.Block, m.Mountpoint, m.Type, m.Mode, m.Watched})
	}
	if !slices.Equal(got, want) {
		t.Errorf("mounts are\n%v, want\n%v", got, want)
	}
	// In a container the mount points are below the root.
	var paths []string
	for len(asked) > 0 {
		path := <-asked
		below, err := filepath.Rel(b.host.root, path)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, below)
	}
	slices.Sort(paths)
	if want := []string{".", "boot", "net/home", "net/home/usb", "var"}; !slices.Equal(paths, want) {
		t.Errorf("asked for %v, want %v", paths, want)
	}
	wantPoints(t, r, map[string]float64{
		"system.filesystem.usage{/dev/sda2,rw,/,ext4,used}": 700, "system.filesystem.usage{/dev/sda2,rw,/,ext4,free}": 200,
		"system.filesystem.usage{/dev/sda2,rw,/,ext4,reserved}":    100,
		"system.filesystem.inodes.usage{/dev/sda2,rw,/,ext4,used}": 6, "system.filesystem.inodes.usage{/dev/sda2,rw,/,ext4,free}": 4,
		"system.filesystem.utilization{/dev/sda2,rw,/,ext4}": 700.0 / 900, "system.filesystem.limit{/dev/sda2,rw,/,ext4}": 1000,
		"sysotel.disk.limit{/dev/sda1,/boot,vfat}": 1000, "sysotel.disk.utilization{/dev/sda1,/boot,vfat}": 700.0 / 900,
		"sysotel.filesystem.stuck{server:/home,/net/home,nfs4}": 0,
		// The four disks of the machine, the one behind the server included.
		"sysotel.disk.limit{,,}": 4000, "sysotel.disk.usage{,,}": 2800, "sysotel.disk.free{,,}": 800, "sysotel.disk.utilization{,,}": 700.0 / 900,
	})

	// Something is mounted, something is gone.
	gone := strings.Replace(machineMounts, "30 27 8:1 / /boot ro - vfat /dev/sda1 ro\n", "", 1)
	b.write(map[string]string{"proc/1/mountinfo": gone + "40 27 8:33 / /mnt\\040new rw - ext4 /dev/sdc1 rw\n"})
	r = b.tick(f).(*Filesystem)
	wantPoints(t, r, map[string]float64{
		"sysotel.disk.limit{/dev/sda1,/boot,vfat}": unknown, "sysotel.disk.limit{/dev/sdc1,/mnt new,ext4}": 1000, "sysotel.disk.limit{,,}": 4000,
	})
	// It turns read-only after an error.
	b.write(map[string]string{"proc/1/mountinfo": "27 1 8:2 / / rw,relatime shared:1 - ext4 /dev/root rw,emergency_ro\n"})
	r = b.tick(f).(*Filesystem)
	wantPoints(t, r, map[string]float64{"system.filesystem.usage{/dev/sda2,ro,/,ext4,used}": 700, "system.filesystem.usage{/dev/sda2,rw,/,ext4,used}": unknown})
}

// A mount that changes while a question hangs keeps its question; another mount
// at its place gets one of its own.
func TestHungQuestionOutlivesAChange(t *testing.T) {
	b := newBench(t, machineFiles(machineMounts))
	hang, asked := make(chan struct{}), make(chan string, 100)
	b.host.statfs = func(path string) (capacity, error) {
		if strings.HasSuffix(path, "/net/home") {
			asked <- path
			<-hang
		}
		return capacity{Size: 1000, Free: 300, Available: 200}, nil
	}
	defer close(hang)
	f := newFilesystem(with("filesystem", nil, []string{"/net/home/usb"}))
	b.tick(f)
	for _, change := range []string{"rw - nfs4 server:/home ro", "rw - nfs4 server:/home rw"} {
		b.write(map[string]string{"proc/1/mountinfo": strings.Replace(machineMounts, "rw - nfs4 server:/home rw", change, 1)})
		r := b.tick(f)
		wantPoints(t, r, map[string]float64{"sysotel.filesystem.stuck{server:/home,/net/home,nfs4}": 1, "sysotel.disk.limit{,,}": 3000})
	}
	if len(asked) != 1 {
		t.Errorf("asked %d times, want once", len(asked))
	}
	b.write(map[string]string{"proc/1/mountinfo": strings.Replace(machineMounts, "33 27 0:60 ", "33 27 0:61 ", 1)})
	b.tick(f)
	if len(asked) != 2 {
		t.Errorf("asked %d times after another mount took the place, want twice", len(asked))
	}
}

func TestFilesystemErrors(t *testing.T) {
	b := newBench(t, nil)
	if _, err := b.try(newFilesystem(Defaults())); err == nil || !strings.Contains(err.Error(), "proc/1/mountinfo") {
		t.Errorf("without mountinfo the error is %v", err)
	}
	b.write(machineFiles(machineMounts))
	b.host.statfs = func(path string) (capacity, error) {
		if strings.HasSuffix(path, "/boot") {
			return capacity{}, fs.ErrPermission
		}
		return capacity{Size: 1000, Free: 300, Available: 200}, nil
	}
	f := newFilesystem(Defaults())
	r := b.tick(f).(*Filesystem)
	if m := r.Mounts[1]; m.Measured || m.Reason != fs.ErrPermission.Error() {
		t.Errorf("/boot: %+v", m)
	}
	wantPoints(t, r, map[string]float64{"sysotel.disk.limit{/dev/sda1,/boot,vfat}": unknown, "sysotel.disk.limit{,,}": 3000})
	// A broken line costs what it says, and is named.
	b.write(map[string]string{"proc/1/mountinfo": strings.Replace(machineMounts, "32 27 253:0 / /var rw - xfs", "32 27 253:0 / /var rw xfs", 1)})
	r = b.tick(f).(*Filesystem)
	if missing := r.Missing(); len(missing) != 2 || !strings.HasPrefix(missing[0].Subject, `/proc/1/mountinfo: "32 27 253:0`) || !strings.Contains(missing[0].Reason, "no dash") {
		t.Errorf("missing are %+v, want the broken line and /boot", missing)
	}
	wantPoints(t, r, map[string]float64{"sysotel.disk.limit{/dev/mapper/vg-var,/var,xfs}": unknown, "sysotel.disk.limit{/dev/sda2,/,ext4}": 1000, "sysotel.disk.limit{,,}": 2000})
	// Nothing that can be read is an error, and the next good text mends it.
	for text, want := range map[string]string{"broken\n": `"broken"`, "": "lists no mount"} {
		b.write(map[string]string{"proc/1/mountinfo": text})
		if _, err := b.try(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error of %q is %v, want one with %q", text, err, want)
		}
	}
	b.write(map[string]string{"proc/1/mountinfo": machineMounts})
	b.tick(f)
}

// Where /proc hides the first process the agent's own mounts are read; in a container
// those of the machine lie below the root.
func TestOwnMountsInAContainer(t *testing.T) {
	b := newBench(t, nil)
	root := b.host.root
	b.write(map[string]string{"proc/self/mountinfo": "1 0 0:70 / / rw - overlay overlay rw\n" +
		"2 1 8:2 / " + root + " ro - ext4 /dev/sda2 rw\n3 2 8:1 / " + root + "/boot ro - ext4 /dev/sda1 rw\n4 1 8:9 / " + root + "2 rw - ext4 /dev/sdx rw\n"})
	b.host.statfs = func(string) (capacity, error) { return capacity{Size: 1000}, nil }
	r := b.tick(newFilesystem(Defaults())).(*Filesystem)
	var points []string
	for _, m := range r.Mounts {
		points = append(points, m.Mountpoint)
	}
	if want := []string{"/", "/boot"}; !slices.Equal(points, want) {
		t.Errorf("mounts are %v, want %v", points, want)
	}
}

// TestMountIsSeenAtOnce mounts a file system in a mount namespace of its own and
// looks for it without the clock moving on.
func TestMountIsSeenAtOnce(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("mounting needs root")
		}
		t.Skip("mounting needs root")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread keeps the namespace and dies with the goroutine.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
			t.Error(err)
			return
		}
		h := NewHost("/")
		begin := time.Unix(1_700_000_000, 0)
		h.Now = func() time.Time { return begin }
		s := mountSource{first: h.open("proc/thread-self/mountinfo"), own: h.open("proc/thread-self/mountinfo")}
		look := func(what string, wantChanged bool, wantMounts int) []mountEntry {
			entries, changed, err := s.list(t.Context(), h)
			if err != nil || changed != wantChanged || wantMounts > 0 && len(entries) != wantMounts {
				t.Errorf("%s: %d mounts, changed %v, %v; want %d, %v", what, len(entries), changed, err, wantMounts, wantChanged)
			}
			return entries
		}
		before := len(look("at first", true, 0))
		if !s.quiet() {
			t.Error("nothing was mounted, and yet it is not quiet")
		}
		look("again", false, before)
		dir := t.TempDir()
		if err := unix.Mount("sysotel-test", dir, "tmpfs", 0, ""); err != nil {
			t.Error(err)
			return
		}
		if s.quiet() {
			t.Error("a mount was not noticed")
		}
		// That question took the change away: poll(2) reports each one once.
		begin = begin.Add(mountsEvery)
		entries := look("mounted", true, before+1)
		if last := entries[len(entries)-1]; last.point != dir || last.device != "sysotel-test" {
			t.Errorf("the new mount is %+v", last)
		}
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
		look("unmounted", true, before)
		look("and quiet", false, before)
	}()
	<-done
}

func TestRootDevice(t *testing.T) {
	b := newBench(t, map[string]string{"proc/cmdline": "quiet root=/dev/nvme0n1p2 rw\n"})
	if got := b.host.rootDevice("259:2"); got != "/dev/nvme0n1p2" {
		t.Errorf("from the command line it is %q", got)
	}
	b.write(map[string]string{"sys/dev/block/259:2/uevent": "DEVNAME=mmcblk0p2\n"})
	if got := b.host.rootDevice("259:2"); got != "/dev/mmcblk0p2" {
		t.Errorf("from /sys it is %q", got)
	}
	b = newBench(t, map[string]string{"proc/cmdline": "root=UUID=1234\n"})
	if got := b.host.rootDevice("259:2"); got != "/dev/root" {
		t.Errorf("from nothing it is %q", got)
	}
}

// TestFilesystemAgreesWithDf compares the real machine's "/" with what df prints
// between two equal readings of ours.
func TestFilesystemAgreesWithDf(t *testing.T) {
	h := NewHost("/")
	f := newFilesystem(with("filesystem", []string{"mountpoint:/"}, nil))
	root := func() Mount {
		r, err := f.Read(t.Context(), h, Tick{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range r.(*Filesystem).Mounts {
			if m.Mountpoint == "/" && m.Measured {
				return m
			}
		}
		t.Fatalf("/ is missing in %+v", r)
		return Mount{}
	}
	for range 100 {
		before := root()
		out, err := exec.CommandContext(t.Context(), "df", "-P", "-B1", "/").Output()
		if err != nil {
			t.Fatal(err)
		}
		if root() != before {
			continue // Somebody wrote in between.
		}
		words := strings.Fields(strings.Split(string(out), "\n")[1])
		number := func(word string) uint64 {
			n, err := strconv.ParseUint(word, 10, 64)
			if err != nil {
				t.Fatalf("df prints %q", out)
			}
			return n
		}
		size, used, free, percent := number(words[1]), number(words[2]), number(words[3]), number(strings.TrimSuffix(words[4], "%"))
		if before.Size != size || before.Used != used || before.Free != free {
			t.Errorf("we have %+v, df prints\n%s", before, out)
		}
		// df rounds up.
		if ours := before.Utilization * 100; ours > float64(percent) || ours <= float64(percent)-1 {
			t.Errorf("we have %v %%, df prints %d %%", ours, percent)
		}
		return
	}
	t.Error("the file system changed at each of 100 looks")
}

func BenchmarkFilesystem(b *testing.B) { benchmarkRead(b, newFilesystem(Defaults())) }
