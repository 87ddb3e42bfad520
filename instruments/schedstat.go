package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Schedstat is a reading of what the scheduler counts for each processor.
type Schedstat struct {
	misread

	CPUs []SchedstatCPU
}

// SchedstatCPU is one processor. Times are in seconds and can be unknown; a count above
// 2^63-1 is.
type SchedstatCPU struct {
	// ID is the kernel's name: cpu0.
	ID string
	// Running is the time in which threads ran, Waiting that in which threads that could
	// run waited for this processor, summed over them.
	Running, Waiting float64
	// Timeslices counts how often a thread was given the processor.
	Timeslices uint64
}

var (
	schedstatRunning = &Metric{
		Name: "sysotel.schedstat.running.time", Unit: "s", Kind: Counter, Keys: []Key{softnetCPUKey},
		Help: "Time in which threads ran on each processor.", Source: "/proc/schedstat, seventh number of the lines cpuN",
	}
	schedstatWaiting = &Metric{
		Name: "sysotel.schedstat.waiting.time", Unit: "s", Kind: Counter, Keys: []Key{softnetCPUKey},
		Help: "Time that threads which could run waited for each processor, summed over them: the delay of its run queue.", Source: "/proc/schedstat, eighth number of the lines cpuN",
	}
	schedstatTimeslices = &Metric{
		Name: "sysotel.schedstat.timeslices", Unit: "{timeslice}", Kind: Counter, Integer: true, Keys: []Key{softnetCPUKey},
		Help: "How often a thread was given each processor.", Source: "/proc/schedstat, ninth number of the lines cpuN",
	}
)

// schedstat reads what the scheduler counts.
type schedstat struct {
	file *file
	cpus map[string]*schedstatState
	scan uint64
}

// schedstatState keeps running, waiting and timeslices of one processor.
type schedstatState struct {
	id     string
	counts ledger
	scan   uint64
}

func newSchedstat() Collector { return &schedstat{cpus: map[string]*schedstatState{}} }

func (*schedstat) Name() string { return "schedstat" }

func (*schedstat) Metrics() []*Metric {
	return []*Metric{schedstatRunning, schedstatWaiting, schedstatTimeslices}
}

func (s *schedstat) Read(_ context.Context, h *Host, _ Tick) (Reading, error) {
	if !linux {
		return nil, ErrUnsupported
	}
	if s.file == nil {
		s.file = h.open("proc/schedstat")
	}
	text, err := s.file.read()
	if errors.Is(err, fs.ErrNotExist) && !h.pidsOnly {
		return nil, ErrUnsupported // A kernel without CONFIG_SCHEDSTATS.
	}
	if err != nil {
		return nil, err
	}
	r := &Schedstat{CPUs: make([]SchedstatCPU, 0, len(s.cpus))}
	s.scan++
	good := false
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, rest := cutWord(line)
		if !bytes.HasPrefix(name, []byte("cpu")) {
			continue
		}
		if number, ok := parseUint(name[3:]); !ok || number >= maxProcessors {
			r.note("/proc/schedstat: a line of a processor", quoted(name)+" is not the name of one")
			continue
		}
		state := s.cpus[string(name)]
		if state == nil {
			state = &schedstatState{id: string(name), counts: make(ledger, 3)}
			s.cpus[state.id] = state
		}
		if state.scan == s.scan {
			r.note("/proc/schedstat: "+state.id, "is listed twice")
			continue
		}
		state.scan = s.scan
		numbers, err := parseSchedstat(rest)
		if err != nil {
			r.note("/proc/schedstat: "+state.id, err.Error())
		}
		var told [3]uint64
		for i, n := range numbers {
			good = good || isCount(n)
			told[i] = state.counts.next(i, n)
		}
		r.CPUs = append(r.CPUs, SchedstatCPU{state.id, secondsOf(told[0]), secondsOf(told[1]), told[2]})
	}
	for name, state := range s.cpus {
		if state.scan != s.scan {
			delete(s.cpus, name) // Unplugged.
		}
	}
	if !good {
		return nil, fmt.Errorf("parse /proc/schedstat: no line can be read: %v", r.Missing())
	}
	return r, nil
}

// secondsOf is a count of nanoseconds in seconds.
func secondsOf(n uint64) float64 {
	if !isCount(n) {
		return unknown
	}
	return float64(n) / 1e9
}

// parseSchedstat reads the seventh to ninth number of a line
// (Documentation/scheduler/sched-stats.rst): the time threads ran and waited, in
// nanoseconds, and the timeslices. One that cannot be read is unknownCount, and the error
// says of the first why.
func parseSchedstat(rest []byte) (numbers [3]uint64, err error) {
	for i := range 9 {
		var word []byte
		word, rest = cutWord(rest)
		if i < 6 {
			continue
		}
		n, ok := countOf(word)
		if numbers[i-6] = n; !ok && err == nil {
			err = fmt.Errorf("number %d: %s", i+1, notNumber(word))
		}
	}
	return numbers, err
}

// Report implements Reading.
func (s *Schedstat) Report(o *Observer) {
	for i := range s.CPUs {
		cpu := &s.CPUs[i]
		o.Float(schedstatRunning, cpu.Running, cpu.ID)
		o.Float(schedstatWaiting, cpu.Waiting, cpu.ID)
		o.Uint(schedstatTimeslices, cpu.Timeslices, cpu.ID)
	}
}
