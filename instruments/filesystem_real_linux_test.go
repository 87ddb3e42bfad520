package instruments

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// namespaceVariable names the directory of the test that runs in namespaces of its own.
const namespaceVariable = "SYSOTEL_TEST_NAMESPACES"

// inNamespaces runs a test once more in a process that has mounts and processes of
// its own, so that what it mounts is gone with it; the machine's first process is a
// shell with the same mounts. It returns "" where that is done, and in the new process
// a directory of the test.
func inNamespaces(t *testing.T) (dir string) {
	t.Helper()
	if dir := os.Getenv(namespaceVariable); dir != "" {
		err := errors.Join(unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""), unix.Mount("proc", "/proc", "proc", 0, ""))
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("mounting needs root")
		}
		t.Skip("mounting needs root")
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `"$@"; exit $?`, "sh", path, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), namespaceVariable+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
	return ""
}

// disks makes file systems on images in memory, whose space nothing else counts.
type disks struct {
	t      *testing.T
	dir    string
	images int
}

func newDisks(t *testing.T, dir string) *disks {
	d := &disks{t: t, dir: dir}
	d.mount("tmpfs", d.dir, "-t", "tmpfs")
	return d
}

// run runs a program and fails the test where it fails.
func (d *disks) run(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.CommandContext(d.t.Context(), name, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func (d *disks) mount(what, at string, options ...string) {
	d.t.Helper()
	d.run("mount", append(options, what, at)...)
}

func (d *disks) unmount(at string) {
	d.t.Helper()
	d.run("umount", "-l", at)
}

// place makes a directory.
func (d *disks) place(path ...string) string {
	d.t.Helper()
	at := filepath.Join(append([]string{d.dir}, path...)...)
	if err := os.MkdirAll(at, 0o755); err != nil {
		d.t.Fatal(err)
	}
	return at
}

// image makes a file with a file system in it, in a directory.
func (d *disks) image(dir, kind string, megabytes int64, options ...string) string {
	d.t.Helper()
	if _, err := exec.LookPath("mkfs." + kind); err != nil {
		d.t.Skipf("the machine cannot make a file system of type %s", kind)
	}
	d.images++
	path := filepath.Join(dir, "image"+strconv.Itoa(d.images))
	file, err := os.Create(path)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := file.Truncate(megabytes << 20); err != nil {
		d.t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.run("mkfs."+kind, append(options, "-q", path)...)
	return path
}

// disk mounts a new ext4 file system.
func (d *disks) disk(megabytes int64, at string) {
	d.t.Helper()
	d.mount(d.image(d.dir, "ext4", megabytes), at, "-o", "loop")
}

// sizeOf is the size of what a path leads to, by another way than the agent's.
func sizeOf(t *testing.T, path string) uint64 {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		t.Fatal(err)
	}
	return s.Blocks * uint64(s.Frsize)
}

// read reads the file systems once, as the agent would after a start.
func (d *disks) read(h *Host) *Filesystem {
	d.t.Helper()
	r, err := newFilesystem(Defaults()).Read(d.t.Context(), h, Tick{Seq: 1, Interval: time.Second})
	if err != nil {
		d.t.Fatal(err)
	}
	return r.(*Filesystem)
}

// want checks the sizes of mounts, 0 for one that is not to be listed, and what they
// add to a total.
func (d *disks) want(h *Host, before *Filesystem, added uint64, sizes map[string]uint64) {
	d.t.Helper()
	r := d.read(h)
	got := map[string]Mount{}
	for _, m := range r.Mounts {
		if _, ok := got[m.Mountpoint]; ok {
			d.t.Errorf("%s is listed twice", m.Mountpoint)
		}
		got[m.Mountpoint] = m
	}
	for point, size := range sizes {
		m, listed := got[point]
		if listed != (size > 0) || m.Size != size {
			d.t.Errorf("%s has %d bytes, listed %v: %+v; want %d", point, m.Size, listed, m, size)
		}
	}
	switch {
	case r.Total == nil:
		d.t.Errorf("there is no total: missing %+v", r.Missing())
	case r.Total.Size != before.Total.Size+added:
		d.t.Errorf("the total grew by %d, want %d", r.Total.Size-before.Total.Size, added)
	}
}

// TestRealMountsThatAreSeen mounts file systems over, below and beneath each other.
// What a path leads to is what the kernel says of the path.
func TestRealMountsThatAreSeen(t *testing.T) {
	dir := inNamespaces(t)
	if dir == "" {
		return
	}
	d := newDisks(t, dir)
	h := NewHost("/")
	before := d.read(h)
	if before.Total == nil {
		t.Fatalf("the machine has no total: %+v", before.Mounts)
	}

	x := d.place("x")
	d.disk(40, x)
	data := d.place("x", "data")
	d.disk(20, data)
	d.want(h, before, sizeOf(t, x)+sizeOf(t, data), map[string]uint64{x: sizeOf(t, x), data: sizeOf(t, data)})
	d.disk(60, x)
	// Nobody comes to the one below, with or without a directory of its name.
	d.want(h, before, sizeOf(t, x), map[string]uint64{x: sizeOf(t, x), data: 0})
	d.place("x", "data")
	d.want(h, before, sizeOf(t, x), map[string]uint64{x: sizeOf(t, x), data: 0})
	d.unmount(x)
	d.want(h, before, sizeOf(t, x)+sizeOf(t, data), map[string]uint64{x: sizeOf(t, x), data: sizeOf(t, data)})
	d.unmount(data)

	// A directory on the way is covered, not the mount itself.
	deep := d.place("x", "a", "b")
	d.disk(20, deep)
	d.mount("tmpfs", d.place("x", "a"), "-t", "tmpfs")
	d.want(h, before, sizeOf(t, x), map[string]uint64{x: sizeOf(t, x), deep: 0})
	d.unmount(filepath.Join(x, "a"))
	d.unmount(deep)
	d.unmount(x)

	// An older mount is moved over a newer one.
	a, b := d.place("a"), d.place("b")
	d.disk(30, a)
	size := sizeOf(t, a)
	d.disk(50, b)
	d.mount(a, b, "--move")
	if sizeOf(t, b) != size {
		t.Fatalf("the kernel shows %d bytes at %s, want those of the one that was moved", sizeOf(t, b), b)
	}
	d.want(h, before, size, map[string]uint64{a: 0, b: size})
	d.unmount(b)

	// A newer mount is put beneath an older one (Linux 6.5).
	d.disk(70, a)
	top := sizeOf(t, b)
	tree, err := unix.OpenTree(unix.AT_FDCWD, a, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	d.unmount(a)
	const beneath = 0x200 // MOVE_MOUNT_BENEATH
	err = unix.MoveMount(tree, "", unix.AT_FDCWD, b, unix.MOVE_MOUNT_F_EMPTY_PATH|beneath)
	_ = unix.Close(tree)
	switch err {
	case nil:
		d.want(h, before, top, map[string]uint64{b: top})
		d.unmount(b)
		d.want(h, before, sizeOf(t, b), map[string]uint64{b: sizeOf(t, b)})
	case unix.EINVAL:
		t.Log("this kernel mounts nothing beneath another mount")
	default:
		t.Error(err)
	}
	d.unmount(b)

	// A mount over "/" is not seen by who is there already.
	d.mount("tmpfs", "/", "-t", "tmpfs", "-o", "size=4M")
	d.want(h, before, 0, map[string]uint64{"/": sizeOf(t, "/")})
}

// TestRealCarriers mounts what has its space from another mount.
func TestRealCarriers(t *testing.T) {
	dir := inNamespaces(t)
	if dir == "" {
		return
	}
	d := newDisks(t, dir)
	h := NewHost("/")
	before := d.read(h)

	// The images of the test are in memory, which is not counted, so that they are. An
	// image within an image is a part of it.
	outer, inner := d.place("outer"), d.place("inner")
	d.disk(100, outer)
	d.want(h, before, sizeOf(t, outer), map[string]uint64{outer: sizeOf(t, outer)})
	d.mount(d.image(outer, "ext4", 30), inner, "-o", "loop")
	d.want(h, before, sizeOf(t, outer), map[string]uint64{outer: sizeOf(t, outer), inner: sizeOf(t, inner)})
	d.unmount(inner)
	d.unmount(outer)

	// Bind mounts are one file system, a mount of the whole first.
	disk, whole, part := d.place("disk"), d.place("whole"), d.place("p")
	d.disk(40, disk)
	d.place("disk", "sub")
	d.mount(filepath.Join(disk, "sub"), part, "--bind")
	d.want(h, before, sizeOf(t, disk), map[string]uint64{disk: sizeOf(t, disk), part: 0})
	d.mount(disk, whole, "--bind")
	d.unmount(disk)
	d.want(h, before, sizeOf(t, whole), map[string]uint64{disk: 0, whole: sizeOf(t, whole), part: 0})
	d.unmount(whole)
	d.want(h, before, sizeOf(t, part), map[string]uint64{whole: 0, part: sizeOf(t, part)})
	d.unmount(part)

	// An overlay elsewhere than at "/" shows files of others.
	d.disk(40, disk)
	d.mount("overlay", whole, "-t", "overlay", "-o", "lowerdir=/etc,upperdir="+d.place("disk", "up")+",workdir="+d.place("disk", "work"))
	d.want(h, before, sizeOf(t, disk), map[string]uint64{disk: sizeOf(t, disk), whole: 0})
	d.unmount(whole)
	d.unmount(disk)
}

// pivot makes a directory the root of all processes and leaves the old root behind.
func (d *disks) pivot(root string) {
	d.t.Helper()
	for _, dir := range []string{"dev", "sys"} {
		d.mount("/"+dir, filepath.Join(root, dir), "--rbind")
	}
	old := filepath.Join(root, "mnt")
	if err := errors.Join(unix.PivotRoot(root, old), unix.Chdir("/"), unix.Mount("proc", "/proc", "proc", 0, ""), unix.Unmount("/mnt", unix.MNT_DETACH)); err != nil {
		d.t.Fatal(err)
	}
}

// TestRealOverlayRoot starts the machine from an overlay on one of its disks, as OpenWrt
// does: both show one space.
func TestRealOverlayRoot(t *testing.T) {
	dir := inNamespaces(t)
	if dir == "" {
		return
	}
	d := newDisks(t, dir)
	// The disk is to be seen at the place that the overlay was mounted with.
	flash, root := d.place("flash"), d.place("root")
	d.disk(40, flash)
	d.mount("overlay", root, "-t", "overlay", "-o", "lowerdir=/,upperdir="+d.place("flash", "upper")+",workdir="+d.place("flash", "work"))
	d.mount(flash, d.place("root", flash), "--move")
	d.pivot(root)
	size := sizeOf(t, flash)
	d.want(NewHost("/"), &Filesystem{Total: &FilesystemTotal{}}, size, map[string]uint64{"/": size, flash: size})
	// Where the disk is not to be seen, the overlay stands for it.
	d.unmount(flash)
	d.want(NewHost("/"), &Filesystem{Total: &FilesystemTotal{}}, size, map[string]uint64{"/": size, flash: 0})
}

// TestRealImageRoot starts the machine from an overlay that nobody writes to, as
// composefs is: an image, which is no space.
func TestRealImageRoot(t *testing.T) {
	dir := inNamespaces(t)
	if dir == "" {
		return
	}
	d := newDisks(t, dir)
	disk, data, root := d.place("disk"), d.place("data"), d.place("root")
	d.disk(40, disk)
	d.place("disk", "var")
	d.mount("overlay", root, "-t", "overlay", "-o", "lowerdir=/:"+d.place("lower"))
	d.mount(filepath.Join(disk, "var"), filepath.Join(root, "srv"), "--bind")
	d.mount(filepath.Join(disk, "var"), filepath.Join(root, "media"), "--bind")
	size := sizeOf(t, disk)
	d.unmount(disk)
	d.pivot(root)
	d.want(NewHost("/"), &Filesystem{Total: &FilesystemTotal{}}, size, map[string]uint64{"/": 0, data: 0, "/srv": size, "/media": 0})
}

// TestRealSubvolumes mounts two subvolumes of btrfs, for which stat(2) has other
// numbers than the list of mounts.
func TestRealSubvolumes(t *testing.T) {
	dir := inNamespaces(t)
	if dir == "" {
		return
	}
	d := newDisks(t, dir)
	h := NewHost("/")
	before := d.read(h)
	a, b := d.place("a"), d.place("bb")
	image := d.image(d.dir, "btrfs", 150)
	d.mount(image, a, "-o", "loop")
	d.run("btrfs", "subvolume", "create", filepath.Join(a, "one"))
	d.run("btrfs", "subvolume", "create", filepath.Join(a, "two"))
	d.mount(filepath.Join(a, "one"), b, "--bind")
	d.want(h, before, sizeOf(t, a), map[string]uint64{a: sizeOf(t, a), b: 0})
	d.unmount(a)
	d.want(h, before, sizeOf(t, b), map[string]uint64{a: 0, b: sizeOf(t, b)})
	// With mounts of its own the agent has mounts of other numbers, of the same file system.
	asAgent(t, func() { d.want(NewHost("/"), before, sizeOf(t, b), map[string]uint64{b: sizeOf(t, b)}) })
	// Another file system of the type is another one.
	asAgent(t, func() {
		dropTracing(t)
		size := sizeOf(t, b)
		d.mount(d.image(d.dir, "btrfs", 200), b, "-o", "loop")
		wantUnseen(t, d.read(NewHost("/")), before, b)
		d.unmount(b)
		d.want(NewHost("/"), before, size, map[string]uint64{b: size})
	})
}

// TestRealProjectQuota fills a directory of XFS that has a limit of its own.
func TestRealProjectQuota(t *testing.T) {
	dir := inNamespaces(t)
	if dir == "" {
		return
	}
	d := newDisks(t, dir)
	h := NewHost("/")
	before := d.read(h)
	volume, limited, free := d.place("v"), d.place("limited"), d.place("unlimited")
	image := d.image(d.dir, "xfs", 320)
	d.mount(image, volume, "-o", "loop")
	d.unmount(volume)
	if err := exec.CommandContext(t.Context(), "mount", "-o", "loop,prjquota", image, volume).Run(); err != nil {
		t.Skip("this kernel has no project quotas")
	}
	d.place("v", "sub")
	d.place("v", "other")
	d.run("xfs_quota", "-x", "-c", "project -s -p "+filepath.Join(volume, "sub")+" 42", "-c", "limit -p bhard=50m 42", volume)
	d.mount(filepath.Join(volume, "sub"), limited, "--bind")
	d.mount(filepath.Join(volume, "other"), free, "--bind")
	if err := os.WriteFile(filepath.Join(limited, "file"), make([]byte, 49<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := sizeOf(t, limited); got != 50<<20 {
		t.Fatalf("the kernel shows %d bytes, want the limit", got)
	}
	// The limit is a row of its own, and its space is the volume's.
	d.want(h, before, sizeOf(t, volume), map[string]uint64{volume: sizeOf(t, volume), limited: 50 << 20, free: 0})
	for _, m := range d.read(h).Mounts {
		if m.Mountpoint == limited && m.Utilization < 0.97 {
			t.Errorf("49 of 50 MiB are %v", m.Utilization)
		}
	}
}

// asAgent runs f in a thread that has mounts of its own, as a service that systemd
// protects has.
func asAgent(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread dies with the goroutine, and its namespace with it.
		runtime.LockOSThread()
		for _, err := range []error{unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS), unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "")} {
			if err != nil {
				t.Error(err)
				return
			}
		}
		f()
	}()
	<-done
}

// dropTracing takes the capability CAP_SYS_PTRACE from the thread.
func dropTracing(t *testing.T) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	for _, set := range []*uint32{&data[0].Effective, &data[0].Permitted} {
		*set &^= 1 << unix.CAP_SYS_PTRACE
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
}

// wantUnseen checks that a mount has no number, and a reason, and is in no total.
func wantUnseen(t *testing.T, r, before *Filesystem, points ...string) {
	t.Helper()
	for _, point := range points {
		found := false
		for _, m := range r.Mounts {
			if m.Mountpoint == point {
				found = true
				if m.Measured || m.Size != 0 || !strings.HasPrefix(m.Reason, "not visible from here: ") {
					t.Errorf("%s: %+v, want no numbers and a reason", point, m)
				}
			}
		}
		if !found {
			t.Errorf("%s is not listed", point)
		}
		named := 0
		for _, m := range r.Missing() {
			if m.Subject == point {
				named++
			}
		}
		if named != 1 {
			t.Errorf("%s is named %d times among %+v", point, named, r.Missing())
		}
	}
	switch {
	case before == nil && r.Total != nil:
		t.Errorf("the total is %+v, want none", r.Total)
	case before != nil && (r.Total == nil || r.Total.Size != before.Total.Size):
		t.Errorf("the total is %+v, want %+v", r.Total, before.Total)
	}
}

// TestRealMountsElsewhere: the agent does not live among the machine's mounts.
func TestRealMountsElsewhere(t *testing.T) {
	dir := inNamespaces(t)
	if dir == "" {
		return
	}
	d := newDisks(t, dir)
	h := NewHost("/")
	before := d.read(h)
	covered, later := d.place("covered"), d.place("later")
	d.disk(40, covered)
	size := sizeOf(t, covered)
	split, mounted, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		splitOff := sync.OnceFunc(func() { close(split) })
		defer splitOff()
		asAgent(t, func() {
			// The agent has an empty directory where the machine has a disk.
			d.mount("tmpfs", covered, "-t", "tmpfs", "-o", "size=4M")
			splitOff()
			<-mounted
			both := map[string]uint64{covered: size, later: 0}
			for _, m := range d.read(NewHost("/")).Mounts {
				if m.Mountpoint == later {
					both[later] = m.Size
				}
			}
			if both[later] != sizeOf(t, "/proc/1/root"+later) {
				t.Errorf("%s has %d bytes, want %d", later, both[later], sizeOf(t, "/proc/1/root"+later))
			}
			d.want(NewHost("/"), before, size+both[later], both)
			// Without the right to look there, nothing has numbers of others.
			dropTracing(t)
			wantUnseen(t, d.read(NewHost("/")), before, covered, later)
			// What comes into sight has numbers at the next tick.
			f := newFilesystem(Defaults())
			tick := func() *Filesystem {
				r, err := f.Read(t.Context(), h, Tick{Interval: time.Second})
				if err != nil {
					t.Error(err)
					return &Filesystem{}
				}
				return r.(*Filesystem)
			}
			wantUnseen(t, tick(), before, covered, later)
			d.unmount(covered)
			r := tick()
			if r.Total == nil || r.Total.Size != before.Total.Size+size {
				t.Errorf("the total is %+v, want what came into sight in it", r.Total)
			}
		})
	}()
	<-split
	// Mounted after the agent's mounts were split off.
	d.disk(50, later)
	close(mounted)
	<-done
}

// TestRealContainerWithProcOnly: a container is given /host/proc and /host/sys, and
// nothing of the files.
func TestRealContainerWithProcOnly(t *testing.T) {
	dir := inNamespaces(t)
	if dir == "" {
		return
	}
	d := newDisks(t, dir)
	before := d.read(NewHost("/"))
	data := d.place("data")
	d.disk(40, data)
	size, machine := sizeOf(t, data), sizeOf(t, "/")
	asAgent(t, func() {
		root := d.place("root")
		d.mount("tmpfs", root, "-t", "tmpfs", "-o", "size=8M")
		for _, dir := range []string{"proc", "sys"} {
			d.mount("/"+dir, d.place("root", "host", dir), "--rbind")
			d.mount("/"+dir, d.place("root", dir), "--rbind")
		}
		if err := errors.Join(unix.Chroot(root), unix.Chdir("/")); err != nil {
			t.Error(err)
			return
		}
		if got := DetectRoot(); got != "/host" {
			t.Errorf("the root is %q, want /host", got)
		}
		d.want(NewHost("/host"), before, size, map[string]uint64{"/": machine, data: size})
		dropTracing(t)
		wantUnseen(t, d.read(NewHost("/host")), nil, "/", data)
	})
}
