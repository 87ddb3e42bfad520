package instruments

import (
	"bytes"
	"errors"
	"math"
	"os"
)

// pageSize is the unit of resident memory in /proc/PID/stat.
var pageSize = uint64(os.Getpagesize())

// processStat is what is used of /proc/PID/stat, proc_pid_stat(5).
type processStat struct {
	// comm is a part of the text that was parsed.
	comm   []byte
	state  byte
	parent int
	flags  uint64
	// user and system are in ticks of userHZ, as is start, which counts from boot.
	user, system, start uint64
	// faults counts minor page faults: the process' own, and those of children that it
	// has waited for, with what they had of theirs.
	faults, childFaults uint64
	// childTicks is user and system time of children it has waited for, and of theirs.
	childTicks uint64
	threads    int
	virtual    uint64
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
// of them has one. A field that is no count is unknownCount by itself; without its
// start a process has no identity, and that is an error.
func parseProcessStat(text []byte) (processStat, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open || end+3 >= len(text) || text[end+1] != ' ' || text[end+3] != ' ' {
		return processStat{}, errProcessStat
	}
	s := processStat{comm: text[open+1 : end], state: text[end+2]}
	rest := text[end+4:]
	var fields [lastStatField + 1]uint64
	for i := 4; i <= lastStatField; i++ {
		if len(rest) == 0 {
			return processStat{}, errProcessStat
		}
		var used int
		fields[i], used = leadingCount(rest)
		rest = rest[used:]
	}
	s.user, s.system, s.start = fields[14], fields[15], fields[22]
	if s.start == unknownCount {
		return processStat{}, errProcessStat
	}
	s.parent, s.flags, s.threads = whole(fields[4]), known(fields[9]), whole(fields[20])
	s.childTicks = known(fields[16]) + known(fields[17])
	s.faults, s.childFaults = known(fields[10]), known(fields[11])
	s.virtual, s.pages = known(fields[23]), known(fields[24])
	// What no machine has is no number.
	if s.pages > maxBytes/pageSize {
		s.pages = 0
	}
	if s.virtual > maxBytes {
		s.virtual = 0
	}
	if s.threads > maxLoad {
		s.threads = 0
	}
	return s, nil
}

// known is a count, 0 where it is unknown.
func known(count uint64) uint64 {
	if count == unknownCount {
		return 0
	}
	return count
}

// whole is a count as an int, 0 where it is unknown.
func whole(count uint64) int { return int(min(known(count), math.MaxInt32)) }

// leadingCount reads a count up to the next space or the end, and returns how many
// bytes it and the space take. What is below 0, beyond what can be counted to, or no
// number at all is unknownCount.
func leadingCount(b []byte) (n uint64, used int) {
	i, ok := 0, true
	for ; i < len(b) && b[i] != ' ' && b[i] != '\n'; i++ {
		digit := b[i] - '0'
		if digit > 9 || n > math.MaxInt64/10-1 {
			ok = false
			continue
		}
		n = n*10 + uint64(digit)
	}
	if i == 0 || !ok {
		n = unknownCount
	}
	return n, min(i+1, len(b))
}

// moved is what went to disks and came from them, in bytes.
type moved struct{ read, write uint64 }

// parseProcessIO reads what reached the disks from the text of /proc/PID/io,
// proc_pid_io(5). A line that is no count is unknownCount by itself.
func parseProcessIO(text []byte) (moved, error) {
	m, found := moved{unknownCount, unknownCount}, false
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, value, _ := bytes.Cut(line, []byte(": "))
		var to *uint64
		switch string(name) {
		case "read_bytes":
			to = &m.read
		case "write_bytes":
			to = &m.write
		default:
			continue
		}
		if n, ok := parseUint(value); ok && n <= math.MaxInt64 {
			*to, found = n, true
		}
	}
	if !found {
		return m, errProcessIO
	}
	return m, nil
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
