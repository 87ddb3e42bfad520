package instruments

import (
	"bytes"
	"errors"
	"math"
	"os"
	"time"
)

// ControlGroup is one control group of the machine. Counters count since the group was
// made; a number that could not be read or that the kernel does not have is above 2^63-1,
// or unknown. All numbers are of the group together with those below it.
type ControlGroup struct {
	GroupName
	// Inner is set where groups below it are in the reading too: it is the sum of them.
	Inner bool
	// Sum is set on the sum of those without a name of their own, whose counters count
	// since the agent started.
	Sum bool
	// Counts are in the order of the Group constants of counts below.
	Counts [groupCounts]uint64
	// CPUUsage is how many processors were used in the last tick, CPULimit how many may be;
	// unknown where there is no limit.
	CPUUsage, CPULimit float64
	// ThrottledRatio is the share of the periods of the last tick in which the group, or
	// one above it, was held back because it had used up its CPU limit: the largest of
	// them; unknown where no CPU limit is in force. ThrottledBy is the path of that group.
	ThrottledRatio float64
	ThrottledBy    string
	// Memory is what is charged to the group, WorkingSet that without the file cache that
	// was not used recently, Anon the memory of programs, File the file cache with shared
	// memory, Kernel the kernel's own with slabs and page tables (version 2 only), Swap what
	// was moved out. In bytes.
	Memory, WorkingSet, Anon, File, Kernel, Swap uint64
	// MemoryLimit is the group's own; 0 where it has none.
	MemoryLimit uint64
	// MemoryUtilization is WorkingSet over MemoryLimit.
	MemoryUtilization float64
	// ReadPerSecond and WrittenPerSecond are the bytes of the last tick.
	ReadPerSecond, WrittenPerSecond float64
	// Processes are counted every 10 s, without those that have ended.
	Processes uint64

	grown [groupCounts]float64
}

// The counts of a control group. Times are in nanoseconds.
const (
	groupUserTime = iota
	groupSystemTime
	groupThrottledTime // Summed over processors: it can exceed the time that passed.
	groupPeriods
	groupThrottledPeriods

	groupEventLow // Of memory: memory.events of cgroup-v2.rst.
	groupEventHigh
	groupEventMax
	groupEventOOM
	groupEventOOMKill

	groupCPUSome // Of pressure.
	groupMemorySome
	groupMemoryFull
	groupIOSome
	groupIOFull

	groupReadBytes // Of devices that do not stand on others.
	groupWrittenBytes

	groupCounts
)

// The files of a control group.
const (
	groupFileCPUStat = iota
	groupFileUser
	groupFileSystem
	groupFileQuota
	groupFilePeriod
	groupFileMemory
	groupFileMemoryStat
	groupFileMemoryEvents
	groupFileMemoryMax
	groupFileFailures
	groupFileSwap
	groupFileIO
	groupFileCPUPressure
	groupFileMemoryPressure
	groupFileIOPressure
	groupFileCount
)

// groupState is what is kept of a group between two reads.
type groupState struct {
	one                 ControlGroup
	cpu, events, stalls trail[[5]uint64]
	io                  []ioCounts
	readBytes, written  uint64
	ioTold, replaced    bool
	last, slowAt        time.Time
	processes           uint64
	ended, was          bool
}

// ioDevice is the number of a block device.
type ioDevice struct{ major, minor uint64 }

// ioCounts are what a group has read and written on a device.
type ioCounts struct {
	device        ioDevice
	read, written uint64
}

const maxGroupDevices = 256

func (s *groupState) begin() {
	s.processes = unknownCount
	s.one.CPULimit = unknown
}

// replace notes that another group has the name now.
func (s *groupState) replace() { s.replaced = true }

// keep makes the next reading of the group what the last was.
func (n *groupNode) keep() { n.one.grown = [groupCounts]float64{} }

