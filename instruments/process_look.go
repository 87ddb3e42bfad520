package instruments

import (
	"math"

	"sysotel/instruments/scrub"
)

const (
	// ioTurn is the number of looks within which the I/O of every process is
	// read once; those that do something are read at every look.
	ioTurn = 10
	// nameTurn is the number of looks within which the name and owner of every
	// process that has run are read again: both can change without a trace in /proc/PID/stat.
	nameTurn = 64
	// memoryTurn is the number of looks after which the machine's memory is
	// read again: it changes where memory is plugged in.
	memoryTurn = 64
	// maxCarry is how much of a negative remainder of unattributed CPU time is
	// kept, in seconds for each processor. It evens out what the granularity of
	// the kernel's accounts (10 ms) moves between ticks; what is more has
	// another cause, and must not hide the next storm of short processes.
	maxCarry = 1
)

// look compares every process with what it was at the look before, seconds ago; halved is
// the tick's.
func (p *process) look(table *processTable, seconds float64, logical, halved int) *ProcessTable {
	p.programs.most = p.names
	p.programs.begin()
	r := &ProcessTable{Logical: logical, MemoryTotal: p.memory, Hidden: table.hidden, Elapsed: seconds, Busy: unknown, pids: p.pids, misread: table.odd}
	whole := seconds * float64(logical) * cpuTicks
	for _, e := range table.entries {
		p.name(table, e)
		used := p.account(e, whole, table.clock)
		e.cpuBefore, e.cpu, e.young = e.cpu, unknown, used.young
		if used.known {
			e.cpu = float64(used.user+used.system) / whole
		}
		d := programLook{
			processes: 1, threads: e.threads, rss: e.rss, virtual: e.virtual,
			programCounters: programCounters{user: used.user, system: used.system},
		}
		p.ask(table, e, used)
		d.ioKnown = e.io.known
		if e.io.denied {
			r.Denied++
		}
		e.group.look.add(&d)
		e.looks++
	}
	p.departed = append(p.departed[:0], table.ended...)
	p.settle(table, seconds, r)
	p.hear(table, seconds, whole, r)
	table.renameOwners()
	p.choose(table.entries)
	p.programs.end(seconds, max(whole, 1), float64(p.memory), halved)
	r.folded, r.full = p.programs.folded, p.programs.named >= p.programs.limit(halved)
	r.Programs = p.programs.report(seconds, logical, p.memory)
	r.All = make([]Process, len(table.entries))
	for i, e := range table.entries {
		p.row(table, e, &r.All[i])
		e.reaped = e.childFaults
	}
	return r
}

// name finds out what an entry runs and for whom: at first sight, when the
// kernel's name has changed, at the second sight of a process that was just
// made (it may not have become its program yet), and now and then.
func (p *process) name(table *processTable, e *processEntry) {
	young := e.looks == 1 && p.looks > 1
	due := e.moved && !e.kernel && (uint64(e.pid)+p.looks)%nameTurn == 0
	if e.looks > 0 && !e.renamed && !young && !due {
		return
	}
	e.moved = false
	id := table.identify(e)
	if len(id.arguments) == 0 && !e.kernel && e.looks > 0 && !e.renamed {
		return // It has ended: a zombie keeps the name that it had.
	}
	e.name = processName(e.comm, id.arguments, e.kernel)
	if program := programName(e.comm, id.arguments, e.kernel); e.group == nil || program != e.program {
		e.program, e.group = program, p.programs.of(program)
	}
	e.owner = id.owner
	e.commandKnown, e.renamed, e.io.denied = false, false, false
}

// usage is the CPU time of a process since the last look.
type usage struct {
	user, system uint64
	// known is false where there is nothing to compare with; young is true for
	// a process that started since the last look: all it used, it used since.
	known, young bool
}

