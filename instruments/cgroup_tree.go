package instruments

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The tree of control groups is followed by the number of each group's children, which
// costs one question a group and tick; every slowEvery all is looked at again, for a group
// that took another's place within a tick.
//
// Version 1 has a tree for each controller. The group of a path in all of them is one group.

const (
	// maxControlGroups bounds the groups that are followed.
	maxControlGroups = 1000
	// groupsEachTick bounds those that are read in a tick; more are read in turn.
	groupsEachTick = 150
)

// The hierarchies: the controllers of version 1, and version 2.
const (
	groupV2 = iota
	groupCPU
	groupCPUAccount
	groupMemory
	groupIO
	groupProcesses
	groupHierarchies
)

var groupControllers = [groupHierarchies]string{groupCPU: "cpu", groupCPUAccount: "cpuacct", groupMemory: "memory", groupIO: "blkio", groupProcesses: "pids"}

// groupTree follows all control groups of the machine.
type groupTree struct {
	// mounts is the text by which points were found; points are where each hierarchy is
	// mounted, empty where it is not.
	mounts   string
	points   [groupHierarchies]string
	root     *groupNode
	count    int
	full     bool
	slow     slowLane
	counted  slowLane
	relook   bool
	changed  bool
	order    []*groupNode
	buf      []byte
	scan     uint64
	readings uint64
	devices  map[ioDevice]bool
	others   *ControlGroup
	roster   roster
}

// groupNode is one control group.
type groupNode struct {
	name   GroupName
	part   string // The last part of the path as the kernel has it.
	parent *groupNode
	below  map[string]*groupNode
	// paths are its directories, in the hierarchies that have it.
	paths [groupHierarchies]string
	dirs  [groupHierarchies]groupStat
	seen  [groupHierarchies]uint64
	files *groupFiles
	// inner is set where a group below it is reported too.
	inner bool
	place member
	groupState
}

// groupFiles are the open files of a group.
type groupFiles struct {
	dirs  [groupHierarchies]groupFile
	files [groupFileCount]groupFile
}

func (f *groupFiles) close() {
	for i := range f.dirs {
		f.dirs[i].close()
	}
	for i := range f.files {
		f.files[i].close()
	}
}

func newGroupNode(parent *groupNode, part string) *groupNode {
	n := &groupNode{parent: parent, part: part, below: map[string]*groupNode{}, files: &groupFiles{}}
	if parent != nil {
		n.name = parent.name.child(part)
		n.place.name = n.name.Path
	}
	n.groupState.begin()
	runtime.AddCleanup(n, (*groupFiles).close, n.files)
	return n
}

// find sets the places where the hierarchies are mounted, and reports whether there are any.
func (t *groupTree) find(h *Host) bool {
	text, err := h.readFile("proc/1/mountinfo")
	if err != nil && h.root == "/" {
		text, err = h.readFile("proc/self/mountinfo")
	}
	if err != nil {
		return t.root != nil // What was known stays so.
	}
	if string(text) == t.mounts {
		return t.root != nil
	}
	t.mounts = string(text)
	var points [groupHierarchies]string
	for _, m := range parseCgroupMounts(text) {
		point := h.path(strings.TrimPrefix(m.point, "/"))
		if m.version == 2 && points[groupV2] == "" {
			points[groupV2] = point
		}
		for i, controller := range groupControllers {
			if m.version == 1 && controller != "" && points[i] == "" && strings.Contains(","+m.options+",", ","+controller+",") {
				points[i] = point
			}
		}
	}
	if points == t.points {
		return t.root != nil
	}
	if t.root != nil {
		t.end(t.root)
	}
	t.points, t.root, t.count = points, nil, 0
	if points == [groupHierarchies]string{} {
		return false
	}
	t.root = newGroupNode(nil, "")
	t.root.paths = points
	t.relook = true
	return true
}

// look finds groups that are new or gone.
func (t *groupTree) look(now time.Time) {
	t.scan++
	all := t.slow.due(now) || t.relook
	t.relook, t.full = false, false
	t.lookAt(t.root, all)
	if !t.changed {
		return
	}
	t.changed = false
	t.order = t.order[:0]
	t.arrange(t.root)
}