// measure reads a group.
func (t *groupTree) measure(n *groupNode, h *Host, now time.Time, odd *misread) error {
	g := &n.one
	seconds := unknown
	if passed := now.Sub(n.last).Seconds(); !n.last.IsZero() && passed > 0.1 && passed < 600 && !n.replaced {
		seconds = passed
	}
	n.last = now
	g.GroupName, g.Inner = n.name, n.inner
	slow := n.slowAt.IsZero() || now.Sub(n.slowAt) >= slowEvery || n.replaced
	if slow {
		n.slowAt = now
	}
	var failed error
	read := func(hierarchy, file int, name string) []byte {
		text, err := n.files.files[file].read(n.paths[hierarchy], name, &t.buf)
		switch {
		case err == nil:
			return text
		case errors.Is(err, errGroupEnded):
			failed = err
		case !errors.Is(err, errGroupLacks):
			odd.lost("/sys/fs/cgroup"+n.name.Path+"/"+name, err)
		}
		return nil
	}
	note := func(name string) { odd.note("/sys/fs/cgroup"+n.name.Path+"/"+name, "a number cannot be read") }
	number := func(hierarchy, file int, name string) uint64 {
		text := read(hierarchy, file, name)
		if text == nil {
			return unknownCount
		}
		word := bytes.TrimSpace(text)
		if string(word) == "max" {
			return unknownCount
		}
		v, ok := parseUint(word)
		if !ok {
			note(name)
			return unknownCount
		}
		return v
	}
	n.measureCPU(read, number, note, slow)
	n.measureMemory(read, number, note, slow)
	t.measureIO(n, h, read, note)
	n.measurePressure(read)
	if failed != nil {
		n.last = time.Time{}
		return failed
	}
	n.replaced = false
	n.compare(seconds)
	return nil
}

type (
	groupReader func(hierarchy, file int, name string) []byte
	groupNumber func(hierarchy, file int, name string) uint64
)

// take gives the next numbers to a trail; those of another group under the same name begin anew.
func (n *groupNode) take(t *trail[[5]uint64], c [5]uint64) {
	if n.replaced {
		t.replace(c)
		return
	}
	t.next(c)
}

func (n *groupNode) measureCPU(read groupReader, number groupNumber, note func(string), slow bool) {
	c := [5]uint64{unknownCount, unknownCount, unknownCount, unknownCount, unknownCount}
	v1 := n.paths[groupCPU] != "" || n.paths[groupCPUAccount] != ""
	hierarchy := groupV2
	if v1 {
		hierarchy = groupCPU
	}
	if n.paths[hierarchy] != "" {
		unit := uint64(1000)
		if v1 {
			unit = 1
		}
		text := read(hierarchy, groupFileCPUStat, "cpu.stat")
		for len(text) > 0 {
			var line []byte
			line, text, _ = bytes.Cut(text, []byte{'\n'})
			key, rest := cutWord(line)
			at, by := -1, unit
			switch string(key) {
			case "user_usec":
				at = groupUserTime
			case "system_usec":
				at = groupSystemTime
			case "throttled_usec", "throttled_time":
				at = groupThrottledTime
			case "nr_periods":
				at, by = groupPeriods, 1
			case "nr_throttled":
				at, by = groupThrottledPeriods, 1
			}
			if at < 0 {
				continue
			}
			word, _ := cutWord(rest)
			if v, ok := parseUint(word); ok && v <= maxNanoseconds/by {
				c[at] = v * by
			} else {
				note("cpu.stat: " + string(key))
			}
		}
	}
	if v1 {
		if n.paths[groupCPUAccount] != "" {
			c[groupUserTime] = number(groupCPUAccount, groupFileUser, "cpuacct.usage_user")
			c[groupSystemTime] = number(groupCPUAccount, groupFileSystem, "cpuacct.usage_sys")
		}
	}
	n.take(&n.cpu, c)
	if !slow {
		return
	}
	n.one.CPULimit = unknown
	switch {
	case n.paths[hierarchy] == "":
	case v1:
		quota, period := read(groupCPU, groupFileQuota, "cpu.cfs_quota_us"), uint64(0)
		if q, ok := parseUint(bytes.TrimSpace(quota)); ok { // -1 is none.
			if period = number(groupCPU, groupFilePeriod, "cpu.cfs_period_us"); isCount(period) && period > 0 {
				n.one.CPULimit = float64(q) / float64(period)
			}
		}
	default:
		quota, period := cutWord(read(groupV2, groupFileQuota, "cpu.max"))
		q, ok := parseUint(quota)
		p, okPeriod := parseUint(bytes.TrimSpace(period))
		if ok && okPeriod && p > 0 {
			n.one.CPULimit = float64(q) / float64(p)
		}
	}
}

