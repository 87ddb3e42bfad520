package instruments

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Where the kernel reports the end of each process, those that came and went between two
// looks are counted under their program, and those that were seen get what they used after
// that.

const (
	// maxShortNames bounds the names that are new by short processes in one look: they can
	// be made up by the thousand. The rest is counted with the others.
	maxShortNames = 500
	// shortSlack is for how much longer than the time between two looks a process can have
	// lived that none of them saw.
	shortSlack = 2 * time.Second
	// kernelParent is the process whose children are the threads of the kernel.
	kernelParent = 2
)

// unheardSubject is what a reading lacks where ends are not heard, lostSubject where the
// kernel had no room for some.
const (
	unheardSubject = "ends of processes"
	lostSubject    = "ends of some processes"
	lostExits      = "more processes ended between two readings than the kernel keeps for the agent (%d times since it started); the CPU time of the rest is unattributed"
)

// hear takes the ends of processes into the look. It is called after all processes were
// accounted for.
func (p *process) hear(table *processTable, seconds, whole float64, r *ProcessTable) {
	x := table.exits()
	defer func() { clear(p.departed) }()
	r.ExitsHeard = x.on
	if x.reason != "" {
		r.hide(unheardSubject, x.reason)
	}
	if x.lost > p.exitsLost {
		p.exitsLost = x.lost
		r.hide(lostSubject, fmt.Sprintf(lostExits, x.lost))
	}
	r.ExitsLost = x.lost
	if !x.on {
		return
	}
	slices.SortStableFunc(p.departed, func(a, b *processEntry) int { return cmp.Compare(a.pid, b.pid) })
	p.shortNames = 0
	if p.parents == nil {
		p.parents, p.unclaimed, p.shorts = map[int]int{}, map[int]unclaimed{}, map[shortKey]*ShortProcesses{}
	}
	clear(p.parents)
	for i := range x.heard {
		p.parents[x.heard[i].pid] = x.heard[i].parent
	}
	for _, e := range p.departed {
		p.parents[e.pid] = e.parent
	}
	p.unnamed = 0
	for i := range x.heard {
		e := &x.heard[i]
		if at, found := slices.BinarySearchFunc(p.departed, e.pid, func(e *processEntry, pid int) int { return cmp.Compare(e.pid, pid) }); found && p.departed[at].exit == nil {
			kept := *e
			p.departed[at].exit = &kept
		} else if seen := table.find(e.pid); seen != nil && seen.exit == nil {
			kept := *e
			seen.exit = &kept // What it used is known when it has left the table.
		} else {
			p.short(table, e, seconds)
		}
	}
	for _, e := range p.departed {
		counted := ticks(e.userBefore.held() + e.systemBefore.held())
		if e.exit != nil {
			counted += p.finish(e, counted, whole, r)
		}
		p.leave(table, e, counted)
	}
	p.claim()
	p.reap(table, whole)
	if p.unnamed > 0 {
		r.Ended = append(r.Ended, EndedProcess{CPUSeconds: p.unnamed.Seconds()})
	}
	for _, short := range p.shorts {
		r.Short = append(r.Short, *short)
	}
	clear(p.shorts)
	slices.SortFunc(r.Short, func(a, b ShortProcesses) int {
		return cmp.Or(strings.Compare(a.Program, b.Program), strings.Compare(a.Parent, b.Parent))
	})
}

// maxShorts bounds the programs and parents of processes that no look saw.
const maxShorts = 200

// shortKey is what processes that no look saw are added up by.
type shortKey struct{ program, parent string }

// credit adds to the processes of a program that no look saw.
func (p *process) credit(key shortKey, used time.Duration, e *exit) {
	s := p.shorts[key]
	if s == nil {
		if e == nil || len(p.shorts) >= maxShorts {
			p.unnamed += used
			return
		}
		s = &ShortProcesses{Name: cleanName(e.comm), Program: key.program, Parent: key.parent}
		p.shorts[key] = s
	}
	s.CPUSeconds += used.Seconds()
	if e != nil {
		s.Count++
		s.MemoryPeak = max(s.MemoryPeak, e.peak)
	}
}

// unclaimed is what was counted of the children of a process.
type unclaimed struct {
	counted time.Duration
	looks   int
}

// claim forgets what nobody has claimed.
func (p *process) claim() {
	for pid, u := range p.unclaimed {
		if u.looks++; u.looks > 2 {
			delete(p.unclaimed, pid)
		} else {
			p.unclaimed[pid] = u
		}
	}
}

// finish gives a process what it used after it was last seen.
func (p *process) finish(e *processEntry, counted time.Duration, whole float64, r *ProcessTable) time.Duration {
	e.group.look.ended++
	left := e.exit.run - counted
	if e.noTimes || left <= 0 || left.Seconds()*cpuTicks > 1.25*whole+10 {
		return 0
	}
	system := time.Duration(0)
	if all := e.exit.user + e.exit.system; all > 0 {
		system = time.Duration(float64(left) * float64(e.exit.system) / float64(all))
	}
	e.group.use(left-system, system)
	r.Ended = append(r.Ended, EndedProcess{PID: e.pid, Start: e.start, CPUSeconds: left.Seconds()})
	return left
}

// short counts a process that no look saw.
func (p *process) short(table *processTable, e *exit, seconds float64) {
	name := programName(e.comm, nil, e.parent == kernelParent)
	if p.programs.byName[name] == nil {
		if p.shortNames++; p.shortNames > maxShortNames {
			name = otherNames
		}
	}
	g := p.programs.of(name)
	g.look.ended++
	if (e.lived - shortSlack).Seconds() > seconds {
		return // It was not hidden by its shortness, and used its time at other times.
	}
	used := e.user + e.system
	g.use(e.user, e.system)
	counted := used + p.unclaimed[e.pid].counted
	delete(p.unclaimed, e.pid)
	parent := p.above(table, e.parent)
	key := shortKey{program: name}
	if parent != nil {
		key.parent = parent.program
	}
	p.credit(key, used, e)
	if parent != nil {
		p.expect(parent, counted, g, e.missing())
	} else if u, known := p.unclaimed[p.last(e.parent)]; known || len(p.unclaimed) < maxUnclaimed {
		u.counted += counted
		p.unclaimed[p.last(e.parent)] = u
	}
}

// last is the process up from one whose parent is neither seen nor heard.
func (p *process) last(pid int) int {
	for range maxAncestors {
		parent, found := p.parents[pid]
		if !found {
			break
		}
		pid = parent
	}
	return pid
}
