package instruments

import "time"

// What the kernel reports of a process that ends lacks what it used since its time was last
// added up (a tick at most) and what it takes to clear up after it: of one that lives for a
// millisecond that is a part of some size. The account of children's CPU time of who has
// waited for it has all of it. So that is compared with what was counted of the children, and
// of theirs, and what is missing is given to the programs of those that have ended.

// reaper is what a process has to find in its account of children.
type reaper struct {
	// owed is what was counted of children that have ended, less what the account has grown
	// by. Below 0, more is in the account than was counted.
	owed time.Duration
	// short is what was missing at the look before: /proc is not read in one moment, and
	// only what is missing at two looks is given away.
	short time.Duration
	// heirs are the programs of children that ended in this look, before those of the last one.
	heirs, before []heir
	// idle counts the looks since a child ended.
	idle int
}

// heir is a program and how many of its processes have ended.
type heir struct {
	program *program
	weight  float64
}

const (
	// maxHeirs bounds the programs of one look to which what is missing is given.
	maxHeirs = 64
	// reaperLooks is for how many looks what is owed is looked for.
	reaperLooks = 60
	// maxUnclaimed bounds the processes that are expected to be heard of.
	maxUnclaimed = 1024
	// ownTick is more than what can be missing of one process without its clearing up.
	ownTick = 4 * time.Millisecond
	// clearing is about what it takes to clear up after a small process.
	clearing = 200 * time.Microsecond
)

// missing weighs what may be missing of an ended process against that of others.
func (e *exit) missing() float64 {
	return float64(clearing + min(max(e.lived-e.run, 0), ownTick)/2)
}

// expect has a process look for what was counted of a child in its account.
func (p *process) expect(parent *processEntry, counted time.Duration, group *program, weight float64) {
	r := parent.reaper
	if r == nil {
		r = &reaper{}
		parent.reaper = r
	}
	r.owed += counted
	r.idle = 0
	for i := range r.heirs {
		if r.heirs[i].program == group {
			r.heirs[i].weight += weight
			return
		}
	}
	if group != nil && len(r.heirs) < maxHeirs {
		r.heirs = append(r.heirs, heir{group, weight})
	}
}

// above is the process that waits for a child of pid, or for who waits for it: the next one
// up that lives.
func (p *process) above(table *processTable, pid int) *processEntry {
	for range maxAncestors {
		if living := table.find(pid); living != nil && !living.io.ended {
			return living
		}
		if parent, found := p.parents[pid]; found {
			pid = parent
			continue
		}
		return nil
	}
	return nil
}

// leave passes what a process that has left the table had of children on.
func (p *process) leave(table *processTable, e *processEntry, counted time.Duration) {
	parent := p.above(table, e.parent)
	if parent == nil {
		return
	}
	weight := float64(0)
	if e.exit != nil {
		weight = e.exit.missing()
	}
	counted += ticks(e.childSeen)
	if e.reaper != nil {
		counted += e.reaper.owed
		e.reaper = nil
	}
	group := e.group
	if weight == 0 {
		group = nil
	}
	p.expect(parent, counted, group, weight)
}

// reap compares the accounts of children with what was counted.
func (p *process) reap(table *processTable, whole float64) {
	for _, e := range table.entries {
		grown := e.childTicks - min(e.childSeen, e.childTicks)
		e.childSeen = e.childTicks
		if e.looks <= 1 || e.reaper == nil {
			continue // What is new of it is not compared; it has no children that were heard.
		}
		e.reaper.balance(ticks(grown), whole, func(g *program, part time.Duration) {
			g.use(0, part)
			p.credit(shortKey{g.name, e.program}, part, nil)
		})
		if e.reaper.idle > reaperLooks {
			e.reaper = nil
		}
	}
}

// balance takes by how much an account has grown, and gives away what is missing.
func (r *reaper) balance(grown time.Duration, whole float64, give func(*program, time.Duration)) {
	r.owed -= grown
	r.idle++
	short := max(-r.owed, 0)
	missing := min(short, r.short)
	r.short = short - missing
	r.owed += missing
	var weight float64
	for _, heirs := range [...][]heir{r.heirs, r.before} {
		for _, h := range heirs {
			weight += h.weight
		}
	}
	// No more than what the processors can do: else it is of children that were not heard.
	if weight > 0 && missing > 0 && missing.Seconds()*cpuTicks <= 1.25*whole+10 {
		for _, heirs := range [...][]heir{r.heirs, r.before} {
			for _, h := range heirs {
				give(h.program, time.Duration(float64(missing)*h.weight/weight))
			}
		}
	}
	r.before, r.heirs = r.heirs, r.before[:0]
}

// ticks is a CPU time in units of the platform.
func ticks(n uint64) time.Duration {
	return time.Duration(min(n, uint64(maxTold/(time.Second/cpuTicks)))) * (time.Second / cpuTicks)
}

// maxTold bounds a CPU time, so that sums of some do not overflow.
const maxTold = 10 * 365 * 24 * time.Hour