func (n *groupNode) measureMemory(read groupReader, number groupNumber, note func(string), slow bool) {
	g := &n.one
	g.Memory, g.WorkingSet, g.Anon, g.File, g.Kernel, g.Swap = unknownCount, unknownCount, unknownCount, unknownCount, unknownCount, unknownCount
	events := [5]uint64{unknownCount, unknownCount, unknownCount, unknownCount, unknownCount}
	v1, hierarchy := n.paths[groupMemory] != "", groupV2
	if v1 {
		hierarchy = groupMemory
	}
	if n.paths[hierarchy] == "" {
		n.take(&n.events, events)
		return
	}
	limit := uint64(unknownCount)
	if v1 {
		g.Memory = number(hierarchy, groupFileMemory, "memory.usage_in_bytes")
		if slow {
			limit = number(hierarchy, groupFileMemoryMax, "memory.limit_in_bytes")
		}
	} else {
		g.Memory = number(hierarchy, groupFileMemory, "memory.current")
		g.Swap = number(hierarchy, groupFileSwap, "memory.swap.current")
		if slow {
			limit = number(hierarchy, groupFileMemoryMax, "memory.max")
		}
	}
	if g.Memory > maxBytes {
		g.Memory = unknownCount
	}
	if slow {
		g.MemoryLimit = 0
		if limit <= maxBytes { // Version 1 writes no limit as a very large number.
			g.MemoryLimit = limit
		}
	}
	text, idle, left := read(hierarchy, groupFileMemoryStat, "memory.stat"), uint64(unknownCount), 4
	for len(text) > 0 && left > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		key, rest := cutWord(line)
		var to *uint64
		if v1 {
			switch string(key) { // total_ is with the groups below.
			case "total_rss":
				to = &g.Anon
			case "total_cache":
				to = &g.File
			case "total_swap":
				to = &g.Swap
			case "total_inactive_file":
				to = &idle
			}
		} else {
			switch string(key) {
			case "anon":
				to = &g.Anon
			case "file":
				to = &g.File
			case "kernel":
				to = &g.Kernel
			case "inactive_file":
				to = &idle
			}
		}
		if to == nil {
			continue
		}
		left--
		word, _ := cutWord(rest)
		if v, ok := parseUint(word); ok && v <= maxBytes {
			*to = v
		} else {
			note("memory.stat: " + string(key))
		}
	}
	if isCount(g.Memory) && isCount(idle) {
		g.WorkingSet = saturatingSub(g.Memory, idle)
	}
	g.MemoryUtilization = unknown
	if isCount(g.WorkingSet) && g.MemoryLimit > 0 {
		g.MemoryUtilization = float64(g.WorkingSet) / float64(g.MemoryLimit)
	}
	name := "memory.events"
	if v1 {
		name = "memory.oom_control"
		events[groupEventMax-groupEventLow] = number(hierarchy, groupFileFailures, "memory.failcnt")
	}
	text = read(hierarchy, groupFileMemoryEvents, name)
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		key, rest := cutWord(line)
		at := -1
		switch string(key) {
		case "low":
			at = groupEventLow
		case "high":
			at = groupEventHigh
		case "max":
			at = groupEventMax
		case "oom":
			at = groupEventOOM
		case "oom_kill":
			at = groupEventOOMKill
		}
		if at < 0 {
			continue
		}
		word, _ := cutWord(rest)
		v, ok := countOf(word)
		if !ok {
			note(name + ": " + string(key))
		}
		events[at-groupEventLow] = v
	}
	n.take(&n.events, events)
}

