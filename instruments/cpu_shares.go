package instruments

import (
	"math"
	"slices"
	"time"
)

// cpuStates is the number of states of a processor that are told apart.
const cpuStates = 8

// The states in the order of /proc/stat, proc_stat(5).
const (
	stateUser = iota
	stateNice
	stateSystem
	stateIdle
	stateWait
	stateInterrupt
	stateSoftIRQ
	stateSteal
)

// stateTicks is the time that a processor spent in each state since boot, in whole
// ticks of userHZ; unknownCount where it could not be read.
type stateTicks [cpuStates]uint64

// maxTicks is a hundred years: no machine has run so long. Times above it are what an
// unsigned counter shows after it fell below 0 (steal after a live migration), or
// what a container is shown by mistake.
const maxTicks = 100 * 365 * 24 * 3600 * userHZ

// seconds are the ticks as times.
func (s stateTicks) seconds() CPUStates {
	var v [cpuStates]float64
	for i, ticks := range s {
		v[i] = unknown
		if ticks <= maxTicks {
			v[i] = float64(ticks) / userHZ
		}
	}
	return statesOf(v)
}

func statesOf(v [cpuStates]float64) CPUStates {
	return CPUStates{
		User: v[stateUser], Nice: v[stateNice], System: v[stateSystem], Idle: v[stateIdle], Wait: v[stateWait],
		Interrupt: v[stateInterrupt], SoftIRQ: v[stateSoftIRQ], Steal: v[stateSteal],
	}
}

// held returns the counters to report after before. It is counter's rule for states that
// are parts of one time: none falls, because the kernel
// corrects idle and iowait (proc_stat(5)) and a hypervisor its steal. Where idle and
// work fell together the processor counts anew (a restored machine), and so do these.
func (s stateTicks) held(before stateTicks) stateTicks {
	if before.fell(s, stateIdle) && (before.fell(s, stateUser) || before.fell(s, stateSystem)) {
		return s
	}
	for i, ticks := range before {
		switch {
		case s[i] == unknownCount:
			s[i] = ticks
		case ticks != unknownCount:
			s[i] = max(s[i], ticks)
		}
	}
	return s
}

// fell reports whether a state that is known both times is less in now.
func (s stateTicks) fell(now stateTicks, state int) bool {
	return s[state] != unknownCount && now[state] < s[state]
}

// cpuSpan is what passed between two readings of /proc/stat by the clock, in ticks.
type cpuSpan struct {
	// elapsed is the time between the readings, unknown where it says nothing.
	elapsed float64
	// slack is by how much the states can disagree with the clock.
	slack float64
}

// times is the span for n processors together.
func (s cpuSpan) times(n int) cpuSpan { return cpuSpan{s.elapsed * float64(n), s.slack * float64(n)} }

// The states of a processor add up to the time that passed, up to a tick for each
// state that changes and what lies between the kernel's look at its clock and ours.
// Hypervisors, tickless kernels and containers miss by more than that for a while or
// for good: then the clock is right, and not the sum.
const (
	slackShare = 0.1
	slackTicks = 5
)

// newCPUSpan is the span of seconds between two readings, each of which took a while.
func newCPUSpan(seconds float64, took, tookBefore time.Duration) cpuSpan {
	elapsed := seconds * userHZ
	return cpuSpan{elapsed, slackShare*elapsed + slackTicks + (took+tookBefore).Seconds()*userHZ}
}

// shares is what a processor, or several together, did between two readings.
type shares struct {
	// states are the ticks spent in each state, busy those in all but idle and iowait;
	// unknown where the difference says nothing.
	states [cpuStates]float64
	busy   float64
	// whole is what both are parts of.
	whole float64
}

var noShares = shares{
	states: [cpuStates]float64{unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown},
	busy:   unknown, whole: unknown,
}

func (s shares) known() bool { return !math.IsNaN(s.busy) }

