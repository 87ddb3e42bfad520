package instruments

import (
	"strings"

	"sysotel/instruments/pattern"
	"sysotel/instruments/sanitize"
)

// mountEntry is one mount as the system lists it.
type mountEntry struct {
	// id is the mount's number, which a later mount at the same place does not share
	// as long as this one is there; parent is the id of the mount that it is mounted
	// on, "" where the system does not tell. volume is the same for all mounts of one
	// file system, and number is that as stat(2) has it, 0 where it has none.
	id, parent, volume string
	number             uint64
	// root is the directory of the file system that is mounted, "/" for all of it.
	root string
	// point, kind and device are as in Mount, raw.
	point, kind, device, block string
	readOnly                   bool
	// storage reports whether the type keeps files on storage, watched whether a
	// question can hang, own whether it is the machine's own space, image whether it
	// is one that is always full.
	storage, watched, own, image bool
	// pool is shared by file systems that take their space from one place.
	pool string
	// upper is the directory that an overlay writes to, backing the files that a loop
	// device keeps its blocks in, divided by NUL, snapshotOf the volume that a
	// snapshot was taken of; "" where there is none. carrier is the volume of another
	// mount, of whose space that makes this one a part.
	upper, backing, snapshotOf, carrier string
	// projects is set where directories of the file system can have a limit of their
	// own (project quotas), and part on a mount that is looked at because of that.
	projects, part bool
}

// choose selects the entries to measure. A known mount keeps its question, so that
// a hung one is never asked a second time.
func (f *filesystem) choose(entries []mountEntry) {
	type place struct{ id, volume, point string }
	before := make(map[place]*mount, len(f.mounts))
	for _, m := range f.mounts {
		before[place{m.id, m.volume, m.point}] = m
	}
	pools := map[string]int{}
	chosen, bare := chooseMounts(entries, f.filter)
	f.mounts, f.pools = make([]*mount, 0, len(chosen)), nil
	whole := make(map[string]*mount, len(chosen))
	for i, e := range chosen {
		m := &mount{mountEntry: e, at: i, share: none}
		if old, ok := before[place{e.id, e.volume, e.point}]; ok {
			m.known, m.outage = old.known, old.outage
			if old.watched == e.watched {
				m.question = old.question
			}
		}
		mode := "rw"
		if e.readOnly {
			mode = "ro"
		}
		m.label = Mount{
			Device: sanitize.EscapeControl(e.device), Block: e.block, Mountpoint: sanitize.EscapeControl(e.point), Type: sanitize.EscapeControl(e.kind), Mode: mode,
			Watched: e.watched, Utilization: unknown,
		}
		m.place = f.placeOf(&m.label)
		m.counted = !e.part && e.storage && (e.point == "/" || e.own && (bare || e.root == "/"))
		if e.pool != "" && m.counted {
			if _, ok := pools[e.pool]; !ok {
				pools[e.pool] = len(pools)
			}
			m.share = pools[e.pool]
		}
		if !e.part {
			whole[e.volume] = m
		}
		f.mounts = append(f.mounts, m)
	}
	for _, m := range f.mounts {
		if m.part {
			m.whole = whole[m.volume]
		}
		if under := whole[m.mountEntry.carrier]; !under.leadsTo(m) {
			m.carrier = under
		}
	}
	f.pools = make([]uint64, len(pools))
	f.leave()
}

// none is the place of what is not there.
const none = -1

// maxCarriers bounds how deep a chain of what stands on what is followed.
const maxCarriers = 16

// leadsTo reports whether m stands on to, or on too much to tell.
func (m *mount) leadsTo(to *mount) bool {
	for range maxCarriers {
		if m == nil || m == to {
			return m != nil
		}
		m = m.carrier
	}
	return true
}

// maxParts bounds the mounts that are looked at only because they can have a limit
// of their own: each is asked at every tick.
const maxParts = 256

