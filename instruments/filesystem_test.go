package instruments

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sysotel/instruments/pattern"
)

// entry is a mount of a whole ext4 file system, changed as asked.
func entry(volume, point string, change ...func(*mountEntry)) mountEntry {
	e := mountEntry{id: volume + point, volume: volume, root: "/", point: point, kind: "ext4", device: "/dev/" + volume, storage: true, own: true}
	for _, c := range change {
		c(&e)
	}
	return e
}

func bind(root string) func(*mountEntry) { return func(e *mountEntry) { e.root = root } }

func ofKind(kind string, storage bool) func(*mountEntry) {
	return func(e *mountEntry) { e.kind, e.storage, e.own = kind, storage, storage }
}

func remote(e *mountEntry) {
	e.kind, e.device, e.own, e.watched = "nfs4", "server:/"+e.volume, false, true
}

func TestChooseMounts(t *testing.T) {
	for _, c := range []struct {
		what             string
		entries          []mountEntry
		include, exclude []string
		want             []string
	}{
		{what: "an ordinary machine", entries: []mountEntry{
			entry("0:21", "/proc", ofKind("proc", false)), entry("8:2", "/"), entry("8:1", "/boot/efi"), entry("0:30", "/run", ofKind("tmpfs", false)),
		}, want: []string{"/", "/boot/efi"}},
		{what: "bind mounts of a part", entries: []mountEntry{
			entry("8:1", "/a", bind("/home")), entry("8:1", "/mnt/data"), entry("8:1", "/b", bind("/srv")),
		}, want: []string{"/mnt/data"}},
		{what: "a bind mount of the whole", entries: []mountEntry{entry("8:1", "/mnt/data"), entry("8:1", "/d")}, want: []string{"/d"}},
		{what: "two of one length", entries: []mountEntry{entry("8:1", "/old"), entry("8:1", "/new")}, want: []string{"/old"}},
		{what: "only parts", entries: []mountEntry{entry("8:1", "/home/one", bind("/@one")), entry("8:1", "/home", bind("/@home"))}, want: []string{"/home"}},
		// NixOS mounts /nix/store over itself: one series, and the newest mount is what is seen.
		{what: "the same place twice", entries: []mountEntry{
			entry("8:1", "/"), entry("8:2", "/nix/store"), entry("8:3", "/nix/store"),
		}, want: []string{"/", "/nix/store"}},
		{what: "hidden by a pseudo file system", entries: []mountEntry{
			entry("8:1", "/data"), entry("0:50", "/data", ofKind("tmpfs", false)),
		}},
		{what: "hidden here and mounted elsewhere", entries: []mountEntry{
			entry("8:1", "/data"), entry("8:1", "/mnt/data"), entry("0:50", "/data", ofKind("tmpfs", false)),
		}, want: []string{"/mnt/data"}},
		// Subvolumes of btrfs are parts of one file system with one space.
		{what: "btrfs", entries: []mountEntry{
			entry("0:30", "/", ofKind("btrfs", true), bind("/@")), entry("0:30", "/home", ofKind("btrfs", true), bind("/@home")),
		}, want: []string{"/"}},
		{what: "zfs", entries: []mountEntry{
			entry("0:40", "/tank", ofKind("zfs", true)), entry("0:41", "/tank/home", ofKind("zfs", true)),
		}, want: []string{"/tank", "/tank/home"}},
		{what: "excluding does not bring up a bind mount", exclude: []string{"mountpoint:/data"}, entries: []mountEntry{
			entry("8:1", "/"), entry("8:2", "/data"), entry("8:2", "/var/lib/pods/1", bind("/x")),
		}, want: []string{"/"}},
		{what: "excluding by type and device", exclude: []string{"type:nfs*", "device:/dev/8:3"}, entries: []mountEntry{
			entry("8:1", "/"), entry("0:60", "/net", remote), entry("8:3", "/c"),
		}, want: []string{"/"}},
		{what: "including what is no storage", include: []string{"type:tmpfs", "mountpoint:/"}, entries: []mountEntry{
			entry("8:1", "/"), entry("8:2", "/data"), entry("0:30", "/run", ofKind("tmpfs", false)),
		}, want: []string{"/", "/run"}},
		{what: "including a bind mount", include: []string{"mountpoint:/srv/web"}, entries: []mountEntry{
			entry("8:1", "/"), entry("8:1", "/srv/web", bind("/web")),
		}, want: []string{"/srv/web"}},
		{what: "a container of its own", entries: []mountEntry{
			entry("0:70", "/", ofKind("overlay", true)), entry("8:1", "/etc/hosts", bind("/c/hosts")), entry("8:1", "/etc/resolv.conf", bind("/c/resolv.conf")),
		}, want: []string{"/"}},
		{what: "a container of its own with a volume", entries: []mountEntry{
			entry("0:70", "/", ofKind("overlay", true)), entry("8:1", "/etc/hosts", bind("/c/hosts")), entry("8:1", "/data", bind("/c/data")),
		}, want: []string{"/", "/data"}},
		{what: "nothing"},
	} {
		t.Run(c.what, func(t *testing.T) {
			chosen, _ := chooseMounts(c.entries, with("filesystem", c.include, c.exclude).Filter("filesystem"))
			var got []string
			for _, e := range chosen {
				got = append(got, e.point)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("chosen are %v, want %v", got, c.want)
			}
		})
	}
}