// since compares two readings. Where the differences add up to the time that passed
// they are shares of their own sum. Where they do not (idle went back, stands still,
// or jumped by what it had missed) they are shares of that time, and what
// cannot be is unknown: a state that fell by more than a correction, or that took
// longer than the tick.
func (s stateTicks) since(before stateTicks, span cpuSpan) shares {
	if math.IsNaN(span.elapsed) || before.fell(s, stateIdle) && (before.fell(s, stateUser) || before.fell(s, stateSystem)) {
		return noShares
	}
	r := shares{whole: span.elapsed}
	sum, lost := 0.0, false
	for i := range s {
		r.states[i] = difference(s[i], before[i], span)
		switch {
		case !math.IsNaN(r.states[i]):
			sum += r.states[i]
		case i != stateIdle && i != stateWait && i != stateSteal:
			lost = true
		}
	}
	idle, wait := r.states[stateIdle], r.states[stateWait]
	if !lost && math.Abs(sum-span.elapsed) <= span.slack {
		r.whole, r.busy = sum, sum-orZero(idle)-orZero(wait)
		return r
	}
	r.busy = sum - orZero(idle) - orZero(wait)
	if lost {
		// Work that is not known is what idle and waiting leave of the tick. Where
		// they say nothing they can stand still.
		if r.busy = max(r.busy, span.elapsed-idle-wait); !(idle+wait > span.slack) {
			r.busy = unknown
		}
	}
	if sum > span.elapsed+span.slack && r.busy > span.elapsed+span.slack {
		return noShares // It is about more processors than are counted.
	}
	if !(r.busy <= span.elapsed+span.slack) {
		r.busy, r.states[stateIdle], r.states[stateWait] = unknown, unknown, unknown
		for i, v := range r.states {
			r.states[i] = min(v, r.whole)
		}
		return r
	}
	r.whole = max(span.elapsed, r.busy)
	// What was not work was idle, but for a steal that is not known.
	r.states[stateWait] = min(wait, r.whole-r.busy)
	r.states[stateIdle] = r.whole - r.busy - r.states[stateWait]
	if math.IsNaN(r.states[stateSteal]) {
		r.states[stateIdle] = unknown
	}
	return r
}

// difference is by how much a state grew, unknown where that cannot be.
func difference(now, before uint64, span cpuSpan) float64 {
	switch {
	case now == unknownCount || before == unknownCount:
		return unknown
	case now >= before:
		if d := float64(now - before); d <= span.elapsed+span.slack {
			return d
		}
	case float64(before-now) <= span.slack:
		return 0 // A correction.
	}
	return unknown
}

