package instruments

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"slices"

	"sysotel/instruments/pattern"
)

// Filesystem is a reading of the mounted file systems.
type Filesystem struct {
	// Mounts are the file systems that keep files on storage, each once however
	// often it is mounted.
	Mounts []Mount
	// Total is their sum, nil where it is not known.
	Total *FilesystemTotal
	// Unnamed are those that have no name of their own in metrics, because there are too
	// many. Their sum is the last of Mounts then.
	Unnamed []Mount

	misread misread
}

// Folded implements Folder.
func (f *Filesystem) Folded() (things int, full bool) { return len(f.Unnamed), len(f.Unnamed) > 0 }

// Mount is a mounted file system.
type Mount struct {
	// Device is what is mounted: /dev/sda1, server:/export, a pool's data set.
	// Block is the kernel's name of the block device, "sda1" or "dm-0", "" where
	// there is none.
	Device, Block string
	// Mountpoint is where; Type is the file system's type, Mode is rw or ro.
	Mountpoint, Type, Mode string
	// Measured reports whether the numbers are known; if not, Reason says why.
	Measured bool
	Reason   string
	// Watched is set where a server or a program serves the file system, so that
	// statfs(2) can hang; Stuck where it does.
	Watched, Stuck bool
	// Sum is set on the sum over Filesystem.Unnamed.
	Sum bool
	// In bytes: Size is the whole, Used is taken, Free is available to users and
	// Reserved to root only. Used, Free and Reserved add up to Size.
	Size, Used, Free, Reserved uint64
	// Inodes, InodesUsed and InodesFree count files; Inodes is 0 where the file
	// system allocates them on demand.
	Inodes, InodesUsed, InodesFree uint64
	// Utilization is Used over Used and Free, 0 to 1, as df prints it: the share
	// of what users can have.
	Utilization float64

	// failed is set where the numbers are known at other times. What the agent is
	// not permitted to ask, or cannot see, is never known, and no total waits for it.
	failed bool
}