func (t *groupTree) lookAt(n *groupNode, all bool) {
	const noChildren = 2 // A directory's own links.
	if n.name.within || n.name.Kind == GroupContainer || n.name.Kind == GroupMachine {
		return
	}
	for i := range n.paths {
		if n.paths[i] == "" {
			continue
		}
		stat, ok := n.files.dirs[i].stat(n.paths[i])
		if ok && stat == n.dirs[i] && !all {
			continue
		}
		if before := n.dirs[i]; !ok || stat.links == noChildren && (before.links == noChildren || before.links == 0) {
			n.dirs[i] = stat
			continue
		}
		n.dirs[i] = stat
		t.list(n, i)
	}
	for _, child := range n.below {
		if child.gone() {
			t.end(child)
			delete(n.below, child.part)
			continue
		}
		t.lookAt(child, all)
	}
}

// leave notes that a hierarchy has the group no more, nor those below it.
func (n *groupNode) leave(i int) {
	if n.paths[i] == "" {
		return
	}
	n.paths[i], n.dirs[i] = "", groupStat{}
	n.files.dirs[i].close()
	n.forgetFiles()
	for _, child := range n.below {
		child.leave(i)
	}
}

// gone reports whether no hierarchy has the group any more.
func (n *groupNode) gone() bool { return n.paths == [groupHierarchies]string{} }

// list compares the groups in a directory with those that are known.
func (t *groupTree) list(n *groupNode, i int) {
	dir, err := os.Open(n.paths[i])
	if err != nil {
		return
	}
	entries, err := dir.ReadDir(-1)
	_ = dir.Close()
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		part := e.Name()
		child := n.below[part]
		if child == nil {
			if t.count >= maxControlGroups {
				t.full = true
				continue
			}
			child = newGroupNode(n, part)
			if child.name.within {
				continue // It is a part of what is above it.
			}
			n.below[part] = child
			t.count++
			t.changed = true
		}
		path := n.paths[i] + "/" + part
		inode, ok := inodeOf(path)
		if !ok {
			continue
		}
		child.seen[i] = t.scan
		if child.paths[i] == "" || child.dirs[i].inode != 0 && child.dirs[i].inode != inode {
			if child.paths[i] != "" {
				child.replace() // Another group has the name.
			}
			child.paths[i] = path
			child.files.dirs[i].close()
			child.dirs[i] = groupStat{inode: inode}
			child.forgetFiles()
		}
	}
	for _, child := range n.below {
		if child.seen[i] != t.scan {
			child.leave(i)
		}
	}
}

// forgetFiles makes the files be opened again: a hierarchy has come or gone.
func (n *groupNode) forgetFiles() {
	for i := range n.files.files {
		n.files.files[i].close()
		n.files.files[i] = groupFile{}
	}
}

// end forgets a group and those below it.
func (t *groupTree) end(n *groupNode) {
	for _, child := range n.below {
		t.end(child)
	}
	n.files.close()
	t.roster.release(&n.place)
	n.ended = true
	t.count--
	t.changed = true
}

// arrange puts the groups into the order of their paths.
func (t *groupTree) arrange(n *groupNode) {
	n.inner = len(n.below) > 0
	if n.parent != nil {
		t.order = append(t.order, n)
	}
	parts := make([]string, 0, len(n.below))
	for part := range n.below {
		parts = append(parts, part)
	}
	slices.Sort(parts)
	for _, part := range parts {
		t.arrange(n.below[part])
	}
}

// read reads the groups and adds them to the reading.
func (t *groupTree) read(h *Host, tick Tick, r *Cgroup, processors func() int) {
	if !linux {
		return
	}
	now := h.Now()
	if (t.root == nil || t.relook || t.slow.at.IsZero() || now.Sub(t.slow.at) >= slowEvery) && !t.find(h) {
		return
	}
	t.look(now)
	if t.full {
		r.note("/sys/fs/cgroup", "there are more control groups than are followed")
	}
	if t.counted.due(now) {
		t.countProcesses()
	}
	t.readings++
	turns := uint64((len(t.order) + groupsEachTick - 1) / groupsEachTick)
	for i, n := range t.order {
		if turns > 1 && n.last != (time.Time{}) && (uint64(i)+t.readings)%turns != 0 {
			n.keep()
			continue
		}
		if err := t.measure(n, h, now, &r.misread); errors.Is(err, errGroupEnded) {
			// It is looked at once more at the next tick.
			t.relook = true
		}
	}
	if len(t.order) > 0 {
		t.fold(r, tick, processors(), h.totalMemory(tick))
	}
}