func TestNewestMountAtAPlaceIsTheOneThatIsMeasured(t *testing.T) {
	chosen, _ := chooseMounts([]mountEntry{entry("8:2", "/nix/store"), entry("8:3", "/nix/store")}, pattern.Filter{})
	if len(chosen) != 1 || chosen[0].volume != "8:3" {
		t.Errorf("chosen are %+v, want the mount of 8:3", chosen)
	}
}

func TestMountNumbers(t *testing.T) {
	var m Mount
	m.fill(capacity{Size: 1000, Free: 300, Available: 250, Inodes: 50, InodesFree: 20}, nil)
	// df: 700 used, 250 available, 73.7 %; and the three states add up to the size.
	if m.Used != 700 || m.Free != 250 || m.Reserved != 50 || m.Used+m.Free+m.Reserved != m.Size || math.Abs(m.Utilization-700.0/950) > 1e-12 {
		t.Errorf("got %+v", m)
	}
	if m.Inodes != 50 || m.InodesUsed != 30 || m.InodesFree != 20 {
		t.Errorf("got %+v", m)
	}
	// Quotas and some network servers report more available than free.
	m = Mount{}
	m.fill(capacity{Size: 1000, Free: 300, Available: 400}, nil)
	if m.Reserved != 0 || m.Used != 700 {
		t.Errorf("got %+v", m)
	}
	for _, c := range []capacity{{}, {Inodes: 7}} {
		m = Mount{Utilization: unknown}
		if m.fill(c, nil); m.Measured || m.Reason == "" || !math.IsNaN(m.Utilization) {
			t.Errorf("%+v gave %+v, want no numbers and a reason", c, m)
		}
	}
	m = Mount{Utilization: unknown}
	if m.fill(capacity{}, errors.New("permission denied")); m.Measured || m.Reason != "permission denied" {
		t.Errorf("got %+v", m)
	}
	wantPoints(t, &Filesystem{Mounts: []Mount{m}}, map[string]float64{"system.filesystem.usage{,,,,used}": unknown, "sysotel.disk.limit{,,}": unknown})
}

