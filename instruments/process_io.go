package instruments

import (
	"cmp"
	"slices"
	"time"
)

// The kernel's account of a process' I/O takes in that of every child the process has
// waited for, with what those had taken in of theirs: a shell has what its commands
// wrote, and the first process what all orphans did. So a process is given only what
// its account has grown by, less what was already counted of the children that have
// ended meanwhile. What those did after they were last looked at is theirs too.
//
// What a child did that was never seen, because it came and went between two looks,
// cannot be told from its parent's own: it is counted once, as the parent's.

// processIO is a process' I/O, which is not read at every tick.
type processIO struct {
	known, denied bool
	at            time.Time
	// read and write are the kernel's account, own what of it is the process' own.
	read, write counter
	own         moved
	// readRate and writeRate are of its own, in bytes a second.
	readRate, writeRate float64
	// final is set when it was read after the process had ended, ended when it was found to
	// have ended since the table was read, settled when its parent was told.
	final, ended, settled bool
	// asked is its place in process.asked plus one, 0 where it was not read in this look.
	asked int32
	// children is nil while there are none to be found in the account.
	children *endedChildren
}

// endedChildren are the children of a process that its account has, or may have.
type endedChildren struct {
	// owed is what the account has of them and was counted as theirs, looks for how many
	// reads that has not been found in it.
	owed  moved
	looks int
	// pending are those that may be in it.
	pending []reaping
}

// reaping is a child that has ended: it is in its parent's account if the parent has
// waited for it, and not if the parent lets the kernel clear up (SIGCHLD ignored).
type reaping struct {
	child *processEntry
	moved
	// faults are the page faults that the child had at least: as many are new in the
	// parent's account of children's page faults once the child is. No process has none.
	faults uint64
	// orphan is set where its parent has ended too: another process has waited for it.
	orphan bool
	looks  int
}

const (
	// maxPending bounds the children of one process that are looked for.
	maxPending = 1024
	// pendingLooks is for how many looks one is: /proc is not read in one moment.
	pendingLooks = 2
	// maxAncestors bounds the way up the tree.
	maxAncestors = 64
	// owedTurns is for how many reads the account may lack what is owed.
	owedTurns = 60
	// maxDiskRate is more than any process can move, in bytes a second: an account that
	// grows faster is nonsense.
	maxDiskRate = 1 << 40
)

// asked is a process whose I/O was read in this look.
type asked struct {
	entry *processEntry
	raw   moved
	young bool
	// to is who gets what the process' account has grown by.
	to *processEntry
}

// EndedProcess is what a process did after it was last seen and before it ended.
type EndedProcess struct {
	PID   int
	Start uint64
	// ReadBytes and WriteBytes are what reached the disks in that time.
	ReadBytes, WriteBytes uint64
	// CPUSeconds is user and system time. PID is 0 in the sum of all processes that were
	// never seen.
	CPUSeconds float64
}

func (m *moved) add(o moved) { m.read += o.read; m.write += o.write }

// take takes as much as there is of another from both.
func (m *moved) take(o *moved) {
	r, w := min(m.read, o.read), min(m.write, o.write)
	m.read, m.write, o.read, o.write = m.read-r, m.write-w, o.read-r, o.write-w
}

// ask reads the I/O of a process if it is due. The counters of the kernel are
// cumulative: what is read late is not lost.
func (p *process) ask(table *processTable, e *processEntry, used usage) {
	busy := e.chosen || used.user+used.system > 0 || e.status == "blocked" || e.io.readRate > 0 || e.io.writeRate > 0
	due := busy || e.looks == 0 || e.status == "zombie" && !e.io.final || (uint64(e.pid)+p.looks)%ioTurn == 0
	if due && !e.io.denied {
		p.readIO(table, e, used.young, busy)
	}
}

// readIO reads the I/O of a process; settle finds out whose it is.
func (p *process) readIO(table *processTable, e *processEntry, young, busy bool) {
	raw, err := table.readIO(e, busy)
	switch {
	case err == nil && e.io.asked > 0:
		p.asked[e.io.asked-1].raw = raw
	case err == nil:
		e.io.ended, e.io.settled = false, false
		p.asked = append(p.asked, asked{entry: e, raw: raw, young: young, to: e})
		e.io.asked = int32(len(p.asked))
	case gone(err) && e.io.known:
		// It has ended since the table was read, so it may be in its parent's account by now.
		e.io.readRate, e.io.writeRate = unknown, unknown
		if !e.io.ended {
			e.io.ended = true
			table.ended = append(table.ended, e)
		}
	default:
		e.io = processIO{denied: denied(err), readRate: unknown, writeRate: unknown}
	}
}

