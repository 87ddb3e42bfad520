package instruments

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

const (
	// maxPrograms bounds the programs that are named in metrics at one time; the
	// rest are added up as otherPrograms.
	maxPrograms = 200
	// namesPerHour is how many programs without a name may get one in the long run,
	// after maxPrograms at once: each name is a dozen series of the history, for
	// days.
	namesPerHour = 20
	// While less than half of these names is left, a program gets one only if it
	// ran for longSeconds in all, or used the share heavy of the machine on average
	// over the last minute or so.
	longSeconds = 60
	heavy       = 0.01
	// maxRemembered bounds the names not in use whose counters are remembered, so
	// that they go on from there when the name comes back. The one that is longest
	// out of use is forgotten; if it comes back it counts from zero, as after a
	// start of the agent.
	maxRemembered = 4096
	// programLinger is how many looks a program without processes keeps its name
	// and its counters in sight: its last CPU time must reach every reader, and what
	// runs every ten minutes must not end and begin each time.
	programLinger = 900
	// unnamedLinger is the same for one without a name, whose use is still added
	// up; maxUnnamed bounds these.
	unnamedLinger = 60
	maxUnnamed    = 2000
	// fastDisk is the bytes per second that count as the whole of the disks.
	fastDisk = 500e6
)

// otherPrograms is the name of the rest.
const otherPrograms = "others"

// program adds up the processes of one name.
type program struct {
	name  string
	named bool
	// idle counts looks without a process, ran the seconds with one.
	idle int
	ran  float64
	// use is the share of the machine that it used, of the processors, the memory
	// and the disks together, as a mean over about a minute.
	use      float64
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

// programs knows the programs that run, and decides which are named: not each that
// appears, since names come from outside and may be made up by the thousand. A counter
// of a name holds what was used while the name was given; what was used before
// or after is in the counter of the others. So no counter ever falls, and
// together they hold everything.
type programs struct {
	byName map[string]*program
	// order is byName in the order of names.
	order []*program
	named int
	// names is how many new names may be given now.
	names float64
	// remembered are the counters of names that are not in use, and when each was
	// given up, in looks.
	remembered map[string]rememberedProgram
	looks      uint64
	others     program
}

// rememberedProgram is a name that was in use.
type rememberedProgram struct {
	programCounters
	look uint64
}

// of returns the program of a name.
func (p *programs) of(name string) *program {
	if found := p.byName[name]; found != nil {
		return found
	}
	if p.byName == nil {
		p.byName, p.remembered = map[string]*program{}, map[string]rememberedProgram{}
		p.others.name, p.names = otherPrograms, maxPrograms
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
// that are gone. ticks and memory are the whole CPU time and memory of the machine, to
// weigh one against the other; seconds is the time since the last look, unknown at the
// first.
func (p *programs) end(seconds, ticks, memory float64) {
	if math.IsNaN(seconds) {
		seconds = 0
	}
	p.weigh(seconds, ticks, memory)
	p.retire()
	p.name(seconds)
	for _, g := range p.order {
		if g.named {
			g.counters.add(&g.look.programCounters)
		} else {
			p.others.look.add(&g.look)
		}
	}
	p.others.counters.add(&p.others.look.programCounters)
	p.looks++
}

// weigh updates what the programs use.
func (p *programs) weigh(seconds, ticks, memory float64) {
	kept := math.Exp(-seconds / 60)
	for _, g := range p.order {
		share := float64(g.look.user+g.look.system)/max(ticks, 1) + float64(g.look.rss)/max(memory, 1)
		if seconds > 0 {
			share += float64(g.look.read+g.look.write) / seconds / fastDisk
		}
		if p.looks == 0 { // Nothing is known of the time before.
			g.use = share
		}
		g.use = kept*g.use + (1-kept)*share
		if g.look.processes > 0 {
			g.ran += seconds
		}
	}
}

// retire takes programs out of sight that have had no process for a while.
func (p *programs) retire() {
	unnamed := len(p.order) - p.named
	keep := p.order[:0]
	for _, g := range p.order {
		if g.look.processes > 0 {
			g.idle = 0
		} else {
			g.idle++
		}
		if g.idle == 0 || g.named && g.idle <= programLinger || !g.named && g.idle <= unnamedLinger && unnamed <= maxUnnamed {
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
	if !g.named {
		return
	}
	p.remembered[g.name] = rememberedProgram{g.counters, p.looks}
	g.named = false
	p.named--
	if len(p.remembered) <= maxRemembered {
		return
	}
	oldest := g.name
	for name, r := range p.remembered {
		if o := p.remembered[oldest]; r.look < o.look || r.look == o.look && name < oldest {
			oldest = name
		}
	}
	delete(p.remembered, oldest)
}

// name gives names to running programs that have none, first to those that use most.
// One that runs keeps its name, unless another uses far more; one that does not gives
// it up when another needs it.
func (p *programs) name(seconds float64) {
	p.names = min(p.names+seconds*namesPerHour/3600, maxPrograms)
	var waiting []*program
	for _, g := range p.order {
		if !g.named && g.look.processes > 0 && g.name != otherPrograms {
			waiting = append(waiting, g)
		}
	}
	slices.SortStableFunc(waiting, func(a, b *program) int { return cmp.Compare(b.use, a.use) })
	for _, g := range waiting {
		old, known := p.remembered[g.name]
		if !known && !p.deserves(g) || p.named == maxPrograms && !p.makeRoom(g) {
			continue
		}
		if !known {
			p.names--
		}
		delete(p.remembered, g.name)
		g.named, g.counters = true, old.programCounters
		p.named++
	}
}

// deserves reports whether a program may get a name that it never had.
func (p *programs) deserves(g *program) bool {
	if p.names > maxPrograms/2 || p.looks == 0 {
		return p.names >= 1
	}
	return p.names >= 1 && (g.ran >= longSeconds || g.use >= heavy)
}

// makeRoom takes back the name of a program without processes, the one that has had
// none for longest; else that of the one that uses least, if it is far less than what
// needs the name.
func (p *programs) makeRoom(need *program) bool {
	var gone, least *program
	for _, g := range p.order {
		switch {
		case !g.named:
		case g.idle > 0:
			if gone == nil || g.idle > gone.idle {
				gone = g
			}
		case least == nil || g.use < least.use:
			least = g
		}
	}
	if gone == nil && (least == nil || need.use < 2*least.use+heavy) {
		return false
	}
	p.forget(cmp.Or(gone, least))
	return true
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