// account takes the difference of a process' CPU time; whole is what all processors have
// in the time since the last look, more than which no process can use, and clock is
// when this look is.
func (p *process) account(e *processEntry, whole float64, clock uint64) usage {
	var u usage
	switch {
	case e.noTimes:
		return u
	case e.looks > 0:
		var known bool
		u.user, u.known = e.userBefore.grow(e.user)
		u.system, known = e.systemBefore.grow(e.system)
		u.known = u.known && known
	default:
		if p.looks > 0 && e.start >= p.clock && e.start <= max(clock, clock+cpuTicks) { // Not later than this look.
			u = usage{user: e.user, system: e.system, known: true, young: true}
		}
		e.userBefore.start(e.user)
		e.systemBefore.start(e.system)
	}
	// A quarter and ten ticks more: processes are not read all at once.
	if float64(u.user)+float64(u.system) > 1.25*whole+10 {
		u = usage{young: u.young}
	}
	return u
}

// choose marks the top processes by CPU, by memory and by I/O. Those that use
// nothing are not chosen for it.
func (p *process) choose(entries []*processEntry) {
	for _, e := range entries {
		e.chosen = false
	}
	top := make([]ranked, 0, p.top)
	for _, of := range [...]func(*processEntry) float64{
		func(e *processEntry) float64 { return e.cpu },
		func(e *processEntry) float64 { return float64(e.rss) },
		func(e *processEntry) float64 { return e.io.readRate + e.io.writeRate },
	} {
		top = top[:0]
		for _, e := range entries {
			if v := of(e); v > 0 && (len(top) < p.top || v > top[len(top)-1].value) {
				top = insertRanked(top, ranked{v, e}, p.top)
			}
		}
		for _, r := range top {
			r.entry.chosen = true
		}
	}
}

type ranked struct {
	value float64
	entry *processEntry
}

// insertRanked puts r in its place in a falling list of at most n. Equal values
// stay in the order in which they came, which is that of PIDs.
func insertRanked(top []ranked, r ranked, n int) []ranked {
	if len(top) < n {
		top = append(top, r)
	} else {
		top[len(top)-1] = r
	}
	for i := len(top) - 1; i > 0 && top[i-1].value < r.value; i-- {
		top[i-1], top[i] = top[i], top[i-1]
	}
	return top
}

// row fills in a row of the reading.
func (p *process) row(table *processTable, e *processEntry, row *Process) {
	*row = Process{
		PID: e.pid, ParentPID: e.parent, Name: e.name, Program: e.program, User: e.owner,
		Status: e.status, Kernel: e.kernel, CPU: e.cpu, CPUSeconds: float64(e.userBefore.held()+e.systemBefore.held()) / cpuTicks,
		MemoryRSS: e.rss, Virtual: e.virtual, Memory: ratio(float64(e.rss), float64(p.memory)), Threads: e.threads,
		ReadBytesPerSecond: e.io.readRate, WriteBytesPerSecond: e.io.writeRate,
		ReadBytes: e.io.own.read, WriteBytes: e.io.own.write, IOKnown: e.io.known,
		Started: startTime(table.boot, e.start), Start: e.start, Young: e.young, Chosen: e.chosen,
	}
	if e.noTimes {
		row.CPUSeconds = unknown
	}
	if p.commandLine && e.chosen {
		if !e.commandKnown {
			// Secrets are masked before the line is kept, exported or shown.
			e.commandLine, e.commandKnown = joinArguments(scrub.CommandLine(table.arguments(e), p.scrub)), true
		}
		row.CommandLine = e.commandLine
	}
}

// balance returns the CPU time that no process accounts for, as a share of all
// processors in the last tick and in seconds since the first look, and the
// seconds of CPU time that the machine used in the last tick.
func (p *process) balance(host shares, seconds float64, logical int) (share, total, busy float64) {
	if p.looks == 0 || !host.known() {
		return unknown, p.lost, unknown
	}
	user, nice, system := host.states[stateUser], host.states[stateNice], host.states[stateSystem]
	left := (user+nice+system)/userHZ - p.programs.used() + p.carry
	if math.IsNaN(left) {
		return unknown, p.lost, unknown
	}
	p.carry = max(min(left, 0), -maxCarry*float64(logical))
	left = max(left, 0)
	p.lost += left
	busy = host.busy / userHZ
	if math.IsNaN(seconds) {
		busy = unknown
	}
	return left / seconds / float64(logical), p.lost, busy
}
