package instruments

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// lookedAtBefore is the number of looks at a new program after which it may get a name:
	// what is gone by then is in the records of the processes.
	lookedAtBefore = 5
	// programLinger is how many looks a program without processes keeps its name
	// and its counters in sight: its last CPU time must reach every reader, and what
	// runs every ten minutes must not end and begin each time.
	programLinger = 900
	// unnamedLinger is the same for one without a name, whose use is still added
	// up; maxUnnamed bounds these, but for those of the looks within which the I/O of what
	// has ended is found.
	unnamedLinger = 60
	maxUnnamed    = 2000
	// fastDisk is the bytes per second that count as the whole of the disks.
	fastDisk = 500e6
)

// program adds up the processes of one name.
type program struct {
	member
	counters programCounters
	look     programLook
	// rest is CPU time of ended processes that is less than a tick.
	rest struct{ user, system time.Duration }
}

// programCounters are kept since the agent started, CPU times in platform ticks.
type programCounters struct {
	user, system, read, write uint64
	// ended counts the processes that have ended, where that is heard.
	ended   uint64
	ioKnown bool
}

// programLook is what one look at the processes adds up; the counters in it are
// differences.
type programLook struct {
	programCounters
	processes, threads int
	rss, virtual       uint64
}

func (l *programLook) add(o *programLook) {
	l.programCounters.add(&o.programCounters)
	l.processes += o.processes
	l.threads += o.threads
	l.rss += o.rss
	l.virtual += o.virtual
}

func (c *programCounters) add(d *programCounters) {
	c.user += d.user
	c.system += d.system
	c.read += d.read
	c.write += d.write
	c.ended += d.ended
	c.ioKnown = c.ioKnown || d.ioKnown
}

// programs knows the programs that run. Which are named is its roster's choice. A counter
// of a name holds what was used while the name was given; what was used before
// or after is in the counter of the others. So no counter ever falls, and
// together they hold everything.
type programs struct {
	roster
	byName map[string]*program
	// order is byName in the order of names.
	order []*program
	// remembered are the counters of names that are not in use: they go on from there when
	// the name comes back. One that is forgotten counts from zero, as after a start of the
	// agent.
	remembered map[string]programCounters
	others     program
	// folded is how many running programs have no name.
	folded int
}

// of returns the program of a name.
func (p *programs) of(name string) *program {
	if found := p.byName[name]; found != nil {
		return found
	}
	made := &program{member: member{name: name}}
	p.byName[name] = made
	at, _ := slices.BinarySearchFunc(p.order, name, func(g *program, n string) int { return strings.Compare(g.name, n) })
	p.order = slices.Insert(p.order, at, made)
	return made
}

// begin starts a look.
func (p *programs) begin() {
	if p.byName == nil {
		p.byName, p.remembered = map[string]*program{}, map[string]programCounters{}
		p.others.name, p.minLooks = otherNames, lookedAtBefore
		p.most = cmp.Or(p.most, defaultPrograms)
		p.forgotten = func(name string) { delete(p.remembered, name) }
	}
	p.roster.begin()
	for _, g := range p.order {
		g.look = programLook{}
	}
	p.others.look = programLook{}
}

// end gives names, adds the differences to the counters and forgets programs
// that are gone. ticks and memory are the whole CPU time and memory of the machine, to
// weigh one against the other; seconds is the time since the last look, unknown at the
// first. halved is as for roster.choose.
func (p *programs) end(seconds, ticks, memory float64, halved int) {
	if math.IsNaN(seconds) {
		seconds = 0
	}
	p.weigh(seconds, ticks, memory)
	p.retire()
	p.folded = p.choose(seconds, halved)
	for _, g := range p.order {
		switch {
		case g.named && g.was:
			g.counters.add(&g.look.programCounters)
			continue
		case g.named:
			g.counters = p.remembered[g.name]
			g.counters.ioKnown = g.counters.ioKnown || g.look.ioKnown
			delete(p.remembered, g.name)
		case g.was:
			p.remembered[g.name] = g.counters
		}
		p.others.counters.add(&g.look.programCounters)
		if !g.named {
			p.others.look.add(&g.look)
		}
	}
}

// weigh takes what the programs use into the look: their shares of the processors, the
// memory and the disks together.
func (p *programs) weigh(seconds, ticks, memory float64) {
	for _, g := range p.order {
		share := float64(g.look.user+g.look.system)/max(ticks, 1) + float64(g.look.rss)/max(memory, 1)
		if seconds > 0 {
			share += float64(g.look.read+g.look.write) / seconds / fastDisk
		}
		p.see(&g.member, g.look.processes > 0 || g.look.ended > 0, share, seconds)
	}
}

// retire takes programs out of sight that have had no process for a while.
func (p *programs) retire() {
	unnamed := len(p.order) - p.named
	keep, members := p.order[:0], p.members[:0]
	for _, g := range p.order {
		lingers := unnamedLinger
		switch {
		case g.named:
			lingers = programLinger
		case unnamed > maxUnnamed:
			lingers = pendingLooks + 1
		}
		if g.idle <= lingers {
			keep, members = append(keep, g), append(members, &g.member)
			continue
		}
		if g.named {
			p.remembered[g.name] = g.counters
			p.release(&g.member)
		}
		p.others.counters.add(&g.look.programCounters)
		p.others.look.add(&g.look)
		delete(p.byName, g.name)
	}
	clear(p.order[len(keep):])
	clear(p.members[len(members):])
	p.order, p.members = keep, members
}

// use adds CPU time in parts of a tick.
func (g *program) use(user, system time.Duration) {
	const tick = time.Second / cpuTicks
	g.rest.user += user
	g.rest.system += system
	g.look.user += uint64(g.rest.user / tick)
	g.look.system += uint64(g.rest.system / tick)
	g.rest.user %= tick
	g.rest.system %= tick
}

// used is the CPU time of all programs together in this look, in seconds.
func (p *programs) used() float64 {
	var ticks uint64
	for _, g := range p.order {
		ticks += g.look.user + g.look.system
	}
	return float64(ticks) / cpuTicks
}

// report lists the named programs in the order of their names, then the others.
// A look of unknown length has unknown shares.
func (p *programs) report(seconds float64, logical int, memory uint64) []Program {
	whole := seconds * float64(logical) * cpuTicks
	list := make([]Program, 0, p.named+1)
	add := func(g *program) {
		list = append(list, Program{
			Name: g.name, Processes: g.look.processes, Threads: g.look.threads,
			MemoryRSS: g.look.rss, Virtual: g.look.virtual, Memory: ratio(float64(g.look.rss), float64(memory)),
			User: float64(g.look.user) / whole, System: float64(g.look.system) / whole,
			UserSeconds: float64(g.counters.user) / cpuTicks, SystemSeconds: float64(g.counters.system) / cpuTicks,
			ReadBytes: g.counters.read, WriteBytes: g.counters.write, IOKnown: g.counters.ioKnown,
			Ended: g.counters.ended,
		})
	}
	for _, g := range p.order {
		if g.named {
			add(g)
		}
	}
	add(&p.others)
	return list
}
