package instruments

import (
	"bytes"
	"strings"
)

// initialPIDs is the PID namespace that the kernel starts with (PROC_PID_INIT_INO in
// include/linux/proc_ns.h): the one that has every process.
const initialPIDs = "pid:[4026531836]"

// processScope says why /proc does not list every process of the machine, "" where it
// does or where nothing speaks against it. /proc/stat is the machine's in every
// namespace, so the difference of the two is nobody's then.
func (h *Host) processScope() string {
	if ns := h.link("proc/1/ns/pid"); ns != "" {
		if ns != initialPIDs {
			return ownPIDs
		}
		return ""
	}
	if !h.exists("proc/1/stat") && h.table.system.kept {
		return hiddenPIDs
	}
	// Only who may trace the first process sees its namespace. In its own namespace
	// the agent has one PID, in one above it has several.
	depth := 0
	for line := range strings.Lines(h.readText("proc/self/status")) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			depth = len(strings.Fields(rest))
		}
	}
	if ns := h.link("proc/self/ns/pid"); depth <= 1 && (ns == "" || ns == initialPIDs) || depth > 1 && h.kernelThreads() {
		return ""
	}
	return ownPIDs
}

// kernelThreads reports whether the second process is the kernel's: it is in the
// initial namespace, and no thread of the kernel is in any other.
func (h *Host) kernelThreads() bool {
	text, err := h.readFile("proc/2/stat")
	if err != nil {
		return false
	}
	stat, err := parseProcessStat(bytes.TrimSpace(text))
	return err == nil && stat.flags&kernelThread != 0
}