func orZero(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// add adds another processor's shares and counts those that know each state. What is
// unknown of one is unknown of all, unless gone is set: then the sum goes on without it.
func (s *shares) add(o *shares, known *[cpuStates]int, gone bool) {
	for i, v := range o.states {
		if !gone || !math.IsNaN(v) {
			s.states[i] += v
			known[i]++
		}
	}
	s.busy += o.busy
	s.whole += o.whole
}

// of are the shares of each state and of all work, 0 to 1.
func (s shares) of() (states CPUStates, busy float64) {
	for i := range s.states {
		s.states[i] = ratio(s.states[i], s.whole)
	}
	return statesOf(s.states), ratio(s.busy, s.whole)
}

// processors compares each processor with the reading before. The zero value has none.
type processors struct {
	cores map[string]*processor
	total stateTicks
	// count is the newest known number of processors.
	count int
	span  span
	took  time.Duration
	scan  uint64
	began bool
	// switches is the number of context switches, by which a file shows that it lives.
	switches uint64
	// gone are those that the total goes on without, partly those whose unknown states
	// it goes on without, in no order.
	gone, partly []string
}

// processor is what is kept of one processor.
type processor struct {
	ticks, counted stateTicks
	shares         shares
	// outage is of all, part of some of its states.
	outage, part outage
	scan         uint64
}

// reported are the counters; a state that cannot be read is unknown.
func (c *processor) reported() CPUStates {
	shown := c.counted
	for i, ticks := range c.ticks {
		if ticks == unknownCount {
			shown[i] = unknownCount
		}
	}
	return shown.seconds()
}

// next compares a reading with the one before. An unplugged processor is forgotten and
// leaves a gap in the numbers, and one that appears has no difference yet.
func (p *processors) next(s *procStat, interval time.Duration) (total shares) {
	if p.cores == nil {
		p.cores = make(map[string]*processor, len(s.cores))
	}
	seconds := p.span.next(s.at, interval)
	passed := newCPUSpan(seconds, s.took, p.took)
	p.took = s.took
	p.scan++
	p.gone, p.partly = p.gone[:0], p.partly[:0]
	if !p.lives(s) {
		// Not even the kernel's own count moved: this is no second of rest.
		passed.elapsed = unknown
	}
	compared, appeared, failing := 0, 0, 0
	var known [cpuStates]int
	for i := range s.cores {
		core := &s.cores[i]
		c := p.cores[core.id]
		if c == nil {
			c = &processor{counted: core.ticks, shares: noShares}
			p.cores[core.id] = c
			appeared++
		} else {
			c.counted = core.ticks.held(c.counted)
			c.shares = core.ticks.since(c.ticks, passed)
			switch {
			case c.shares.known():
				c.outage.ends()
				compared++
				gone := p.lacks(core.id, c, s.at)
				total.add(&c.shares, &known, gone)
			case c.outage.fails(s.at):
				p.gone = append(p.gone, core.id)
			default:
				failing++
			}
		}
		c.ticks, c.scan = core.ticks, p.scan
	}
	if len(p.cores) > len(s.cores) {
		for id, c := range p.cores {
			if c.scan != p.scan {
				delete(p.cores, id)
			}
		}
	}
	// The line of all processors is their sum; it stands in for one that cannot be
	// told, and where there is no other.
	if len(s.cores) > 0 {
		p.count = len(s.cores)
	}
	for i, n := range known {
		if n == 0 {
			total.states[i] = unknown
		}
	}
	if compared == 0 || failing+len(p.gone) > 0 {
		line := noShares
		if p.began && appeared == 0 {
			line = s.total.since(p.total, passed.times(p.number(s, passed)))
		}
		if line.known() || compared == 0 || failing > 0 {
			total = line
		}
	}
	p.total, p.switches, p.began = s.total, s.switches, true
	return total
}

// lacks reports whether the total goes on without the states that are unknown of a
// processor.
func (p *processors) lacks(id string, c *processor, now time.Time) (gone bool) {
	sum := 0.0
	for _, v := range c.shares.states {
		sum += v
	}
	if !math.IsNaN(sum) {
		c.part.ends()
		return false
	}
	if gone = c.part.fails(now); gone {
		p.partly = append(p.partly, id)
	}
	return gone
}

// number is how many processors the line of all is about. Where no other line has told,
// it is as many as were busy and idle together in the time that passed, 0 where they
// do not say.
func (p *processors) number(s *procStat, passed cpuSpan) int {
	if p.count > 0 {
		return p.count
	}
	sum := 0.0
	for i, now := range s.total {
		if now != unknownCount && p.total[i] != unknownCount && now >= p.total[i] {
			sum += float64(now - p.total[i])
		}
	}
	n := math.Round(sum / passed.elapsed)
	if n >= 1 && n <= maxProcessors && math.Abs(sum-n*passed.elapsed) <= n*passed.slack {
		return int(n)
	}
	return 0
}

// lives reports whether anything moved since the reading before. A copy of the file, or a
// view that no longer follows, says nothing of what the processors do.
func (p *processors) lives(s *procStat) bool {
	if s.switches != p.switches || s.total != p.total || len(s.cores) != len(p.cores) {
		return true
	}
	return slices.ContainsFunc(s.cores, func(core coreTime) bool {
		c := p.cores[core.id]
		return c == nil || c.ticks != core.ticks
	})
}