var (
	mountDeviceKey = Key{Name: "device", Semconv: "system.device", Help: "what is mounted: /dev/sda1, server:/export, pool/data; what is beyond instruments.filesystem.names is others"}
	mountModeKey   = Key{Name: "mode", Semconv: "system.filesystem.mode", Help: "rw or ro"}
	mountPointKey  = Key{Name: "mountpoint", Semconv: "system.filesystem.mountpoint", Help: "directory where it is mounted"}
	mountTypeKey   = Key{Name: "type", Semconv: "system.filesystem.type", Help: "type of file system: ext4, xfs, nfs4"}
	mountStateKey  = Key{Name: "state", Semconv: "system.filesystem.state", Help: "used, free (to users) or reserved (for root); together the size"}

	filesystemUsage = &Metric{
		Name: "system.filesystem.usage", Unit: "By", Kind: UpDownCounter, Integer: true,
		Keys: []Key{mountDeviceKey, mountModeKey, mountPointKey, mountTypeKey, mountStateKey},
		Help: "Bytes of each file system by state.", Source: "statfs(2) of the mounts in /proc/1/mountinfo: used = blocks - bfree, free = bavail, reserved = bfree - bavail",
	}
	filesystemInodes = &Metric{
		Name: "system.filesystem.inodes.usage", Semconv: "-", Unit: "{inodes}", Kind: UpDownCounter, Integer: true,
		Keys: []Key{mountDeviceKey, mountModeKey, mountPointKey, mountTypeKey, mountStateKey},
		Help: "Inodes of each file system by state, used or free; none where the file system has no fixed number.", Source: "statfs(2): files, ffree",
	}
	filesystemUtilization = &Metric{
		// The semantic conventions list a state here. The receiver has none, and
		// what reads the metric relies on that.
		Name: "system.filesystem.utilization", Unit: "1", Kind: Gauge,
		Keys: []Key{mountDeviceKey, mountModeKey, mountPointKey, mountTypeKey},
		Help: "Share of each file system that is used: used/(used+free), as df prints it; without a state in either convention, as the receiver sends it.", Source: "statfs(2)",
	}
	filesystemLimit = &Metric{
		Name: "", Semconv: "system.filesystem.limit", Unit: "By", Kind: UpDownCounter, Integer: true,
		Keys: []Key{mountDeviceKey, mountModeKey, mountPointKey, mountTypeKey},
		Help: "Size of each file system.", Source: "statfs(2): blocks",
	}
	filesystemStuck = &Metric{
		Name: "sysotel.filesystem.stuck", Kind: Gauge, Integer: true,
		Keys: []Key{mountDeviceKey, mountPointKey, mountTypeKey},
		Help: "1 while a file system served over the network or by a program does not respond, so that it has no other numbers; else 0. Other file systems have no point.", Source: "statfs(2) that did not return within 200 ms",
	}
	filesystemSize = &Metric{
		Name: "sysotel.disk.limit", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{mountDeviceKey, mountPointKey, mountTypeKey},
		Help: "Size of each file system and (without attributes) of all that are on the machine's own disks, where what is a part of another one's space (an image in a file, a snapshot, an overlay) counts once. A file system that fails is waited for a minute.", Source: "statfs(2): blocks",
	}
	filesystemUsed = &Metric{
		Name: "sysotel.disk.usage", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{mountDeviceKey, mountPointKey, mountTypeKey},
		Help: "Bytes used of each file system and (without attributes) of all that are on the machine's own disks.", Source: "statfs(2): blocks - bfree",
	}
	filesystemFree = &Metric{
		Name: "sysotel.disk.free", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{mountDeviceKey, mountPointKey, mountTypeKey},
		Help: "Bytes that users can still use of each file system and (without attributes) of all that are on the machine's own disks.", Source: "statfs(2): bavail",
	}
	filesystemUnused = &Metric{
		Name: "sysotel.filesystem.unused", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{mountDeviceKey, mountPointKey, mountTypeKey},
		Help: "Bytes of each file system that are not used, those reserved for root included.", Source: "statfs(2): bfree",
	}
	filesystemInodesLimit = &Metric{
		Name: "sysotel.filesystem.inodes.limit", Unit: "{inode}", Kind: UpDownCounter, Integer: true, Keys: []Key{mountDeviceKey, mountPointKey, mountTypeKey},
		Help: "Inodes of each file system; 0 where it has no fixed number.", Source: "statfs(2): files",
	}
	filesystemInodesFree = &Metric{
		Name: "sysotel.filesystem.inodes.free", Unit: "{inode}", Kind: UpDownCounter, Integer: true, Keys: []Key{mountDeviceKey, mountPointKey, mountTypeKey},
		Help: "Free inodes of each file system; 0 where it has no fixed number.", Source: "statfs(2): ffree",
	}
	filesystemReadOnly = &Metric{
		Name: "sysotel.filesystem.readonly", Kind: Gauge, Integer: true, Keys: []Key{mountDeviceKey, mountPointKey, mountTypeKey},
		Help: "1 where a file system is mounted to be read only, or has become so by an error; else 0.", Source: "/proc/1/mountinfo, ro among the options",
	}
	filesystemError = &Metric{
		Name: "sysotel.filesystem.error", Kind: Gauge, Integer: true, Keys: []Key{mountDeviceKey, mountPointKey, mountTypeKey},
		Help: "1 where a file system has no numbers because of an error, or does not respond; else 0.", Source: "statfs(2)",
	}
	filesystemShare = &Metric{
		Name: "sysotel.disk.utilization", Unit: "1", Kind: Gauge, Keys: []Key{mountDeviceKey, mountPointKey, mountTypeKey},
		Help: "used/(used+free) of each file system and (without attributes) of all that are on the machine's own disks.", Source: "statfs(2)",
	}
)

// mount is a chosen mount and its pending question.
type mount struct {
	mountEntry
	// place is in the roster.
	place *member
	// label has the words of Mount that are the same at each tick.
	label Mount
	// at is its place among the mounts; share is that of its pool in the sums, none
	// where it has none.
	at, share int
	// counted reports whether it is in the total, unless carrier, the mount whose space
	// it is a part of, is. whole is, of a part, the mount of the whole file system.
	counted        bool
	carrier, whole *mount
	// known is set once it had numbers, and outage since when it has none.
	known  bool
	outage outage
	// question waits for its answer or to be taken; fresh means that
	// it was asked in this tick.
	question *question
	fresh    bool
	sight    sight
}

// filesystem reads the mounted file systems.
type filesystem struct {
	filter pattern.Filter
	source mountSource
	mounts []*mount
	// reported has those of the newest reading.
	reported []*mount
	// pools holds, for each pool, the most that any file system in it has free.
	pools []uint64
	// roster chooses the mounts with a name of their own; places are theirs by what names
	// them. summed is set once there were others.
	roster roster
	places map[string]*member
	summed bool
	span   span
}

func newFilesystem(c Config) Collector {
	return &filesystem{filter: c.Filter("filesystem"), roster: roster{most: c.names("filesystem")}}
}

func (*filesystem) Name() string { return "filesystem" }

// Configure implements Configurable.
func (f *filesystem) Configure(c Config) {
	f.filter, f.roster.most = c.Filter("filesystem"), c.names("filesystem")
	f.choose(f.source.entries)
}

func (*filesystem) Metrics() []*Metric {
	return []*Metric{
		filesystemUsage, filesystemInodes, filesystemUtilization, filesystemLimit, filesystemStuck,
		filesystemUnused, filesystemInodesLimit, filesystemInodesFree, filesystemReadOnly, filesystemError,
		filesystemSize, filesystemUsed, filesystemFree, filesystemShare,
	}
}