func TestFilesystemTotal(t *testing.T) {
	const giga = 1 << 30
	sizes := map[string]capacity{
		"/":          {Size: 100 * giga, Free: 60 * giga, Available: 50 * giga},
		"/data":      {Size: 200 * giga, Free: 100 * giga, Available: 100 * giga},
		"/tank":      {Size: 310 * giga, Free: 300 * giga, Available: 300 * giga},
		"/tank/home": {Size: 320 * giga, Free: 300 * giga, Available: 300 * giga},
		"/net":       {Size: 9000 * giga, Free: 1, Available: 1},
		"/bind":      {Size: 200 * giga, Free: 100 * giga, Available: 100 * giga},
	}
	pool := func(e *mountEntry) { e.kind, e.pool = "zfs", "tank" }
	for _, c := range []struct {
		what    string
		entries []mountEntry
		want    *FilesystemTotal
	}{
		{
			"disks, and not what a server keeps",
			[]mountEntry{entry("8:1", "/"), entry("8:2", "/data"), entry("0:60", "/net", remote)},
			&FilesystemTotal{Size: 300 * giga, Used: 140 * giga, Free: 150 * giga, Utilization: 140.0 / 290},
		},
		// The 300 that are free to both data sets are the same 300.
		{
			"a pool",
			[]mountEntry{entry("0:40", "/tank", pool), entry("0:41", "/tank/home", pool)},
			&FilesystemTotal{Size: 330 * giga, Used: 30 * giga, Free: 300 * giga, Utilization: 30.0 / 330},
		},
		{
			"a machine that starts from a server",
			[]mountEntry{entry("0:60", "/", remote)},
			&FilesystemTotal{Size: 100 * giga, Used: 40 * giga, Free: 50 * giga, Utilization: 40.0 / 90},
		},
		{
			"a container and a part of the disk below it",
			[]mountEntry{entry("0:70", "/", ofKind("overlay", true)), entry("8:1", "/bind", bind("/x"))},
			&FilesystemTotal{Size: 100 * giga, Used: 40 * giga, Free: 50 * giga, Utilization: 40.0 / 90},
		},
		{
			"what is mounted in part only",
			[]mountEntry{entry("8:1", "/bind", bind("/x"))},
			&FilesystemTotal{Size: 200 * giga, Used: 100 * giga, Free: 100 * giga, Utilization: 0.5},
		},
		{
			"one that fails",
			[]mountEntry{entry("8:1", "/"), entry("8:9", "/broken")},
			nil,
		},
		{"nothing", nil, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			f := &filesystem{}
			f.choose(c.entries)
			mounts := make([]Mount, len(f.mounts))
			for i := range f.pools {
				f.pools[i] = 1 << 60 // What was free in the tick before is forgotten.
			}
			for range 2 { // Sums of a tick are not added to those of the next.
				for i, m := range f.mounts {
					mounts[i] = m.label
					size, ok := sizes[m.point]
					if !ok {
						mounts[i].fill(capacity{}, errors.New("input/output error"))
						continue
					}
					mounts[i].fill(size, nil)
				}
				got := f.total(mounts, time.Now())
				if (got == nil) != (c.want == nil) {
					t.Fatalf("total is %+v, want %+v", got, c.want)
				}
				if got != nil && (got.Size != c.want.Size || got.Used != c.want.Used || got.Free != c.want.Free || math.Abs(got.Utilization-c.want.Utilization) > 1e-12) {
					t.Errorf("total is %+v, want %+v", got, c.want)
				}
			}
		})
	}
}

// TestHungServer is a dead NFS server: it costs one goroutine however
// long it is dead, other numbers stay, and it comes back by itself.
func TestHungServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, pending atomic.Int64
		hang := make(chan struct{})
		m := &mount{mountEntry: entry("0:60", "/net", remote), share: -1}
		local := &mount{mountEntry: entry("8:1", "/"), share: -1, counted: true}
		h := &Host{root: "/", Now: time.Now}
		h.statfs = func(path string) (capacity, error) {
			if path != h.mountPath("/net") {
				return capacity{Size: 100, Free: 50, Available: 50}, nil
			}
			asked.Add(1)
			pending.Add(1)
			<-hang
			pending.Add(-1)
			return capacity{Size: 1000, Free: 500, Available: 500}, nil
		}
		f := &filesystem{mounts: []*mount{m, local}}
		for _, one := range f.mounts {
			one.label = Mount{Mountpoint: one.point, Device: one.device, Type: one.kind, Watched: one.watched, Utilization: unknown}
		}
		tick := func() (*Filesystem, time.Duration) {
			began := time.Now()
			r := f.measure(t.Context(), h)
			took := time.Since(began)
			time.Sleep(time.Second - took)
			return r, took
		}
		for i := range 20 {
			r, took := tick()
			if limit := watch; i == 0 && took != limit || i > 0 && took != 0 {
				t.Errorf("tick %d took %v: only the first waits, for %v", i, took, limit)
			}
			if asked.Load() != 1 || pending.Load() != 1 {
				t.Fatalf("tick %d: asked %d times, %d wait, want one", i, asked.Load(), pending.Load())
			}
			wantPoints(t, r, map[string]float64{
				"sysotel.filesystem.stuck{server:/0:60,/net,nfs4}": 1, "sysotel.disk.usage{server:/0:60,/net,nfs4}": unknown,
				"sysotel.disk.usage{/dev/8:1,/,ext4}": 50, "sysotel.filesystem.stuck{/dev/8:1,/,ext4}": unknown, "sysotel.disk.usage{,,}": 50,
			})
			if one := r.Mounts[0]; !one.Stuck || one.Measured || one.Reason == "" {
				t.Errorf("tick %d: %+v", i, one)
			}
		}
		close(hang)
		synctest.Wait()
		for i := range 3 {
			r, took := tick()
			wantPoints(t, r, map[string]float64{"sysotel.filesystem.stuck{server:/0:60,/net,nfs4}": 0, "sysotel.disk.usage{server:/0:60,/net,nfs4}": 500})
			if took != 0 {
				t.Errorf("%d ticks after it came back a tick took %v", i, took)
			}
		}
		if pending.Load() != 0 {
			t.Errorf("%d questions are left", pending.Load())
		}
	})
}

