package top

import (
	"cmp"
	"slices"
	"strings"

	"sysotel/api"
)

// order is a column that the table can be sorted by.
type order struct {
	// name is the word of --sort, key what chooses it after F6.
	name string
	key  string
	// api is the order to ask the agent for; "" where it has none, so that all rows
	// are needed.
	api string
	// compare is negative where a stands before b.
	compare func(a, b *api.ProcessRow) int
}

// orders are the columns, in the order of < and >.
var orders = []order{
	{"cpu", "c", "cpu", func(a, b *api.ProcessRow) int { return falling(a.CPUPercent, b.CPUPercent) }},
	{"memory", "m", "memory", func(a, b *api.ProcessRow) int { return falling(a.MemoryRSS, b.MemoryRSS) }},
	{"io", "i", "io", func(a, b *api.ProcessRow) int {
		return falling(a.ReadBytesPerSec+a.WriteBytesPerSec, b.ReadBytesPerSec+b.WriteBytesPerSec)
	}},
	{"time", "t", "", func(a, b *api.ProcessRow) int { return falling(a.CPUSeconds, b.CPUSeconds) }},
	{"threads", "h", "threads", func(a, b *api.ProcessRow) int { return cmp.Compare(b.NumThreads, a.NumThreads) }},
	{"started", "s", "started", func(a, b *api.ProcessRow) int {
		switch {
		case a.Started == nil || b.Started == nil:
			return cmp.Compare(btoi(a.Started == nil), btoi(b.Started == nil))
		default:
			return b.Started.Compare(*a.Started)
		}
	}},
	{"user", "u", "", func(a, b *api.ProcessRow) int { return cmp.Compare(a.User, b.User) }},
	{"pid", "p", "pid", func(*api.ProcessRow, *api.ProcessRow) int { return 0 }},
	{"name", "n", "name", func(a, b *api.ProcessRow) int {
		return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	}},
}

// Orders are the words that --sort takes.
func Orders() []string {
	var names []string
	for _, o := range orders {
		names = append(names, o.name)
	}
	return names
}

func orderNamed(name string) int {
	return slices.IndexFunc(orders, func(o order) bool { return o.name == name })
}

// falling compares two numbers: the higher first, unknown ones last.
func falling[N ~float64](a, b N) int {
	if a != a || b != b {
		return cmp.Compare(btoi(a != a), btoi(b != b))
	}
	return cmp.Compare(b, a)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// row is a line of the table.
type row struct {
	*api.ProcessRow
	// branch are the lines of the tree before its name, folded how many processes
	// below it are not shown.
	branch string
	folded int
}

// list sorts processes into lines. The sort is stable, equal ones by PID.
func list(processes []api.ProcessRow, by order, reverse bool) []row {
	rows := make([]row, 0, len(processes))
	for i := range processes {
		rows = append(rows, row{ProcessRow: &processes[i]})
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		c := cmp.Or(by.compare(a.ProcessRow, b.ProcessRow), cmp.Compare(a.PID, b.PID))
		if reverse {
			return -c
		}
		return c
	})
	return rows
}

// maxDepth bounds the lines before a name; deeper ones stand below each other.
const maxDepth = 16

// forest orders lines as a tree, siblings as they were, and leaves out those below
// a folded process. A process whose parent has no line is a root; a circle, which
// reused numbers can make, begins at its first line.
func forest(rows []row, folded map[int]bool, g glyphs) []row {
	index := map[int]int{}
	for i, r := range rows {
		index[r.PID] = i
	}
	below := make([][]int, len(rows))
	var roots []int
	for i, r := range rows {
		if r.ParentPID != nil {
			if parent, ok := index[*r.ParentPID]; ok && parent != i {
				below[parent] = append(below[parent], i)
				continue
			}
		}
		roots = append(roots, i)
	}
	placed := make([]bool, len(rows))
	out := make([]row, 0, len(rows))
	var place func(i int, stem, knot string, depth int, hidden bool) int
	place = func(i int, stem, knot string, depth int, hidden bool) int {
		if placed[i] {
			return 0
		}
		placed[i] = true
		at := len(out)
		if !hidden {
			r := rows[i]
			r.branch = stem + knot
			out = append(out, r)
		}
		next := stem
		if knot != "" && depth < maxDepth {
			next += map[bool]string{true: g.blank, false: g.pipe}[knot == g.last]
		}
		count := 1
		hide := hidden || folded[rows[i].PID]
		for n, child := range below[i] {
			knot := g.branch
			if n == len(below[i])-1 {
				knot = g.last
			}
			count += place(child, next, knot, depth+1, hide)
		}
		if !hidden && hide {
			out[at].folded = count - 1
		}
		return count
	}
	for _, i := range roots {
		place(i, "", "", 0, false)
	}
	for i := range rows {
		place(i, "", "", 0, false)
	}
	return out
}