// measureIO reads io.stat, or blkio.throttle.io_service_bytes_recursive. The kernel counts
// again on every layer: a device that stands on others is left out.
func (t *groupTree) measureIO(n *groupNode, h *Host, read groupReader, note func(string)) {
	name, hierarchy := "io.stat", groupV2
	if n.paths[groupIO] != "" {
		name, hierarchy = "blkio.throttle.io_service_bytes_recursive", groupIO
	}
	n.one.grown[groupReadBytes], n.one.grown[groupWrittenBytes] = unknown, unknown
	var text []byte
	if n.paths[hierarchy] != "" {
		text = read(hierarchy, groupFileIO, name)
	}
	if text == nil {
		n.ioTold = false
		return
	}
	if n.replaced {
		n.io, n.readBytes, n.written, n.ioTold = n.io[:0], 0, 0, false
	}
	var read0, written0 uint64
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		device, rest := cutWord(line)
		majorWord, minorWord, ok := bytes.Cut(device, []byte{':'})
		d := ioDevice{}
		if ok {
			var okMinor bool
			d.major, ok = parseUint(majorWord)
			d.minor, okMinor = parseUint(minorWord)
			ok = ok && okMinor
		}
		if !ok {
			continue // The line "Total" of version 1.
		}
		if !t.counts(h, d) {
			continue
		}
		for {
			var word []byte
			if word, rest = cutWord(rest); len(word) == 0 {
				break // A line may have no keys.
			}
			key, value, assigned := bytes.Cut(word, []byte{'='})
			if !assigned {
				value, rest = cutWord(rest)
			}
			isRead := string(key) == "rbytes" || string(key) == "Read"
			if !isRead && string(key) != "wbytes" && string(key) != "Write" {
				continue
			}
			v, ok := countOf(value)
			if !ok {
				note(name)
				continue
			}
			c := n.ioOf(d)
			switch {
			case c == nil:
			case isRead:
				if v >= c.read {
					read0 += v - c.read
				}
				c.read = v
			default:
				if v >= c.written {
					written0 += v - c.written
				}
				c.written = v
			}
		}
	}
	n.readBytes += read0
	n.written += written0
	if n.ioTold {
		n.one.grown[groupReadBytes], n.one.grown[groupWrittenBytes] = float64(read0), float64(written0)
	}
	n.ioTold = true
}

// ioOf is what is known of a device.
func (n *groupNode) ioOf(d ioDevice) *ioCounts {
	for i := range n.io {
		if n.io[i].device == d {
			return &n.io[i]
		}
	}
	if len(n.io) >= maxGroupDevices {
		return nil
	}
	n.io = append(n.io, ioCounts{device: d})
	return &n.io[len(n.io)-1]
}

// counts reports whether a device counts in the sum: it stands on no other, and is no
// loop device, which stands on a file.
func (t *groupTree) counts(h *Host, d ioDevice) bool {
	counts, ok := t.devices[d]
	if ok {
		return counts
	}
	const loopMajor = 7
	counts = d.major != loopMajor && len(h.list("sys/dev/block/"+formatDevice(d)+"/slaves")) == 0
	if t.devices == nil || len(t.devices) > maxGroupDevices {
		t.devices = map[ioDevice]bool{}
	}
	t.devices[d] = counts
	return counts
}

// measurePressure reads how long the group's processes waited, see
// Documentation/accounting/psi.rst of Linux.
func (n *groupNode) measurePressure(read groupReader) {
	c := [5]uint64{unknownCount, unknownCount, unknownCount, unknownCount, unknownCount}
	if n.paths[groupV2] != "" {
		c[0], _ = stallTotals(read(groupV2, groupFileCPUPressure, "cpu.pressure"))
		c[1], c[2] = stallTotals(read(groupV2, groupFileMemoryPressure, "memory.pressure"))
		c[3], c[4] = stallTotals(read(groupV2, groupFileIOPressure, "io.pressure"))
	}
	n.take(&n.stalls, c)
}

// stallTotals finds the totals of the lines some and full, in nanoseconds.
func stallTotals(text []byte) (some, full uint64) {
	some, full = unknownCount, unknownCount
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		i := bytes.LastIndex(line, []byte(" total="))
		if i < 0 {
			continue
		}
		v, ok := parseUint(bytes.TrimSpace(line[i+len(" total="):]))
		if !ok || v > maxNanoseconds/1000 {
			continue
		}
		if bytes.HasPrefix(line, []byte("some ")) {
			some = v * 1000
		} else if bytes.HasPrefix(line, []byte("full ")) {
			full = v * 1000
		}
	}
	return some, full
}

