package instruments

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"
)

// userHZ is the unit of time in /proc/stat and /proc/PID/stat: the kernel gives
// every program 100 ticks a second on all architectures that Go runs on
// (include/asm-generic/param.h).
const userHZ = 100

// procStat is /proc/stat, proc_stat(5).
type procStat struct {
	total    CPUStates
	cores    []coreTime
	created  uint64
	switches uint64
	boot     int64
	running  uint64
	blocked  uint64
}

type coreTime struct {
	id   string
	time CPUStates
}

// parseStat reads the text of /proc/stat. Cores reuse the names of before, so
// that a tick makes no new strings.
func parseStat(text []byte, before []coreTime) (*procStat, error) {
	s := &procStat{cores: make([]coreTime, 0, len(before))}
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, rest, _ := bytes.Cut(line, []byte{' '})
		switch {
		case bytes.HasPrefix(name, []byte("cpu")):
			states, err := parseStates(rest)
			if err != nil {
				return nil, fmt.Errorf("line %q: %w", line, err)
			}
			if len(name) == 3 {
				s.total = states
				continue
			}
			id := ""
			if i := len(s.cores); i < len(before) && before[i].id == string(name) {
				id = before[i].id
			} else {
				id = string(name)
			}
			s.cores = append(s.cores, coreTime{id, states})
		case string(name) == "ctxt":
			s.switches = firstNumber(rest)
		case string(name) == "btime":
			s.boot = int64(firstNumber(rest))
		case string(name) == "processes":
			s.created = firstNumber(rest)
		case string(name) == "procs_running":
			s.running = firstNumber(rest)
		case string(name) == "procs_blocked":
			s.blocked = firstNumber(rest)
		}
	}
	if len(s.cores) == 0 {
		return nil, fmt.Errorf("no line begins with cpu0")
	}
	return s, nil
}

func parseStates(b []byte) (CPUStates, error) {
	var n [8]float64
	for i := range n {
		b = bytes.TrimLeft(b, " ")
		var word []byte
		word, b, _ = bytes.Cut(b, []byte{' '})
		if len(word) == 0 {
			if i < 4 {
				return CPUStates{}, fmt.Errorf("has %d numbers, at least 4 are needed", i)
			}
			break // Kernels before 2.6.11 have fewer states.
		}
		v, ok := parseUint(word)
		if !ok {
			return CPUStates{}, fmt.Errorf("%q is not a number", word)
		}
		n[i] = float64(v) / userHZ
	}
	return CPUStates{User: n[0], Nice: n[1], System: n[2], Idle: n[3], Wait: n[4], Interrupt: n[5], SoftIRQ: n[6], Steal: n[7]}, nil
}

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

// firstNumber is the first number of a line, 0 where there is none.
func firstNumber(b []byte) uint64 {
	word, _, _ := bytes.Cut(bytes.TrimLeft(b, " \t"), []byte{' '})
	n, _ := strconv.ParseUint(string(word), 10, 64)
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
	text, err := h.statFile.read()
	if err != nil {
		return nil, err
	}
	s, err := parseStat(text, before)
	if err != nil {
		return nil, fmt.Errorf("parse /proc/stat: %w", err)
	}
	h.stat, h.tick = s, t.Seq
	return s, nil
}
