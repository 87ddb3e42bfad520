package instruments

import (
	"strconv"
	"strings"
)

// OOMVictim is a process killed by the OOM killer, as in the kernel log.
type OOMVictim struct {
	PID int
	// Name is the kernel's name of the process: hostile text.
	Name string
	// Cause is OOMMachine or OOMCgroup; empty if the log lacks it.
	Cause string
	// Resident is its resident memory in bytes, where ResidentKnown.
	Resident      uint64
	ResidentKnown bool
}

// What ran out of memory: the machine, or a control group that reached its limit.
const (
	OOMMachine = "machine_memory"
	OOMCgroup  = "cgroup_limit"
)

// parseOOMVictim reads a line of the kernel's log (mm/oom_kill.c). Since Linux
// 4.19 it is
//
//	Out of memory: Killed process 12 (name) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:0 ...
//
// and begins with "Memory cgroup out of memory" where a limit was reached; before,
// it begins with "Killed process" and nothing says why.
func parseOOMVictim(line string) (v OOMVictim, ok bool) {
	before, rest, ok := strings.Cut(line, "Killed process ")
	if !ok || before != "" && !strings.Contains(strings.ToLower(before), "out of memory") {
		return v, false
	}
	number, rest, ok := strings.Cut(rest, " (")
	if !ok {
		// Up to 4.8 a comma can stand after the number, or "Killed process 12, UID 0, (name)".
		return v, false
	}
	number, _, _ = strings.Cut(number, ",")
	pid, err := strconv.Atoi(number)
	if err != nil || pid <= 0 {
		return v, false
	}
	// The name can hold anything: what the kernel writes after it is looked for
	// from the end.
	end := strings.LastIndex(rest, ") total-vm:")
	if end < 0 {
		if end = strings.LastIndexByte(rest, ')'); end < 0 {
			return v, false
		}
	}
	v = OOMVictim{PID: pid, Name: unescapeKernelText(rest[:end])}
	switch {
	case strings.HasPrefix(before, "Memory cgroup"):
		v.Cause = OOMCgroup
	case before != "":
		v.Cause = OOMMachine
	}
	for word := range strings.FieldsSeq(rest[end:]) {
		name, value, ok := strings.Cut(strings.TrimSuffix(word, ","), ":")
		if !ok || !strings.HasSuffix(name, "-rss") {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSuffix(value, "kB"), 10, 53)
		if err != nil {
			continue
		}
		v.Resident, v.ResidentKnown = v.Resident+kib*1024, true
	}
	return v, true
}

// unescapeKernelText undoes the \x20 by which /dev/kmsg writes what is not
// printable ASCII.
func unescapeKernelText(text string) string {
	if !strings.Contains(text, `\x`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if strings.HasPrefix(text[i:], `\x`) && i+4 <= len(text) {
			if n, err := strconv.ParseUint(text[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// kernelMessage returns the text of a record of /dev/kmsg, "6,339,5140900,-;text"
// with lines of a dictionary after it. A record that a program wrote, not the
// kernel, is none: a program permitted to write there could forge a kill.
func kernelMessage(record string) (text string, ok bool) {
	head, text, ok := strings.Cut(record, ";")
	if !ok {
		return "", false
	}
	number, _, _ := strings.Cut(head, ",")
	priority, err := strconv.ParseUint(number, 10, 32)
	if err != nil || priority>>3 != 0 {
		return "", false
	}
	text, _, _ = strings.Cut(text, "\n")
	return text, true
}