// chooseMounts returns each file system once, in the order of the list. Of
// several mounts of one file system it takes one that shows it whole (bind
// mounts and subvolumes show a part), of those the shortest path, then the
// oldest (as discussed in prometheus/node_exporter#600). Other directories of a file
// system with project quotas are returned besides, as parts.
//
// bare is false where the machine is a container of its own, whose bind mounts are
// parts of the disk that its "/" stands on.
func chooseMounts(entries []mountEntry, filter pattern.Filter) (chosen []mountEntry, bare bool) {
	entries = visibleMounts(entries)
	bare = findCarriers(entries)
	best := make(map[string]int, len(entries))
	kept := make([]bool, len(entries))
	for i := range entries {
		// Patterns that include stand in place of the built-in choice, so they
		// choose among all mounts; those that exclude only take away of what was
		// chosen, so that another mount of the same file system does not appear instead.
		e := &entries[i]
		kept[i] = e.storage && (bare || !isPlacedByRuntime(e.point))
		if len(filter.Include) > 0 {
			kept[i] = filter.Keep(kept[i], "device", e.device, "mountpoint", e.point, "type", e.kind)
		}
		if !kept[i] {
			continue
		}
		if other, ok := best[e.volume]; !ok || e.betterThan(&entries[other]) {
			best[e.volume] = i
		}
	}
	type directory struct{ volume, root string }
	parts := map[directory]int{}
	for i := range entries {
		e := &entries[i]
		if !kept[i] || !e.projects || e.root == entries[best[e.volume]].root {
			continue
		}
		at := directory{e.volume, e.root}
		if other, ok := parts[at]; ok && e.betterThan(&entries[other]) || !ok && len(parts) < maxParts {
			parts[at] = i
		}
	}
	for i := range entries {
		e := &entries[i]
		if part, ok := parts[directory{e.volume, e.root}]; ok && part == i {
			e.part = true
		} else if at, ok := best[e.volume]; !ok || at != i {
			continue
		}
		if filter.Keep(true, "device", e.device, "mountpoint", e.point, "type", e.kind) {
			chosen = append(chosen, *e)
		}
	}
	return chosen, bare
}

func (e *mountEntry) betterThan(o *mountEntry) bool {
	if (e.root == "/") != (o.root == "/") {
		return e.root == "/"
	}
	return len(e.point) < len(o.point)
}

// findCarriers finds, for each of the visible mounts, the mount whose space it is a
// part of, and decides on "/", which is measured whatever its type is, unless it is an
// image.
//
// An overlay takes its space from the file system that holds its upper directory; one
// without is an image. Where that file system is not among the mounts, or a container
// runtime has put files in place, the machine is a container: not bare.
func findCarriers(entries []mountEntry) (bare bool) {
	byPoint := make(map[string]int, len(entries))
	placed := false
	for i := range entries {
		byPoint[entries[i].point] = i
		placed = placed || isPlacedByRuntime(entries[i].point)
	}
	bare = true
	if i, ok := byPoint["/"]; ok {
		root := &entries[i]
		if isUnion(root.kind) {
			_, seen := holder(byPoint, root.upper, false)
			bare = !placed && (seen || root.image)
		}
		root.storage = !root.image || !bare
	}
	if !bare {
		return false // Paths of the machine below say nothing here.
	}
	for i := range entries {
		e := &entries[i]
		switch {
		case !e.storage:
		case e.snapshotOf != "":
			e.carrier = e.snapshotOf
		case e.upper != "":
			if at, ok := holder(byPoint, e.upper, e.point != "/"); ok {
				e.carrier = entries[at].volume
			}
		case e.backing != "":
			e.carrier = carrierOf(entries, byPoint, e.backing)
		}
	}
	return true
}

// carrierOf is the volume that holds all of the files, "" where there is not one.
func carrierOf(entries []mountEntry, byPoint map[string]int, files string) (volume string) {
	for file := range strings.SplitSeq(files, "\x00") {
		at, ok := holder(byPoint, file, true)
		if !ok || volume != "" && volume != entries[at].volume {
			return ""
		}
		volume = entries[at].volume
	}
	return volume
}

// isUnion reports whether a type of file system shows other directories merged, as
// containers and live systems have them at "/".
func isUnion(kind string) bool {
	switch kind {
	case "overlay", "overlayfs", "aufs", "unionfs", "fuse.fuse-overlayfs", "fuse.unionfs", "fuse.unionfs-fuse":
		return true
	}
	return false
}

// isPlacedByRuntime reports whether a mount point is a file that container
// runtimes bind into every container from the disk of the machine below.
func isPlacedByRuntime(point string) bool {
	switch point {
	case "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log":
		return true
	}
	return false
}
