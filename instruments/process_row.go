package instruments

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Process is one row of the process table at one tick.
type Process struct {
	PID, ParentPID int
	// Name is the kernel's name of the process, whole where the kernel cut it at
	// 15 bytes. The process chooses it: hostile text.
	Name string
	// Program is the name by which processes are added up, such as "nginx",
	// "python3:manage.py" or, for a kernel thread, "kworker".
	Program string
	// User is the owner's name, or the number where the number has no name; it is
	// empty if the system does not report it, or not in the agent's user namespace.
	User string
	// Status is running, sleeping, idle, blocked (waits for a disk), stopped,
	// zombie, or another word of the host metrics receiver.
	Status string
	// Kernel is true for a thread of the kernel.
	Kernel bool
	// CommandLine holds the arguments, cut at 4 KiB; only where configured, and
	// only for the chosen.
	CommandLine string
	// CPU is the share of all processors of the machine in the last tick, 0 to 1;
	// unknown at first sight, except where the process is younger than the tick.
	CPU float64
	// CPUSeconds is the user and system time since the process started; unknown
	// if the system does not report it.
	CPUSeconds float64
	// MemoryRSS and Virtual are resident and virtual memory in bytes, 0 where the
	// system does not report it.
	MemoryRSS, Virtual uint64
	// Memory is MemoryRSS as a share of the machine's memory, 0 to 1.
	Memory  float64
	Threads int
	// ReadBytesPerSecond and WriteBytesPerSecond are what reached the disks
	// between the last two looks at this process' I/O (each second where it is
	// active, else at most 10 looks apart); unknown where IOKnown is false.
	ReadBytesPerSecond, WriteBytesPerSecond float64
	// ReadBytes and WriteBytes count since the process started, where IOKnown: its own,
	// and what children did that came and went between two looks. At first sight of a
	// process that is not Young, they have in them what its children did before.
	ReadBytes, WriteBytes uint64
	IOKnown               bool
	// Started is the time of the start by the clock as it is set at the reading, the zero
	// time where it is not known; Start is the same in the clock of the boot, and with
	// PID the identity.
	Started time.Time
	Start   uint64
	// Young is true for a process that started since the look before: all that it used
	// it used since then.
	Young bool
	// Chosen is true for the top processes by CPU, by memory and by I/O.
	Chosen bool
}

// io is the sum of both directions.
func (p *Process) io() float64 { return p.ReadBytesPerSecond + p.WriteBytesPerSecond }

// ProcessTable is a reading of all processes. It is the reading of the collector
// "process".
type ProcessTable struct {
	// All holds every process in the order of PIDs. It must not be changed.
	All []Process
	// Logical is the number of processors: CPU*Logical*100 is the percent of one core.
	Logical int
	// MemoryTotal is the machine's memory in bytes, 0 where it is not known.
	MemoryTotal uint64
	// Ended are processes that ended since the look before and did something after it.
	Ended []EndedProcess
	// Short are the processes that lived between two looks, by program and parent. What has
	// no place in it is in Ended.
	Short []ShortProcesses
	// Programs adds up the processes by program, the last one being "others".
	Programs []Program
	// Unattributed is the share of all processors in the last tick that was used
	// by processes which came and went between two looks: the machine's user,
	// nice and system time less that of the processes seen; unknown where the table does
	// not hold all processes of the machine.
	Unattributed float64
	// UnattributedSeconds is the same, added up since the agent started; unknown likewise.
	UnattributedSeconds float64
	// Elapsed is the time in seconds since the look before, of which CPU and
	// Unattributed are shares; unknown at the first look and after a long break.
	// Busy is the CPU time in seconds that all processors used in it, neither idle
	// nor waiting for a disk.
	Elapsed, Busy float64
	// Denied counts the processes whose I/O the agent may not read. On Linux that
	// needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH (or root) for processes of other
	// users.
	Denied int
	// Hidden counts the processes that could not be read at all (hidepid).
	Hidden int

	// ExitsHeard is set where the kernel reports the end of each process, ExitsLost counts
	// how often it had no room for some since the agent started.
	ExitsHeard bool
	ExitsLost  uint64

	pids bool
	misread
	// folded is how many running programs are added up as others, full whether all names
	// are given.
	folded int
	full   bool
}

// ShortProcesses are processes of one program and one parent that no look saw.
type ShortProcesses struct {
	// Name is the kernel's name of them, hostile text; Program that by which they are added
	// up. Parent is the program of the next process above them that a look saw, "" where
	// none is known.
	Name, Program, Parent string
	// Count is how many have ended since the look before.
	Count int
	// CPUSeconds is user and system time of all, MemoryPeak the most resident memory in
	// bytes that one of them had, 0 where that is not known.
	CPUSeconds float64
	MemoryPeak uint64
}

// Folded implements Folder.
func (t *ProcessTable) Folded() (things int, full bool) { return t.folded, t.full && t.folded > 0 }

