package records

import (
	"hash/fnv"
	"math"
	"slices"
)

// aggregator adds up ticks in one open bucket per tier. Every tick goes into the
// finest; when a bucket closes, all of it (not only the rows of its record) goes
// into the next coarser one.
type aggregator struct {
	tiers   []Tier
	top     int
	live    map[liveKey]*process
	boot    string
	scan    uint64
	buckets []bucket
	// newest is the newest tick in milliseconds.
	newest int64
	// emit receives a complete record, whose rows are valid until the next one.
	emit  func(*record)
	out   record
	order []*process
}

// liveKey identifies a process within the present boot.
type liveKey struct {
	pid   int
	start uint64
}

// process is the state of a process while it runs or is part of an open bucket.
type process struct {
	row
	// scan is the last scan that found it.
	scan uint64
	// readBefore and writeBefore are its counters at the last scan that knew them.
	readBefore, writeBefore uint64
	counted                 bool
	// open are its sums in each tier's open bucket; seen is 0 where it is no
	// member.
	open []sums
}

// bucket is the open bucket of one tier.
type bucket struct {
	open               bool
	until, since, last int64
	frame
	members []*process
}

// maxMembers bounds the processes of a coarse bucket, because a fork storm makes
// hundreds a second. The least active become part of others; a quarter stays, so
// that this is rare.
const maxMembers = 4096

func newAggregator(tiers []Tier, top int, emit func(*record)) *aggregator {
	return &aggregator{tiers: tiers, top: top, live: map[liveKey]*process{}, buckets: make([]bucket, len(tiers)), emit: emit}
}

// advance closes the buckets that end before a tick.
func (a *aggregator) advance(tick int64) {
	for i := range a.buckets {
		if b := &a.buckets[i]; b.open && b.until != a.tiers[i].bucketEnd(tick) {
			a.close(i)
		}
	}
}

// add adds a tick, which must be later than all before.
func (a *aggregator) add(r *ProcessReading) {
	if r.BootID != a.boot {
		clear(a.live)
		a.boot = r.BootID
	}
	a.scan++
	tick, interval := r.Time.UnixMilli(), r.Interval.Milliseconds()
	if tick-interval > a.newest && math.IsNaN(r.HostCPUSeconds) {
		// After a gap: what was read and written during it does not belong to this
		// tick.
		for _, p := range a.live {
			p.counted = false
		}
	}
	a.newest = tick
	b := &a.buckets[0]
	b.enter(a.tiers[0].bucketEnd(tick), tick-interval, tick)
	f := frame{covered: interval, cpus: r.CPUs, memoryTotal: r.MemoryTotal >> 10}
	var attributed int64
	var known bool
	for i := range r.Rows {
		used, ok := a.addProcess(&r.Rows[i], interval)
		attributed += used
		known = known || ok
	}
	for i := range r.Ended {
		attributed += a.addEnded(&r.Ended[i], &f)
	}
	for i := range r.Short {
		attributed += a.addShort(&r.Short[i])
	}
	var whole bool
	f.vanished, whole = microseconds(r.Unattributed)
	host, ok := microseconds(r.HostCPUSeconds)
	f.partial = ok && !whole
	if !ok && known {
		// Without the total of the machine, the sum of its parts is used.
		host, ok = attributed+f.vanished, true
	}
	if ok {
		f.host, f.cpuCovered = host, interval
	}
	b.add(&f)
	for key, p := range a.live {
		// Short processes are added up for as long as a bucket has them.
		if p.scan != a.scan && (key.pid != 0 || !slices.ContainsFunc(p.open, func(s sums) bool { return s.seen > 0 })) {
			delete(a.live, key)
		}
	}
}

