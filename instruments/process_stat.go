package instruments

import (
	"bytes"
	"errors"
	"math"
)

// processStat is what is used of /proc/PID/stat, proc_pid_stat(5).
type processStat struct {
	// comm is a part of the text that was parsed.
	comm   []byte
	state  byte
	parent int
	flags  uint64
	// user and system are in ticks of userHZ, as is start, which counts from boot.
	user, system, start uint64
	threads             int
	virtual             uint64
	// pages counts resident pages.
	pages uint64
}

// kernelThread is the flag PF_KTHREAD of include/linux/sched.h.
const kernelThread = 0x0020_0000

var (
	errProcessStat = errors.New("not the text of /proc/PID/stat")
	errProcessIO   = errors.New("not the text of /proc/PID/io")
)

// The last field of /proc/PID/stat that is used, counted from 1 as in the manual.
const lastStatField = 24

// parseProcessStat reads the text of /proc/PID/stat. The name may hold anything,
// brackets and line breaks too, so the fields begin after the last bracket: none
// of them has one.
func parseProcessStat(text []byte) (processStat, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open || end+3 >= len(text) || text[end+1] != ' ' || text[end+3] != ' ' {
		return processStat{}, errProcessStat
	}
	s := processStat{comm: text[open+1 : end], state: text[end+2]}
	rest := text[end+4:]
	var fields [lastStatField + 1]uint64
	for i := 4; i <= lastStatField; i++ {
		n, used, ok := leadingNumber(rest)
		if !ok {
			return processStat{}, errProcessStat
		}
		fields[i] = n
		rest = rest[used:]
	}
	s.parent, s.flags = int(min(fields[4], math.MaxInt32)), fields[9]
	s.user, s.system, s.start = fields[14], fields[15], fields[22]
	s.threads = int(min(fields[20], math.MaxInt32))
	s.virtual, s.pages = fields[23], fields[24]
	return s, nil
}

// leadingNumber reads a number up to the next space or the end, and returns how
// many bytes it and the space take. A number below 0 reads as 0: no field that
// is used has one.
func leadingNumber(b []byte) (n uint64, used int, ok bool) {
	i, negative := 0, false
	if len(b) > 0 && b[0] == '-' {
		i, negative = 1, true
	}
	first := i
	for ; i < len(b); i++ {
		digit := b[i] - '0'
		if digit > 9 {
			break
		}
		if n > (math.MaxUint64-9)/10 {
			// ULONG_MAX and its neighbours stand for "no limit" in fields we skip.
			n = math.MaxUint64 / 10
		}
		n = n*10 + uint64(digit)
	}
	if i == first || i < len(b) && b[i] != ' ' && b[i] != '\n' {
		return 0, 0, false
	}
	if negative {
		n = 0
	}
	return n, min(i+1, len(b)), true
}

// parseProcessIO reads what reached the disks from the text of /proc/PID/io,
// proc_pid_io(5).
func parseProcessIO(text []byte) (read, write uint64, err error) {
	found := 0
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, value, _ := bytes.Cut(line, []byte(": "))
		var to *uint64
		switch string(name) {
		case "read_bytes":
			to = &read
		case "write_bytes":
			to = &write
		default:
			continue
		}
		n, ok := parseUint(value)
		if !ok {
			return 0, 0, errProcessIO
		}
		*to = n
		found++
	}
	if found != 2 {
		return 0, 0, errProcessIO
	}
	return read, write, nil
}

// stateWord is the status of a process by its letter in /proc/PID/stat.
func stateWord(state byte) string {
	switch state {
	case 'R':
		return "running"
	case 'S':
		return "sleeping"
	case 'D':
		return "blocked"
	case 'I', 'P': // P, parked, is a kernel thread of a processor that is off.
		return "idle"
	case 'T', 't':
		return "stopped"
	case 'Z':
		return "zombie"
	case 'W':
		return "paging"
	}
	return "unknown" // X: dead, for an instant.
}