// Program is what all processes of one program use together.
type Program struct {
	Name               string
	Processes, Threads int
	// MemoryRSS counts shared pages once in every process that holds them.
	MemoryRSS, Virtual uint64
	// Memory is MemoryRSS as a share of the machine's memory.
	Memory float64
	// User and System are shares of all processors in the last tick.
	User, System float64
	// UserSeconds, SystemSeconds, ReadBytes and WriteBytes count since the agent
	// started and include ended processes. They never fall.
	UserSeconds, SystemSeconds float64
	ReadBytes, WriteBytes      uint64
	// IOKnown is false where the I/O of none of the processes could be read.
	IOKnown bool
	// Ended counts the processes that have ended since the agent started, where their ends
	// are heard.
	Ended uint64
}

// Totals adds up processes. A sum is over those whose number is known, and
// unknown where there are processes but none is known.
type Totals struct {
	Processes, Threads                      int
	CPU                                     float64
	MemoryRSS, Virtual                      uint64
	Memory                                  float64
	ReadBytesPerSecond, WriteBytesPerSecond float64
}

func (t *Totals) add(p *Process) {
	if t.Processes == 0 {
		t.CPU, t.Memory, t.ReadBytesPerSecond, t.WriteBytesPerSecond = unknown, unknown, unknown, unknown
	}
	t.Processes++
	t.Threads += p.Threads
	t.MemoryRSS += p.MemoryRSS
	t.Virtual += p.Virtual
	t.CPU = addKnown(t.CPU, p.CPU)
	t.Memory = addKnown(t.Memory, p.Memory)
	t.ReadBytesPerSecond = addKnown(t.ReadBytesPerSecond, p.ReadBytesPerSecond)
	t.WriteBytesPerSecond = addKnown(t.WriteBytesPerSecond, p.WriteBytesPerSecond)
}

func addKnown(sum, v float64) float64 {
	switch {
	case math.IsNaN(v):
		return sum
	case math.IsNaN(sum):
		return v
	}
	return sum + v
}

// Order is what a process table is sorted by.
type Order string

// The orders: numbers and the time of the start from the maximum down, names
// and PIDs upwards. A number that is not known comes last, and equal rows stand
// in the order of their PIDs.
const (
	ByCPU     Order = "cpu"
	ByMemory  Order = "memory"
	ByIO      Order = "io"
	ByName    Order = "name"
	ByPID     Order = "pid"
	ByThreads Order = "threads"
	ByStarted Order = "started"
)

// Orders lists the orders in which a table can be asked for.
func Orders() []Order {
	return []Order{ByCPU, ByMemory, ByIO, ByName, ByPID, ByThreads, ByStarted}
}

// compare is negative where a stands before b.
func (o Order) compare(a, b *Process) int {
	var c int
	switch o {
	case ByCPU:
		c = falling(a.CPU, b.CPU)
	case ByMemory:
		c = cmp.Compare(b.MemoryRSS, a.MemoryRSS)
	case ByIO:
		c = falling(a.io(), b.io())
	case ByName:
		if c = cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)); c == 0 {
			c = cmp.Compare(a.Name, b.Name)
		}
	case ByThreads:
		c = cmp.Compare(b.Threads, a.Threads)
	case ByStarted:
		// The clock of the boot is never set.
		c = cmp.Or(cmp.Compare(b.Start, a.Start), b.Started.Compare(a.Started))
	case ByPID:
	}
	if c == 0 {
		c = cmp.Compare(a.PID, b.PID)
	}
	return c
}

// falling orders numbers from the maximum down; cmp.Compare has NaN as the minimum.
func falling(a, b float64) int { return cmp.Compare(b, a) }

// Top returns the first n rows by an order (all where n is 0 or less) among the
// processes that match the query, the sums over all that is not among the rows,
// and how many processes match. Rows and others together are the whole table.
// The query is part of a name, program, user or command line in upper or lower
// case, or a PID; an empty one matches all.
func (t *ProcessTable) Top(n int, by Order, query string) (rows []Process, others Totals, matched int) {
	query = strings.ToLower(strings.TrimSpace(query))
	var found []*Process
	for i := range t.All {
		if p := &t.All[i]; p.matches(query) {
			found = append(found, p)
		}
	}
	matched = len(found)
	slices.SortFunc(found, by.compare)
	if n > 0 && n < len(found) {
		found = found[:n]
	}
	rows = make([]Process, len(found))
	for i, p := range found {
		rows[i] = *p
	}
	// The table is in the order of PIDs: with the rows in that order too, one
	// walk over both finds what is left.
	slices.SortFunc(found, ByPID.compare)
	for i := range t.All {
		if p := &t.All[i]; len(found) > 0 && found[0] == p {
			found = found[1:]
		} else {
			others.add(p)
		}
	}
	return rows, others, matched
}

// Chosen returns the top processes by CPU, by memory and by I/O in the order of
// their PIDs, and the sums over all the others.
func (t *ProcessTable) Chosen() (rows []Process, others Totals) {
	for i := range t.All {
		if p := &t.All[i]; p.Chosen {
			rows = append(rows, *p)
		} else {
			others.add(p)
		}
	}
	return rows, others
}

// matches reports whether the query, in lower case, is part of the row.
func (p *Process) matches(query string) bool {
	if query == "" {
		return true
	}
	for _, text := range [...]string{p.Name, p.Program, p.User, p.CommandLine} {
		if strings.Contains(strings.ToLower(text), query) {
			return true
		}
	}
	return strconv.Itoa(p.PID) == query
}