func (f *filesystem) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	entries, changed, err := f.source.list(ctx, h)
	if err != nil {
		return nil, err
	}
	if changed {
		f.choose(entries)
	}
	r := f.measure(ctx, h)
	f.fold(r, orZero(f.span.next(h.Now(), t.Interval)), t.Halved)
	r.misread = f.source.misread
	return r, nil
}

// fold adds up the mounts that have no name of their own. First has one what is mounted at
// "/", then what is fullest: that is what there are alerts for.
func (f *filesystem) fold(r *Filesystem, seconds float64, halved int) {
	f.roster.begin()
	for i := range r.Mounts {
		m := &r.Mounts[i]
		share := math.Pow(orZero(m.Utilization), 8) // 0.95 is far more than 0.85.
		if m.Mountpoint == "/" {
			share += 2
		}
		f.roster.see(f.reported[i].place, true, share, seconds)
	}
	f.summed = f.roster.choose(seconds, halved) > 0 || f.summed
	if !f.summed {
		return
	}
	sum := Mount{Device: otherNames, Mountpoint: otherNames, Type: otherNames, Mode: "rw", Sum: true, Measured: true}
	named := r.Mounts[:0]
	for i := range r.Mounts {
		m := r.Mounts[i]
		if f.reported[i].place.named {
			named = append(named, m)
			continue
		}
		r.Unnamed = append(r.Unnamed, m)
		if m.Measured && sum.Size+m.Size < noNumber && sum.Inodes+m.Inodes < noNumber {
			sum.Size, sum.Used, sum.Free, sum.Reserved = sum.Size+m.Size, sum.Used+m.Used, sum.Free+m.Free, sum.Reserved+m.Reserved
			sum.Inodes, sum.InodesUsed, sum.InodesFree = sum.Inodes+m.Inodes, sum.InodesUsed+m.InodesUsed, sum.InodesFree+m.InodesFree
		}
	}
	sum.Utilization = share(sum.Used, sum.Free)
	r.Mounts = append(named, sum)
}

// placeOf is the place in the roster of what the words of a mount name, made where there is none.
func (f *filesystem) placeOf(m *Mount) *member {
	name := m.Device + "\x00" + m.Mountpoint + "\x00" + m.Type
	if f.places == nil {
		f.places = map[string]*member{}
	}
	if f.places[name] == nil {
		f.places[name] = &member{name: name}
	}
	return f.places[name]
}

// leave gives up the places of mounts that are gone.
func (f *filesystem) leave() {
	used := make(map[*member]bool, len(f.mounts))
	for _, m := range f.mounts {
		used[m.place] = true
	}
	for name, place := range f.places {
		if !used[place] {
			f.roster.release(place)
			delete(f.places, name)
		}
	}
}

// measure asks every mount for its size.
func (f *filesystem) measure(ctx context.Context, h *Host) *Filesystem {
	mounts := make([]Mount, len(f.mounts))
	// The watched ones are asked first, so that they answer while the others are read.
	watched := false
	for _, m := range f.mounts {
		m.fresh = m.watched && m.question == nil
		if m.fresh {
			m.ask(h)
		}
		watched = watched || m.watched
	}
	for i, m := range f.mounts {
		mounts[i] = m.label
		if !m.watched {
			c, err := m.space(h)
			mounts[i].fill(c, err)
		}
	}
	if watched {
		patience, cancel := context.WithTimeout(ctx, watch)
		defer cancel()
		for i, m := range f.mounts {
			if m.watched {
				m.collect(patience, h, &mounts[i])
			}
		}
	}
	r := &Filesystem{Total: f.total(mounts, h.Now())}
	r.Mounts = f.shown(mounts)
	return r
}

// shown leaves out the directories that have no limit of their own: they are shown
// by the mount of the whole file system.
func (f *filesystem) shown(mounts []Mount) []Mount {
	kept := mounts[:0]
	f.reported = f.reported[:0]
	for i, m := range f.mounts {
		if !m.part || m.whole != nil && mounts[i].Measured && mounts[m.whole.at].Measured && mounts[i].Size != mounts[m.whole.at].Size {
			kept = append(kept, mounts[i])
			f.reported = append(f.reported, m)
		}
	}
	return kept
}

// noNumber is the least number that stands for none: no file system has 8 EiB or
// that many files. Servers and programs that do not know what to say, and those that
// count below 0, say -1 and its neighbours as numbers without a sign.
const noNumber = 1 << 63

// noSize is the reason of a file system that has no end, or does not tell it: the top
// of a server's exports, a drive in a cloud. That is no fault.
const noSize = "reports no size"

