package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// userHZ is the unit of time in /proc/stat and /proc/PID/stat: the kernel gives
// every program 100 ticks a second on all architectures that Go runs on
// (include/asm-generic/param.h).
const userHZ = 100

// procStat is /proc/stat, proc_stat(5).
type procStat struct {
	// total is the line of all processors, which older and odd views have alone.
	total stateTicks
	cores []coreTime
	// What follows is unknownCount, and boot 0, where it could not be read.
	created, switches, running, blocked uint64
	boot                                int64
	interrupts                          uint64
	softirqs                            [softirqs]uint64
	// at is when the file was read, and took how long that was.
	at   time.Time
	took time.Duration
	// odd is what of the processors could not be read, oddKernel what of interrupts and
	// tasks, oddCounts what of the rest.
	odd, oddCounts, oddKernel misread
}

type coreTime struct {
	id    string
	ticks stateTicks
	// guest and guestNice are parts of user and nice.
	guest, guestNice uint64
}

// parseStat reads the text of /proc/stat. Cores reuse the names of before, so
// that a tick makes no new strings. It is an error only if nothing can be read.
func parseStat(text []byte, before []coreTime) (*procStat, error) {
	s := &procStat{
		cores: make([]coreTime, 0, len(before)), total: noTicks,
		created: unknownCount, switches: unknownCount, running: unknownCount, blocked: unknownCount,
		interrupts: unknownCount,
	}
	for i := range s.softirqs {
		s.softirqs[i] = unknownCount
	}
	good, last := false, -1
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, rest, _ := bytes.Cut(line, []byte{' '})
		if bytes.HasPrefix(name, []byte("cpu")) {
			if len(name) == 3 {
				total, odd := parseStates(rest, maxTicks*maxProcessors)
				if s.total != noTicks {
					s.odd.note("/proc/stat: cpu", "is listed twice")
					continue
				}
				if odd.field != "" {
					s.odd.note("/proc/stat: cpu, "+odd.field, odd.reason)
				}
				s.total, good = total, good || total != noTicks
				continue
			}
			number, ok := parseUint(name[3:])
			if !ok || number >= maxProcessors {
				s.odd.note("/proc/stat: a line of a processor", quoted(name)+" is not the name of one")
				continue
			}
			id := ""
			if i := len(s.cores); i < len(before) && before[i].id == string(name) {
				id = before[i].id
			} else {
				id = string(name)
			}
			if int(number) <= last && slices.ContainsFunc(s.cores, func(c coreTime) bool { return c.id == id }) {
				s.odd.note("/proc/stat: "+id, "is listed twice")
				continue
			}
			last = max(last, int(number))
			states, odd := parseStates(rest, maxTicks)
			if odd.field != "" {
				s.odd.note("/proc/stat: "+id+", "+odd.field, odd.reason)
			}
			core := coreTime{id: id, ticks: states}
			core.guest, core.guestNice = parseGuest(rest)
			s.cores, good = append(s.cores, core), good || states != noTicks
			continue
		}
		var to *uint64
		var boot uint64
		odd := &s.oddCounts
		switch string(name) {
		case "softirq":
			good = s.parseSoftirqs(rest) || good
			continue
		case "intr": // The sum, and then hundreds of its parts.
			to, odd = &s.interrupts, &s.oddKernel
		case "ctxt":
			to = &s.switches
		case "btime":
			to = &boot
		case "processes":
			to = &s.created
		case "procs_running":
			to, odd = &s.running, &s.oddKernel
		case "procs_blocked":
			to, odd = &s.blocked, &s.oddKernel
		default:
			continue
		}
		word, _ := cutWord(rest)
		n, ok := parseUint(word)
		if !ok || n > math.MaxInt64 {
			odd.note("/proc/stat: "+string(name), notNumber(word))
			continue
		}
		*to, good = n, true
		if to == &boot {
			s.boot = int64(boot)
		}
	}
	if !good {
		return nil, errors.New("no line can be read, cpu0 as little as btime")
	}
	return s, nil
}