// settle gives what was read to the processes that did it.
func (p *process) settle(table *processTable, seconds float64, r *ProcessTable) {
	p.miss(table)
	p.inherit(table)
	for i := 0; i < len(p.debtors); i++ { // More of them come up on the way.
		p.await(table, p.debtors[i])
	}
	now := table.host.Now()
	for i := range p.asked {
		p.count(&p.asked[i], now, seconds, r)
	}
	clear(p.asked)
	p.asked = p.asked[:0]
	clear(table.ended)
	table.ended = table.ended[:0]
	p.debtors = slices.DeleteFunc(p.debtors, func(e *processEntry) bool {
		c := e.io.children
		if c != nil && len(c.pending) == 0 && c.owed == (moved{}) {
			e.io.children = nil
		}
		return e.io.ended || e.io.children == nil
	})
}

// miss finds processes that have ended since the table was read and whose parents'
// accounts have them already: those have grown by as much at least.
func (p *process) miss(table *processTable) {
	var most moved
	for i := range p.asked {
		by := p.asked[i].grown()
		most = moved{max(most.read, by.read), max(most.write, by.write)}
	}
	if most == (moved{}) {
		return
	}
	for _, e := range table.entries {
		had := e.io.account()
		if had == (moved{}) || had.read > most.read || had.write > most.write || e.io.ended {
			continue
		}
		if parent := table.find(e.parent); parent != nil && parent.io.asked > 0 {
			if by := p.asked[parent.io.asked-1].grown(); had.read <= by.read && had.write <= by.write && !table.lives(e) {
				e.io.ended = true
				table.ended = append(table.ended, e)
			}
		}
	}
}

// grown is by how much an account is more than before.
func (a *asked) grown() (by moved) {
	if io := &a.entry.io; io.known {
		if a.raw.read != unknownCount && a.raw.read > io.read.last {
			by.read = a.raw.read - io.read.last
		}
		if a.raw.write != unknownCount && a.raw.write > io.write.last {
			by.write = a.raw.write - io.write.last
		}
	}
	return by
}

// inherit finds who waits for the processes that have ended.
func (p *process) inherit(table *processTable) {
	ended := table.ended
	slices.SortStableFunc(ended, func(a, b *processEntry) int { return cmp.Compare(a.pid, b.pid) })
	for _, e := range ended {
		if e.io.settled {
			continue // It was found to have ended before the table was read anew.
		}
		e.io.settled = true
		if e.io.account() == (moved{}) && e.io.children == nil {
			continue // It is here for those below it.
		}
		parent, orphan := table.parent(e, ended)
		if parent == nil {
			continue
		}
		p.owe(parent, reaping{child: e, moved: e.io.account(), faults: e.faults + e.childFaults, orphan: orphan})
		if c := e.io.children; c != nil {
			for _, r := range c.pending {
				p.owe(parent, r)
			}
			parent.io.children.owed.add(c.owed)
			e.io.children = nil
		}
	}
}

// parent is who waits for a process that has ended: its parent, or where that has ended
// too (an orphan) the next one up that lives.
func (t *processTable) parent(e *processEntry, ended []*processEntry) (parent *processEntry, orphan bool) {
	for range maxAncestors {
		pid := e.parent
		if living := t.find(pid); living != nil && !living.io.ended {
			return living, orphan
		}
		i, found := slices.BinarySearchFunc(ended, pid, func(e *processEntry, pid int) int { return cmp.Compare(e.pid, pid) })
		orphan = true
		if !found {
			break
		}
		e = ended[i]
	}
	return t.find(1), true // Orphans become children of the first process.
}

// owe has a process looked at for a child that has ended.
func (p *process) owe(e *processEntry, r reaping) {
	if e.io.children == nil {
		e.io.children = &endedChildren{}
	}
	if c := e.io.children; len(c.pending) < maxPending {
		c.pending = append(c.pending, r)
	}
	if !slices.Contains(p.debtors, e) {
		p.debtors = append(p.debtors, e)
	}
}

