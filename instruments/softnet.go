package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
)

// Softnet is a reading of how each processor takes packets from the network.
type Softnet struct {
	misread

	CPUs []SoftnetCPU
}

// SoftnetCPU is one processor; a number above 2^63-1 is unknown.
type SoftnetCPU struct {
	// ID is the kernel's name: cpu0.
	ID string
	// Events are in the order of softnetEventNames.
	Events [softnetEventCount]uint64
	// Backlog is the number of packets that wait.
	Backlog uint64
}

const softnetEventCount = 6

// softnetEventNames are what is counted, with the columns of /proc/net/softnet_stat.
var softnetEventNames = [softnetEventCount]struct {
	name   string
	column int
}{{"processed", 0}, {"dropped", 1}, {"times_squeezed", 2}, {"cpu_collision", 8}, {"received_rps", 9}, {"flow_limit_count", 10}}

var (
	softnetCPUKey = Key{Name: "cpu", Semconv: "cpu.logical_number", Number: "cpu", Help: "logical processor: cpu0, cpu1, ..."}

	softnetEvents = &Metric{
		Name: "sysotel.softnet.events", Unit: "{event}", Kind: Counter, Integer: true,
		Keys: []Key{softnetCPUKey, {Name: "event", Help: "processed, dropped (the queue was full), times_squeezed (the time was up with packets left), cpu_collision, received_rps, flow_limit_count"}},
		Help: "Packets that each processor took from the network, and what went wrong.", Source: "/proc/1/net/softnet_stat; the kernel counts in 32 bits",
	}
	softnetBacklog = &Metric{
		Name: "sysotel.softnet.backlog", Unit: "{packet}", Kind: Gauge, Integer: true, Keys: []Key{softnetCPUKey},
		Help: "Packets that wait for each processor.", Source: "/proc/1/net/softnet_stat, since Linux 5.14",
	}
)

// softnet reads how packets are taken.
type softnet struct {
	file networkFile
	cpus map[int]*softnetState
	scan uint64
}

type softnetState struct {
	id     string
	counts ledger
	scan   uint64
}

func newSoftnet() Collector { return &softnet{cpus: map[int]*softnetState{}} }

func (*softnet) Name() string { return "softnet" }

func (*softnet) Metrics() []*Metric { return []*Metric{softnetEvents, softnetBacklog} }

func (s *softnet) Read(_ context.Context, h *Host, _ Tick) (Reading, error) {
	if !linux {
		return nil, ErrUnsupported
	}
	text, err := s.file.read(h, "softnet_stat")
	if errors.Is(err, fs.ErrNotExist) && !h.pidsOnly {
		return nil, ErrUnsupported // A kernel without a network.
	}
	if err != nil {
		return nil, err
	}
	r := &Softnet{CPUs: make([]SoftnetCPU, 0, len(s.cpus))}
	s.scan++
	var wrong error
	good := false
	for line := 0; len(text) > 0; line++ {
		var numbers []byte
		numbers, text, _ = bytes.Cut(text, []byte{'\n'})
		columns, known, err := parseSoftnet(numbers)
		number := line
		if columns >= softnetNumbered && known[softnetNumber] != unknownCount {
			number = int(known[softnetNumber])
		}
		if err != nil {
			wrong = err
			r.note("/proc/net/softnet_stat: line "+strconv.Itoa(line+1), err.Error())
		}
		if columns == 0 || number >= maxProcessors {
			continue
		}
		state := s.cpus[number]
		if state == nil {
			state = &softnetState{id: "cpu" + strconv.Itoa(number), counts: make(ledger, softnetEventCount)}
			s.cpus[number] = state
		}
		if state.scan == s.scan {
			r.note("/proc/net/softnet_stat: "+state.id, "is listed twice")
			continue
		}
		state.scan = s.scan
		cpu := SoftnetCPU{ID: state.id, Backlog: unknownCount}
		for i, event := range softnetEventNames {
			n := uint64(unknownCount)
			if event.column < columns {
				n = known[event.column]
			}
			good = good || isCount(n)
			cpu.Events[i] = state.counts.next(i, n)
		}
		if columns > softnetBacklogAt {
			cpu.Backlog = known[softnetBacklogAt]
		}
		r.CPUs = append(r.CPUs, cpu)
	}
	for number, state := range s.cpus {
		if state.scan != s.scan {
			delete(s.cpus, number) // Unplugged.
		}
	}
	if !good {
		if wrong == nil {
			wrong = errors.New("there is no line")
		}
		return nil, fmt.Errorf("parse /proc/net/softnet_stat: %w", wrong)
	}
	return r, nil
}

// Columns of /proc/net/softnet_stat (net/core/net-procfs.c): the length of the backlog,
// and the number of the processor, which older kernels lack.
const (
	softnetBacklogAt = 11
	softnetNumber    = 12
	softnetNumbered  = 13
	softnetColumns   = 16
)

// parseSoftnet reads a line of hexadecimal numbers and returns how many there are. One
// that cannot be read is unknownCount, and the error says of the first why.
func parseSoftnet(line []byte) (columns int, known [softnetColumns]uint64, err error) {
	for rest := line; columns < softnetColumns; columns++ {
		var word []byte
		if word, rest = cutWord(rest); len(word) == 0 {
			break
		}
		n, ok := parseHex(word)
		if known[columns] = n; !ok {
			known[columns] = unknownCount
			if err == nil {
				err = fmt.Errorf("column %d: %s", columns+1, notNumber(word))
			}
		}
	}
	return columns, known, err
}

// Report implements Reading.
func (s *Softnet) Report(o *Observer) {
	for i := range s.CPUs {
		cpu := &s.CPUs[i]
		for k, n := range cpu.Events {
			o.Uint(softnetEvents, n, cpu.ID, softnetEventNames[k].name)
		}
		o.Uint(softnetBacklog, cpu.Backlog, cpu.ID)
	}
}
