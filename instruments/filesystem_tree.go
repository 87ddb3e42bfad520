package instruments

import (
	"cmp"
	"slices"
	"strings"
)

// The mounts of a machine are a tree: each has a parent, on a directory of which it
// is mounted. This file walks the tree; nothing in it looks at the machine.

// visibleMounts keeps the mounts that a path leads to, in the order of the list,
// which says nothing: the kernel prints mounts in the order of their numbers, and a
// mount can be moved on top of a newer one (mount --move) or be put beneath it
// (MOVE_MOUNT_BENEATH). A mount is seen if its parent is, none is mounted on its own
// root, and none of its siblings covers a directory on the way to it. A mount whose
// parent is not listed is where a tree begins. What is below a mount that can hang can
// hang too.
func visibleMounts(entries []mountEntry) []mountEntry {
	const none = -1
	byID := make(map[string]int, len(entries))
	for i := range entries {
		byID[entries[i].id] = i
	}
	// Brothers and sisters side by side, and of those a directory before what is in it.
	parents, order := make([]int, len(entries)), make([]int, len(entries))
	for i := range entries {
		order[i], parents[i] = i, none
		if p, ok := byID[entries[i].parent]; ok && entries[i].parent != "" && p != i {
			parents[i] = p
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(parents[a], parents[b]), strings.Compare(entries[a].parent, entries[b].parent), comparePaths(entries[a].point, entries[b].point))
	})
	// children[p] is where in order the children of p begin.
	children := make([]int, len(entries))
	roots := 0
	for at, i := range order {
		switch p := parents[i]; {
		case p == none:
			roots = at + 1
		case at == 0 || parents[order[at-1]] != p:
			children[p] = at + 1
		}
	}
	var walk []int
	seen := make([]bool, len(entries))
	// add walks on to the mounts that nothing covers, of siblings that begin at.
	add := func(at, end int, watched bool) {
		cover := none
		for ; at < end; at++ {
			i := order[at]
			// Two at one place are a system without parents, or a garbled list: the last counts.
			if at+1 < end && entries[order[at+1]].point == entries[i].point && entries[order[at+1]].parent == entries[i].parent {
				continue
			}
			if e := &entries[i]; e.parent != "" {
				if cover != none && entries[cover].parent == e.parent && entries[cover].point != "/" && isBelow(e.point, entries[cover].point) {
					continue
				}
				cover = i
			}
			entries[i].watched = entries[i].watched || watched
			walk = append(walk, i)
		}
	}
	add(0, roots, false)
	for len(walk) > 0 {
		i := walk[len(walk)-1]
		walk = walk[:len(walk)-1]
		seen[i] = true
		at, end := children[i]-1, 0
		if at < 0 {
			continue
		}
		for end = at; end < len(order) && parents[order[end]] == i; end++ {
		}
		// What is mounted on the mount's own root comes first and hides it, and all else
		// that is mounted on it. Only the root of all is not left by a path that begins
		// there, except by programs that change to a new root later.
		first := order[at]
		switch {
		case entries[first].point != entries[i].point:
		case parents[i] == none && entries[i].point == "/" && entries[i].kind != "rootfs":
			for at < end && entries[order[at]].point == "/" {
				at++
			}
		default:
			seen[i] = false
			for end = at; end < len(order) && parents[order[end]] == i && entries[order[end]].point == entries[i].point; end++ {
			}
		}
		add(at, end, entries[i].watched && entries[i].point != "/")
	}
	// Mounts whose trees begin at different parents can still share a place.
	last := make(map[string]int, len(entries))
	for i := range entries {
		if seen[i] {
			last[entries[i].point] = i
		}
	}
	kept := make([]mountEntry, 0, len(last))
	for i := range entries {
		if seen[i] && last[entries[i].point] == i {
			kept = append(kept, entries[i])
		}
	}
	return kept
}

// comparePaths orders paths so that a directory is followed by all that is in it.
func comparePaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := a[i], b[i]; x != y {
			switch {
			case x == '/':
				return -1
			case y == '/':
				return 1
			}
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(len(a), len(b))
}

// isBelow reports whether a path leads into a directory.
func isBelow(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, dir)
	return ok && rest != "" && (rest[0] == '/' || dir == "/")
}

// holder finds the mount that a path leads into, among mounts by their points;
// "/" is not looked at where the path is what "/" stands on.
func holder(byPoint map[string]int, path string, root bool) (int, bool) {
	for dir := path; strings.HasPrefix(dir, "/") && len(dir) > 1; dir = dir[:strings.LastIndexByte(dir, '/')] {
		if i, ok := byPoint[dir]; ok {
			return i, true
		}
	}
	i, ok := byPoint["/"]
	return i, ok && root
}
