package instruments

import (
	"sysotel/instruments/pattern"
	"sysotel/instruments/sanitize"
)

// mountEntry is one mount as the system lists it.
type mountEntry struct {
	// id is the mount's number, which a later mount at the same place does not share
	// as long as this one is there; volume is the same for all mounts of one file system.
	id, volume string
	// root is the directory of the file system that is mounted, "/" for all of it.
	root string
	// point, kind and device are as in Mount, raw.
	point, kind, device, block string
	readOnly                   bool
	// storage reports whether the type keeps files on storage, watched whether a
	// question can hang, own whether it is the machine's own space.
	storage, watched, own bool
	// pool is shared by file systems that take their space from one place.
	pool string
}

// choose selects the entries to measure. A known mount
// keeps its question, so that a hung one is never asked a second time.
func (f *filesystem) choose(entries []mountEntry) {
	type place struct{ id, volume, point string }
	before := make(map[place]*mount, len(f.mounts))
	for _, m := range f.mounts {
		before[place{m.id, m.volume, m.point}] = m
	}
	pools := map[string]int{}
	f.mounts, f.pools = nil, nil
	chosen, bare := chooseMounts(entries, f.filter)
	for _, e := range chosen {
		m := &mount{mountEntry: e, share: -1}
		if old, ok := before[place{e.id, e.volume, e.point}]; ok && old.watched == e.watched {
			m.question = old.question
		}
		mode := "rw"
		if e.readOnly {
			mode = "ro"
		}
		m.label = Mount{
			Device: sanitize.EscapeControl(e.device), Block: e.block, Mountpoint: sanitize.EscapeControl(e.point), Type: sanitize.EscapeControl(e.kind), Mode: mode,
			Watched: e.watched, Utilization: unknown,
		}
		m.counted = e.point == "/" || e.storage && e.own && (bare || e.root == "/")
		if e.pool != "" && m.counted {
			if _, ok := pools[e.pool]; !ok {
				pools[e.pool] = len(pools)
			}
			m.share = pools[e.pool]
		}
		f.mounts = append(f.mounts, m)
	}
	f.pools = make([]uint64, len(pools))
}

// chooseMounts returns each file system once, in the order of the list. Of
// several mounts of one file system it takes one that shows it whole (bind
// mounts and subvolumes show a part), of those the shortest path, then the
// oldest (as discussed in prometheus/node_exporter#600).
//
// bare is false where "/" is an overlay: the machine is a container of its own,
// whose bind mounts are parts of the disk that the overlay stands on.
func chooseMounts(entries []mountEntry, filter pattern.Filter) (chosen []mountEntry, bare bool) {
	// A mount hides what was mounted at its place before.
	newest := make(map[string]int, len(entries))
	for i, e := range entries {
		newest[e.point] = i
	}
	bare = true
	if i, ok := newest["/"]; ok {
		bare = entries[i].kind != "overlay"
	}
	best := make(map[string]int, len(entries))
	for i, e := range entries {
		if newest[e.point] != i {
			continue
		}
		// Patterns that include stand in place of the built-in choice, so they
		// choose among all mounts; those that exclude only take away of what was
		// chosen, so that another mount of the same file system does not appear instead.
		keep := e.storage && (bare || !isPlacedByRuntime(e.point))
		if len(filter.Include) > 0 {
			keep = filter.Keep(keep, "device", e.device, "mountpoint", e.point, "type", e.kind)
		}
		if !keep {
			continue
		}
		if other, ok := best[e.volume]; !ok || e.betterThan(entries[other]) {
			best[e.volume] = i
		}
	}
	for i, e := range entries {
		if at, ok := best[e.volume]; ok && at == i && filter.Keep(true, "device", e.device, "mountpoint", e.point, "type", e.kind) {
			chosen = append(chosen, e)
		}
	}
	return chosen, bare
}

func (e mountEntry) betterThan(o mountEntry) bool {
	if (e.root == "/") != (o.root == "/") {
		return e.root == "/"
	}
	return len(e.point) < len(o.point)
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
