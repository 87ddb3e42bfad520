package instruments

import (
	"cmp"
	"slices"
	"strings"
)

const (
	// maxPrograms bounds the programs that are named in metrics; the rest are
	// added up as otherPrograms.
	maxPrograms = 200
	// maxProgramNames bounds the names that are ever given while the agent runs.
	// The counters of a name that is not in use are remembered, so that they go
	// on from there when it comes back: names made up by the thousand must not
	// fill the memory.
	maxProgramNames = 16_384
	// programLinger is how many looks a program without processes keeps its name
	// and its counters in sight: its last CPU time must reach every reader.
	programLinger = 300
)

// otherPrograms is the name of the rest.
const otherPrograms = "others"

// program adds up the processes of one name.
type program struct {
	name  string
	named bool
	// idle counts looks without a process.
	idle     int
	counters programCounters
	look     programLook
}

// programCounters are kept since the agent started, CPU times in platform ticks.
type programCounters struct {
	user, system, read, write uint64
	ioKnown                   bool
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
	c.ioKnown = c.ioKnown || d.ioKnown
}

// programs knows the programs that run, and decides which are named. A counter
// of a name holds what was used while the name was given; what was used before
// or after is in the counter of the others. So no counter ever falls, and
// together they hold everything.
type programs struct {
	byName map[string]*program
	// order is byName in the order of names.
	order      []*program
	named      int
	remembered map[string]programCounters
	others     program
}

// of returns the program of a name.
func (p *programs) of(name string) *program {
	if found := p.byName[name]; found != nil {
		return found
	}
	if p.byName == nil {
		p.byName, p.remembered = map[string]*program{}, map[string]programCounters{}
		p.others.name = otherPrograms
	}
	made := &program{name: name}
	p.byName[name] = made
	at, _ := slices.BinarySearchFunc(p.order, name, func(g *program, n string) int { return strings.Compare(g.name, n) })
	p.order = slices.Insert(p.order, at, made)
	return made
}

// begin starts a look.
func (p *programs) begin() {
	for _, g := range p.order {
		g.look = programLook{}
	}
	p.others.look = programLook{}
}

// end gives names, adds the differences to the counters and forgets programs
// that are gone. ticks and memory are the whole CPU time and memory of
// the machine, to weigh one against the other.
func (p *programs) end(ticks, memory float64) {
	p.retire()
	p.name(ticks, memory)
	for _, g := range p.order {
		if g.named {
			g.counters.add(&g.look.programCounters)
		} else {
			p.others.look.add(&g.look)
		}
	}
	p.others.counters.add(&p.others.look.programCounters)
}

// retire takes programs out of sight that have had no process for a while.
func (p *programs) retire() {
	keep := p.order[:0]
	for _, g := range p.order {
		if g.look.processes > 0 {
			g.idle = 0
		} else {
			g.idle++
		}
		if g.idle == 0 || g.named && g.idle <= programLinger {
			keep = append(keep, g)
			continue
		}
		p.forget(g)
		delete(p.byName, g.name)
	}
	clear(p.order[len(keep):])
	p.order = keep
}

// forget takes a program's name back and remembers its counters.
func (p *programs) forget(g *program) {
	if g.named {
		p.remembered[g.name] = g.counters
		g.named = false
		p.named--
	}
}

// name gives names to running programs that have none: all, while there are
// enough, else first those that use most. One that runs keeps its name; one
// that does not gives it up when another needs it.
func (p *programs) name(ticks, memory float64) {
	var waiting []*program
	for _, g := range p.order {
		if !g.named && g.look.processes > 0 && g.name != otherPrograms {
			waiting = append(waiting, g)
		}
	}
	if len(waiting) == 0 {
		return
	}
	if p.named+len(waiting) > maxPrograms {
		weight := func(g *program) float64 {
			return float64(g.look.user+g.look.system)/max(ticks, 1) + float64(g.look.rss)/max(memory, 1)
		}
		slices.SortStableFunc(waiting, func(a, b *program) int { return cmp.Compare(weight(b), weight(a)) })
		p.makeRoom(p.named + len(waiting) - maxPrograms)
	}
	for _, g := range waiting {
		if p.named == maxPrograms {
			return
		}
		counters, known := p.remembered[g.name]
		if !known && p.named+len(p.remembered) >= maxProgramNames {
			continue
		}
		delete(p.remembered, g.name)
		g.named, g.counters = true, counters
		p.named++
	}
}

// makeRoom takes back up to n names of programs without processes, first of
// those that have had none for longest.
func (p *programs) makeRoom(n int) {
	var gone []*program
	for _, g := range p.order {
		if g.named && g.idle > 0 {
			gone = append(gone, g)
		}
	}
	slices.SortStableFunc(gone, func(a, b *program) int { return cmp.Compare(b.idle, a.idle) })
	for _, g := range gone[:min(n, len(gone))] {
		p.forget(g)
	}
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