// TestHungDisk is a disk of the machine that a program serves and that hangs: the total
// waits for it a minute, and has it again when it answers.
func TestHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		hang := make(chan struct{})
		h := &Host{root: "/", Now: time.Now}
		h.statfs = func(path string) (capacity, error) {
			if path == h.mountPath("/usb") && hangs.Load() {
				<-hang
			}
			return capacity{Size: 1000, Free: 500, Available: 500}, nil
		}
		f := &filesystem{}
		f.choose([]mountEntry{entry("8:1", "/"), entry("8:17", "/usb", func(e *mountEntry) { e.kind, e.watched = "fuseblk", true })})
		tick := func() *Filesystem {
			r := f.measure(t.Context(), h)
			time.Sleep(time.Second)
			return r
		}
		wantPoints(t, tick(), map[string]float64{"sysotel.disk.limit{,,}": 2000})
		hangs.Store(true)
		began := time.Now()
		for time.Since(began) < 2*time.Minute {
			waits := time.Since(began) < sumWaits
			r := tick()
			want, reason := 1000.0, "does not answer; totals go on without it"
			if waits {
				want, reason = unknown, "does not answer"
			}
			wantPoints(t, r, map[string]float64{"sysotel.disk.limit{,,}": want, "sysotel.filesystem.stuck{/dev/8:17,/usb,fuseblk}": 1})
			if missing := r.Missing(); len(missing) != 1 || missing[0].Subject != "/usb" || missing[0].Reason != reason {
				t.Fatalf("after %v missing is %+v, want /usb: %s", time.Since(began), missing, reason)
			}
		}
		hangs.Store(false)
		close(hang)
		synctest.Wait()
		wantPoints(t, tick(), map[string]float64{"sysotel.disk.limit{,,}": 2000, "sysotel.filesystem.stuck{/dev/8:17,/usb,fuseblk}": 0})
	})
}

// A server far away answers every time, but later than the watch lasts: it has
// numbers, and no tick waits for them.
func TestSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, delay atomic.Int64
		delay.Store(int64(300 * time.Millisecond))
		h := &Host{root: "/", Now: time.Now}
		h.statfs = func(string) (capacity, error) {
			asked.Add(1)
			time.Sleep(time.Duration(delay.Load()))
			return capacity{Size: 1000, Free: 500, Available: 500}, nil
		}
		f := &filesystem{mounts: []*mount{{mountEntry: entry("0:60", "/net", remote), share: -1}}}
		f.mounts[0].label = Mount{Mountpoint: "/net", Watched: true}
		tick := func() (Mount, time.Duration) {
			began := time.Now()
			r := f.measure(t.Context(), h)
			took := time.Since(began)
			time.Sleep(time.Second - took)
			return r.Mounts[0], took
		}
		if m, took := tick(); !m.Stuck || took != watch {
			t.Errorf("at first: %+v after %v", m, took)
		}
		for i := range 5 {
			if m, took := tick(); m.Stuck || m.Used != 500 || took != 0 {
				t.Errorf("tick %d: %+v after %v, want numbers at once", i, m, took)
			}
		}
		// It becomes fast, and is asked within the tick again.
		delay.Store(int64(time.Millisecond))
		for range 2 {
			tick()
		}
		before := asked.Load()
		if m, took := tick(); m.Used != 500 || took != time.Millisecond || asked.Load() != before+1 {
			t.Errorf("fast again: %+v after %v with %d questions", m, took, asked.Load()-before)
		}
	})
}

// The goroutines of several dead servers wait together, not one after the other.
func TestHungServersAreWaitedForTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		h := &Host{root: "/", Now: time.Now, statfs: func(string) (capacity, error) { <-hang; return capacity{}, errors.New("stale file handle") }}
		f := &filesystem{}
		for i := range 10 {
			m := &mount{mountEntry: entry("0:60", fmt.Sprint("/net", i), remote), share: -1}
			m.label = Mount{Mountpoint: m.point, Watched: true}
			f.mounts = append(f.mounts, m)
		}
		began := time.Now()
		f.measure(t.Context(), h)
		if took := time.Since(began); took != watch {
			t.Errorf("ten dead servers took %v, want %v", took, watch)
		}
		close(hang)
		synctest.Wait()
		for _, m := range f.measure(t.Context(), h).Mounts {
			if m.Stuck || m.Measured || m.Reason != "stale file handle" {
				t.Errorf("answered with an error: %+v", m)
			}
		}
	})
}