// parseGuest reads what guests took of a line's user and nice time, unknownCount where it
// is not told.
func parseGuest(rest []byte) (guest, nice uint64) {
	var word []byte
	for range cpuStates {
		_, rest = cutWord(rest)
	}
	of := func() uint64 {
		word, rest = cutWord(rest)
		if n, ok := parseUint(word); ok && n <= maxTicks {
			return n
		}
		return unknownCount
	}
	return of(), of()
}

// parseSoftirqs reads the line softirq: the sum, and then each kind. It reports whether
// any could be read.
func (s *procStat) parseSoftirqs(rest []byte) (good bool) {
	_, rest = cutWord(rest)
	for i := range s.softirqs {
		var word []byte
		if word, rest = cutWord(rest); len(word) == 0 {
			break // Older kernels have fewer kinds.
		}
		n, ok := countOf(word)
		if !ok {
			s.oddKernel.note("/proc/stat: softirq "+softirqKinds[i], notNumber(word))
		}
		s.softirqs[i], good = n, good || ok
	}
	return good
}

// maxProcessors bounds the numbers of processors; Linux has 8192 at most (NR_CPUS).
const maxProcessors = 1 << 16

var noTicks = stateTicks{
	unknownCount, unknownCount, unknownCount, unknownCount, unknownCount, unknownCount, unknownCount, unknownCount,
}

// oddField is the first of a line's fields that could not be read.
type oddField struct{ field, reason string }

// parseStates reads the times of a line, each at most as given. One that cannot be read
// is unknown by itself.
func parseStates(b []byte, most uint64) (stateTicks, oddField) {
	var n stateTicks
	var odd oddField
	for i := range n {
		var word []byte
		word, b = cutWord(b)
		if len(word) == 0 && i > stateIdle {
			break // Kernels before 2.6.11 have fewer states: 0.
		}
		var ok bool
		if n[i], ok = parseUint(word); ok && n[i] <= most {
			continue
		}
		n[i] = unknownCount
		if odd.field == "" {
			odd = oddField{stateNames[i], notNumber(word)}
		}
	}
	if n[stateUser] == unknownCount && n[stateNice] == unknownCount && n[stateSystem] == unknownCount && n[stateIdle] == unknownCount {
		return noTicks, odd
	}
	return n, odd
}

// stateNames are the columns of /proc/stat.
var stateNames = [cpuStates]string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}

// parseUint reads decimal digits without making a string.
func parseUint(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		digit := uint64(c - '0')
		if n > (math.MaxUint64-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}

// cutWord returns the first word of b and what follows it; words are divided by spaces.
func cutWord(b []byte) (word, rest []byte) {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for i, c := range b {
		if c == ' ' || c == '\t' {
			return b[:i], b[i:]
		}
	}
	return b, nil
}

// firstNumber is the first number of a line, 0 where there is none.
func firstNumber(b []byte) uint64 {
	word, _ := cutWord(b)
	n, _ := parseUint(word)
	return n
}

// procStat returns /proc/stat as it was when the tick's first collector asked for it.
func (h *Host) procStat(_ context.Context, t Tick) (*procStat, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stat != nil && h.tick == t.Seq {
		return h.stat, nil
	}
	var before []coreTime
	if h.stat != nil {
		before = h.stat.cores
	}
	began := h.Now()
	text, err := h.statFile.read()
	if err != nil {
		return nil, err
	}
	at := h.Now()
	s, err := parseStat(text, before)
	if err != nil {
		return nil, fmt.Errorf("parse /proc/stat: %w", err)
	}
	s.at, s.took = at, at.Sub(began)
	h.stat, h.tick = s, t.Seq
	return s, nil
}

// processorCount is how many processors are online, maxProcessors where that is not known.
func (h *Host) processorCount(ctx context.Context, t Tick) int {
	if s, err := h.procStat(ctx, t); err == nil && len(s.cores) > 0 {
		return len(s.cores)
	}
	return maxProcessors
}