// await reads a process' account and finds out which of the children that have ended are
// in it. The account is read first: what is in it by then has ended by the time at which the
// children are looked at, and what has ended after that is found in it at the next look.
func (p *process) await(table *processTable, e *processEntry) {
	children := e.io.children
	if e.io.denied || e.io.ended || children == nil {
		return
	}
	p.readIO(table, e, false, true)
	e.childFaults = max(e.childFaults, table.reaped(e))
	for _, child := range table.entries {
		if child.parent == e.pid && child.io.account() != (moved{}) && !child.io.ended && !table.lives(child) {
			child.io.ended = true
			table.ended = append(table.ended, child)
		}
	}
	p.inherit(table)
	faults := e.childFaults - min(e.reaped, e.childFaults)
	var left moved // What the account has grown by and is nobody's yet.
	if e.io.asked > 0 {
		left = p.asked[e.io.asked-1].grown()
	}
	owed := children.owed
	left.take(&owed)
	var heir *processEntry
	var kept []reaping
	for _, orphans := range [...]bool{false, true} {
		for _, r := range children.pending {
			switch {
			case r.orphan != orphans:
			case r.faults <= faults && (!r.orphan || r.read <= left.read && r.write <= left.write):
				owed = r.moved
				left.take(&owed)
				children.owed.add(r.moved)
				children.looks = 0
				if !r.child.io.final && r.child.busier(heir) {
					heir = r.child
				}
			default:
				r.looks++
				kept = append(kept, r)
			}
		}
	}
	children.pending = nil
	for _, r := range kept {
		next := e
		if above := table.find(e.parent); r.orphan && above != nil {
			next = above
		}
		if r.looks <= pendingLooks || next != e {
			p.owe(next, r)
		}
	}
	// Who used no processor moved nothing.
	if e.io.asked > 0 && heir != nil && (e.cpu == 0 || heir.busier(e)) {
		p.asked[e.io.asked-1].to = heir
	}
}

// busier reports whether a process did more at the last look than another: I/O counts
// first, then CPU time.
func (e *processEntry) busier(than *processEntry) bool {
	if e == nil || than == nil {
		return e != nil
	}
	c := cmp.Compare(addKnown(addKnown(0, e.io.readRate), e.io.writeRate), addKnown(addKnown(0, than.io.readRate), than.io.writeRate))
	return cmp.Or(c, cmp.Compare(e.lastCPU(), than.lastCPU())) > 0
}

// lastCPU is the share of the machine at the look before this one.
func (e *processEntry) lastCPU() float64 {
	if e.io.settled {
		return e.cpu // It has not been looked at since.
	}
	return e.cpuBefore
}

// count takes what a process' account has grown by.
func (p *process) count(a *asked, now time.Time, seconds float64, r *ProcessTable) {
	e, raw := a.entry, a.raw
	io := &e.io
	passed := now.Sub(io.at).Seconds()
	io.asked, io.readRate, io.writeRate = 0, unknown, unknown
	if !io.known {
		if raw.read == unknownCount || raw.write == unknownCount {
			return
		}
		io.known, io.own, io.at = true, raw, now
		io.read.start(raw.read)
		io.write.start(raw.write)
		e.group.look.ioKnown = true
		if !a.young {
			io.children = nil // They are in what was there before.
			return
		}
		io.read, io.write, io.own, passed = counter{}, counter{}, moved{}, seconds
	}
	io.at, io.final = now, e.status == "zombie"
	var grown moved
	var readKnown, writeKnown bool
	grown.read, readKnown = plausible(&io.read, raw.read, passed)
	grown.write, writeKnown = plausible(&io.write, raw.write, passed)
	if c := io.children; c != nil {
		grown.take(&c.owed)
		if c.looks++; c.looks > owedTurns {
			c.owed = moved{}
		}
	}
	if a.to != e && grown != (moved{}) {
		a.to.io.own.add(grown)
		a.to.group.look.read += grown.read
		a.to.group.look.write += grown.write
		r.Ended = append(r.Ended, EndedProcess{PID: a.to.pid, Start: a.to.start, ReadBytes: grown.read, WriteBytes: grown.write})
		grown = moved{}
	}
	io.own.add(grown)
	e.group.look.read += grown.read
	e.group.look.write += grown.write
	if passed <= 0 {
		return
	}
	if readKnown {
		io.readRate = float64(grown.read) / passed
	}
	if writeKnown {
		io.writeRate = float64(grown.write) / passed
	}
}

// plausible is by how much an account has grown, as far as a process can do that.
func plausible(c *counter, now uint64, seconds float64) (by uint64, known bool) {
	by, known = c.grow(now)
	if float64(by) > maxDiskRate*max(seconds, 1) {
		return 0, false
	}
	return by, known
}

// account is the kernel's account of a process' I/O, as far as it was read.
func (io *processIO) account() moved { return moved{io.read.held(), io.write.held()} }