// addProcess adds one tick of a process to its sums, and returns its CPU time.
func (a *aggregator) addProcess(r *ProcessRow, interval int64) (cpu int64, known bool) {
	key := liveKey{r.PID, r.Start}
	p := a.live[key]
	first := p == nil
	if first {
		p = &process{row: row{identity: identity{a.boot, r.PID, r.Start}}, open: make([]sums, len(a.tiers))}
		a.live[key] = p
	}
	p.scan = a.scan
	p.describe(r)
	s := sums{seen: interval, peak: r.RSS >> 10}
	s.memory = s.peak * uint64(interval)
	s.cpu, s.cpuKnown = microseconds(r.CPUSeconds)
	if r.IOKnown {
		// A process younger than the tick did everything within it.
		if first && r.Young {
			p.readBefore, p.writeBefore, p.counted = 0, 0, true
		}
		if p.counted && r.ReadBytes >= p.readBefore && r.WriteBytes >= p.writeBefore {
			s.read, s.write, s.ioKnown = r.ReadBytes-p.readBefore, r.WriteBytes-p.writeBefore, true
		}
		p.readBefore, p.writeBefore, p.counted = r.ReadBytes, r.WriteBytes, true
	}
	if p.open[0].seen == 0 {
		a.buckets[0].members = append(a.buckets[0].members, p)
	}
	p.open[0].add(&s)
	return s.cpu, s.cpuKnown
}

// addEnded adds what a process did before it ended to its sums, to the others where it is
// not known, and returns its CPU time.
func (a *aggregator) addEnded(r *EndedProcess, f *frame) (cpu int64) {
	s := sums{seen: 1, read: r.ReadBytes, write: r.WriteBytes, ioKnown: r.ReadBytes+r.WriteBytes > 0}
	s.cpu, s.cpuKnown = microseconds(r.CPUSeconds)
	s.cpuKnown = s.cpuKnown && s.cpu > 0
	p := a.live[liveKey{r.PID, r.Start}]
	if p == nil {
		f.others.add(&s)
		return s.cpu
	}
	if p.open[0].seen == 0 {
		a.buckets[0].members = append(a.buckets[0].members, p)
	}
	p.open[0].add(&s)
	return s.cpu
}

// addShort adds processes that no tick had, and returns their CPU time.
func (a *aggregator) addShort(r *ShortProcesses) (cpu int64) {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(r.Program + "\x00" + r.Parent))
	key := liveKey{0, hash.Sum64() >> 1}
	p := a.live[key]
	if p == nil {
		p = &process{row: row{identity: identity{a.boot, key.pid, key.start}}, open: make([]sums, len(a.tiers))}
		a.live[key] = p
	}
	p.scan = a.scan
	p.describe(&ProcessRow{Name: r.Name, Program: r.Program, Status: "ended"})
	p.parent = plain(r.Parent, maxText)
	s := sums{seen: 1, peak: r.MemoryPeak >> 10, count: uint64(max(r.Count, 0))}
	s.cpu, s.cpuKnown = microseconds(r.CPUSeconds)
	if p.open[0].seen == 0 {
		a.buckets[0].members = append(a.buckets[0].members, p)
	}
	p.open[0].add(&s)
	return s.cpu
}

// describe copies the texts and states.
func (p *process) describe(r *ProcessRow) {
	for _, t := range [...]struct {
		kept *string
		now  string
		most int
	}{
		{&p.name, r.Name, maxText}, {&p.program, r.Program, maxText}, {&p.user, r.User, maxText}, {&p.status, r.Status, maxText},
	} {
		if *t.kept != t.now {
			*t.kept = plain(t.now, t.most)
		}
	}
	// The command line is known for the chosen rows only and kept after that.
	if r.CommandLine != "" && p.commandLine != r.CommandLine {
		p.commandLine = plain(r.CommandLine, maxCommandLine)
	}
	p.kernel, p.threads, p.started = r.Kernel, r.Threads, 0
	if !r.Started.IsZero() {
		p.started = r.Started.UnixMilli()
	}
}

// enter extends a bucket by a time span.
func (b *bucket) enter(until, since, last int64) {
	if !b.open {
		*b = bucket{open: true, until: until, since: since, last: last, members: b.members[:0]}
		return
	}
	b.since, b.last = min(b.since, since), max(b.last, last)
}

// close emits the record of a tier's open bucket, and adds the bucket to the next
// tier.
func (a *aggregator) close(i int) {
	b := &a.buckets[i]
	a.emit(a.record(i))
	if i+1 < len(a.buckets) {
		next := &a.buckets[i+1]
		if until := a.tiers[i+1].bucketEnd(b.until); next.open && next.until != until {
			a.close(i + 1)
		}
		next.enter(a.tiers[i+1].bucketEnd(b.until), b.since, b.last)
		next.add(&b.frame)
		for _, p := range b.members {
			if p.open[i+1].seen == 0 {
				next.members = append(next.members, p)
			}
			p.open[i+1].add(&p.open[i])
		}
		if len(next.members) > maxMembers {
			a.trim(i + 1)
		}
	}
	a.clear(i)
}