// compare fills in the counts and what they grew by.
func (n *groupNode) compare(seconds float64) {
	g := &n.one
	for i := range 5 {
		g.Counts[i], g.grown[i] = n.cpu.count(i), n.cpu.grown(i)
		g.Counts[groupEventLow+i], g.grown[groupEventLow+i] = n.events.count(i), n.events.grown(i)
		g.Counts[groupCPUSome+i], g.grown[groupCPUSome+i] = n.stalls.count(i), n.stalls.grown(i)
	}
	g.Counts[groupReadBytes], g.Counts[groupWrittenBytes] = unknownCount, unknownCount
	if n.ioTold {
		g.Counts[groupReadBytes], g.Counts[groupWrittenBytes] = n.readBytes, n.written
	}
	g.ReadPerSecond, g.WrittenPerSecond = g.grown[groupReadBytes]/seconds, g.grown[groupWrittenBytes]/seconds
	g.CPUUsage = (g.grown[groupUserTime] + g.grown[groupSystemTime]) / 1e9 / seconds
	g.Processes = n.processes
	// Periods are counted only where there is a limit.
	g.ThrottledRatio, g.ThrottledBy = unknown, ""
	if isCount(g.Counts[groupPeriods]) && g.Counts[groupPeriods] > 0 && !math.IsNaN(g.grown[groupPeriods]) {
		g.ThrottledRatio = 0
		if g.grown[groupPeriods] > 0 {
			g.ThrottledRatio = min(1, g.grown[groupThrottledPeriods]/g.grown[groupPeriods])
		}
		if g.ThrottledRatio > 0 {
			g.ThrottledBy = g.Path
		}
	}
	// What holds a group above back holds back this one.
	if n.parent != nil && n.parent.parent != nil {
		if above := &n.parent.one; above.ThrottledRatio > g.ThrottledRatio || math.IsNaN(g.ThrottledRatio) {
			g.ThrottledRatio, g.ThrottledBy = above.ThrottledRatio, above.ThrottledBy
		}
	}
}

// countProcesses counts the processes of all groups. A process that has ended and was not
// waited for is in none; threads in groups of their own are counted where their process is.
func (t *groupTree) countProcesses() {
	for _, n := range t.order {
		n.processes = t.processesIn(n)
	}
	for i := len(t.order) - 1; i >= 0; i-- {
		n := t.order[i]
		if above := n.parent; above != nil && above.parent != nil && isCount(above.processes) {
			above.processes += n.processes // An unknown number makes it unknown again.
			if !isCount(n.processes) {
				above.processes = unknownCount
			}
		}
	}
}

// processesIn counts the processes in a group itself and in what is a part of it.
func (t *groupTree) processesIn(n *groupNode) uint64 {
	for _, i := range [...]int{groupProcesses, groupMemory, groupCPU, groupCPUAccount, groupIO, groupV2} {
		if n.paths[i] != "" {
			return t.processesBelow(n.paths[i], n, 0)
		}
	}
	return unknownCount
}

func (t *groupTree) processesBelow(path string, n *groupNode, depth int) uint64 {
	const deepest = 8
	var f groupFile
	text, err := f.read(path, "cgroup.procs", &t.buf)
	f.close()
	count := uint64(0)
	switch {
	case errors.Is(err, errGroupLacks):
	case err != nil:
		return unknownCount
	default:
		count = uint64(bytes.Count(text, []byte{'\n'}))
	}
	var dir groupFile
	stat, ok := dir.stat(path)
	dir.close()
	if !ok || stat.links == 2 || depth >= deepest {
		return count
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return count
	}
	for _, e := range entries {
		if !e.IsDir() || depth == 0 && n.below[e.Name()] != nil {
			continue
		}
		if below := t.processesBelow(path+"/"+e.Name(), n, depth+1); isCount(below) {
			count += below
		}
	}
	return count
}

// Seconds is the CPU time in user and in kernel mode, and the time for which the group was
// held back by its own limit, summed over processors.
func (g *ControlGroup) Seconds() (user, system, throttled float64) {
	return secondsOf(g.Counts[groupUserTime]), secondsOf(g.Counts[groupSystemTime]), secondsOf(g.Counts[groupThrottledTime])
}

// Periods are those for which a CPU limit was in force, and those in which the group was held back.
func (g *ControlGroup) Periods() (all, throttled uint64) {
	return g.Counts[groupPeriods], g.Counts[groupThrottledPeriods]
}

// MemoryEvents is how often the group was at memory.high and at its limit, how often no
// memory could be found, and how many processes were killed for it.
func (g *ControlGroup) MemoryEvents() (high, limit, oom, killed uint64) {
	return g.Counts[groupEventHigh], g.Counts[groupEventMax], g.Counts[groupEventOOM], g.Counts[groupEventOOMKill]
}

// DiskBytes are the bytes read from and written to devices that stand on no other.
func (g *ControlGroup) DiskBytes() (read, written uint64) {
	return g.Counts[groupReadBytes], g.Counts[groupWrittenBytes]
}