// fill takes the result of statfs(2).
func (m *Mount) fill(c capacity, err error) {
	switch {
	case err != nil:
		m.Reason = reasonOf(err)
		m.failed = !errors.Is(err, fs.ErrPermission) && !errors.Is(err, errNotVisible)
		return
	case c.Size == 0:
		m.Reason = noSize
		return
	case c.Size >= noNumber:
		m.Reason = "reports a size that cannot be"
		return
	case c.Free > c.Size, c.Available > c.Size && c.Available < noNumber:
		m.Reason = "reports more free than its size"
		return
	case c.Available >= noNumber:
		// Less than nothing: root has taken of what is reserved to it.
		c.Available = 0
	}
	// Users have a part of what is free.
	c.Available = min(c.Available, c.Free)
	m.Measured = true
	m.Size, m.Used, m.Free = c.Size, c.Size-c.Free, c.Available
	m.Reserved = saturatingSub(c.Free, c.Available)
	if c.Inodes < noNumber && c.InodesFree <= c.Inodes {
		m.Inodes, m.InodesUsed, m.InodesFree = c.Inodes, c.Inodes-c.InodesFree, c.InodesFree
	}
	m.Utilization = share(m.Used, m.Free)
}

// NotVisible begins the reason why a mount has no numbers where the agent has no way to
// it: it lives among other mounts than the machine, in a container or as a service
// that the system protects.
const NotVisible = "not visible from here"

var errNotVisible = errors.New(NotVisible)

// reasonOf is an error without the path, which names the mount already and is not
// a text of ours.
func reasonOf(err error) string {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = path.Err
	}
	return err.Error()
}

// Missing implements Partial: the mounts that were not measured, and the lines of the
// list of mounts that cannot be read.
func (f *Filesystem) Missing() []Missing {
	missing := slices.Clip(f.misread.Missing())
	for _, mounts := range [...][]Mount{f.Mounts, f.Unnamed} {
		for i := range mounts {
			if m := &mounts[i]; !m.Measured {
				missing = append(missing, Missing{Subject: m.Mountpoint, Reason: m.Reason, Hidden: m.Reason == noSize})
			}
		}
	}
	return missing
}

// oneIf is 1 for what is true and 0 for what is not.
func oneIf(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// Report implements Reading.
func (f *Filesystem) Report(o *Observer) {
	for i := range f.Mounts {
		m := &f.Mounts[i]
		if m.Watched {
			o.Int(filesystemStuck, oneIf(m.Stuck), m.Device, m.Mountpoint, m.Type)
		}
		o.Int(filesystemReadOnly, oneIf(m.Mode == "ro"), m.Device, m.Mountpoint, m.Type)
		o.Int(filesystemError, oneIf(m.failed || m.Stuck), m.Device, m.Mountpoint, m.Type)
		if !m.Measured {
			continue
		}
		o.Uint(filesystemUnused, m.Free+m.Reserved, m.Device, m.Mountpoint, m.Type)
		o.Uint(filesystemInodesLimit, m.Inodes, m.Device, m.Mountpoint, m.Type)
		o.Uint(filesystemInodesFree, m.InodesFree, m.Device, m.Mountpoint, m.Type)
		o.Uint(filesystemUsage, m.Used, m.Device, m.Mode, m.Mountpoint, m.Type, "used")
		o.Uint(filesystemUsage, m.Free, m.Device, m.Mode, m.Mountpoint, m.Type, "free")
		o.Uint(filesystemUsage, m.Reserved, m.Device, m.Mode, m.Mountpoint, m.Type, "reserved")
		if m.Inodes > 0 {
			o.Uint(filesystemInodes, m.InodesUsed, m.Device, m.Mode, m.Mountpoint, m.Type, "used")
			o.Uint(filesystemInodes, m.InodesFree, m.Device, m.Mode, m.Mountpoint, m.Type, "free")
		}
		o.Float(filesystemUtilization, m.Utilization, m.Device, m.Mode, m.Mountpoint, m.Type)
		o.Uint(filesystemLimit, m.Size, m.Device, m.Mode, m.Mountpoint, m.Type)
		o.Uint(filesystemSize, m.Size, m.Device, m.Mountpoint, m.Type)
		o.Uint(filesystemUsed, m.Used, m.Device, m.Mountpoint, m.Type)
		o.Uint(filesystemFree, m.Free, m.Device, m.Mountpoint, m.Type)
		o.Float(filesystemShare, m.Utilization, m.Device, m.Mountpoint, m.Type)
	}
	if t := f.Total; t != nil {
		o.Uint(filesystemSize, t.Size, "", "", "")
		o.Uint(filesystemUsed, t.Used, "", "", "")
		o.Uint(filesystemFree, t.Free, "", "", "")
		o.Float(filesystemShare, t.Utilization, "", "", "")
	}
}