// clear empties a bucket.
func (a *aggregator) clear(i int) {
	b := &a.buckets[i]
	for _, p := range b.members {
		p.open[i] = sums{}
	}
	clear(b.members)
	*b = bucket{members: b.members[:0]}
}

// ranks are the criteria for rows: CPU time, memory over time, peak memory and I/O,
// over the time of the record, so that a spike of one second shows.
var ranks = [...]func(*sums) uint64{
	func(s *sums) uint64 { return uint64(max(s.cpu, 0)) },
	func(s *sums) uint64 { return s.memory },
	func(s *sums) uint64 { return s.peak },
	func(s *sums) uint64 { return s.moved() },
}

// choose moves the members that are among the first n by any rank to the front and
// returns their number. Members with a value of 0 are not chosen.
func (a *aggregator) choose(i, n int) int {
	members := a.buckets[i].members
	front := 0
	for _, rank := range ranks {
		// Chosen members take a place in this rank as well.
		a.order = append(a.order[:0], members...)
		top := topN(a.order, n, func(p *process) uint64 { return rank(&p.open[i]) })
		for _, p := range top {
			if at := slices.Index(members[front:], p); at >= 0 {
				members[front], members[front+at] = members[front+at], members[front]
				front++
			}
		}
	}
	clear(a.order)
	return front
}

// topN returns the n members with the highest values, without those of value 0,
// ties by PID. It reorders all.
func topN(all []*process, n int, value func(*process) uint64) []*process {
	top := all[:0]
	lowest := uint64(0)
	for _, p := range all {
		v := value(p)
		if v == 0 || len(top) == n && v < lowest {
			continue
		}
		at, _ := slices.BinarySearchFunc(top, p, func(q, p *process) int {
			if w := value(q); w != v {
				if w > v {
					return -1
				}
				return 1
			}
			return q.compare(p)
		})
		if at == n {
			continue
		}
		if len(top) < n {
			top = append(top, nil)
		}
		copy(top[at+1:], top[at:])
		top[at] = p
		lowest = value(top[len(top)-1])
	}
	return top
}

func (p *process) compare(q *process) int {
	switch {
	case p.pid != q.pid:
		return p.pid - q.pid
	case p.start < q.start:
		return -1
	case p.start > q.start:
		return 1
	}
	return 0
}

// record returns the record of a tier's open bucket.
func (a *aggregator) record(i int) *record {
	b := &a.buckets[i]
	n := a.choose(i, a.top)
	a.out = record{resolution: a.tiers[i].seconds(), until: b.until, since: b.since, last: b.last, frame: b.frame, rows: a.out.rows[:0]}
	for _, p := range b.members[:n] {
		r := p.row
		r.sums = p.open[i]
		a.out.rows = append(a.out.rows, r)
	}
	for _, p := range b.members[n:] {
		a.out.others.add(&p.open[i])
	}
	return &a.out
}

// trim moves the least active members of a bucket to its others.
func (a *aggregator) trim(i int) {
	b := &a.buckets[i]
	n := a.choose(i, maxMembers/4/len(ranks))
	for _, p := range b.members[n:] {
		b.others.add(&p.open[i])
		p.open[i] = sums{}
	}
	clear(b.members[n:])
	b.members = b.members[:n]
}

// restore adds a record from before the start to a tier's open bucket; known are
// the processes of earlier records.
func (a *aggregator) restore(i int, r *record, known map[identity]*process) {
	b := &a.buckets[i]
	b.enter(a.tiers[i].bucketEnd(r.until), r.since, r.last)
	b.add(&r.frame)
	for j := range r.rows {
		from := &r.rows[j]
		p := known[from.identity]
		if p == nil {
			p = &process{open: make([]sums, len(a.tiers))}
			known[from.identity] = p
		}
		had := p.open[i]
		p.row = *from
		p.sums = sums{}
		if had.seen == 0 {
			b.members = append(b.members, p)
		}
		p.open[i].add(&from.sums)
	}
}

// adopt makes the processes of restored records live, if they are of the present
// boot.
func (a *aggregator) adopt(boot string, known map[identity]*process) {
	a.boot = boot
	for id, p := range known {
		if id.boot == boot {
			a.live[liveKey{id.pid, id.start}] = p
		}
	}
}
