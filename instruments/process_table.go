package instruments

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// processTable is what is known of the processes from one scan to the next. One
// scan a tick serves the collectors process and processes. A scan is cheap and
// about every process; what costs more (names, owners, I/O) is asked for by the
// collector process, one process at a time.
//
// process_table_linux.go reads /proc; process_table_windows.go asks the system, process_table_other.go gopsutil.
type processTable struct {
	host *Host

	// mu is held while the table is scanned or looked at.
	mu sync.Mutex
	// seq is the tick of the newest scan, at its moment by the monotonic clock,
	// and clock the same in the ticks in which processes' starts are given: no
	// process that starts later has a lesser start.
	seq     uint64
	scanned bool
	at      time.Time
	clock   uint64
	// boot is when the machine started by the clock of the ticks, as it is set at the
	// newest scan; the zero time where that is not known. Starts are counted from it,
	// so that one shown after the clock was set is by the clock that is shown with it.
	boot time.Time
	// entries are the processes in the order of their PIDs, hidden counts those
	// that could not be read at all.
	entries []*processEntry
	hidden  int
	// ended are processes that the collector process has looked at and that have ended
	// since it did so last.
	ended []*processEntry
	// scope says why the table does not hold all processes of the machine, "" where it
	// does. odd names those whose text makes no sense.
	scope string
	odd   misread
	// listener hears of the ends of processes.
	listener exitListener

	accounts processAccounts
	system   processSystem
}

// processEntry is one process. It lives as long as the process: a PID that is
// used again gets an entry of its own.
type processEntry struct {
	pid    int
	start  uint64 // with pid the identity
	kernel bool
	comm   string

	// The newest scan's numbers.
	status       string
	parent       int
	user, system uint64 // in cpuTicks
	threads      int
	rss, virtual uint64
	// faults are page faults of its own, childFaults of the children it has waited for and
	// reaped the same at the last look.
	faults, childFaults, reaped uint64
	// childTicks is the CPU time of children it has waited for, childSeen the same at the last
	// look.
	childTicks, childSeen uint64
	// thread is a thread that lives where the first one has ended, else 0.
	thread int
	// noTimes is true where the system does not report to this agent user and system
	// (processes of other users on macOS and Windows).
	noTimes bool

	// renamed is set by a scan when comm changed: the process runs another
	// program now. moved is set when any number changed: it has run. The collector
	// process clears both.
	renamed, moved bool

	// What follows belongs to the collector process.
	name, program string
	owner         string
	group         *program
	commandLine   string
	commandKnown  bool
	// looks counts the looks at the process; before are the times at the last one.
	looks                    uint64
	userBefore, systemBefore counter
	// cpu is the share of the machine at this look, cpuBefore at the one before; young is
	// set for a process that started since that.
	cpu, cpuBefore float64
	young          bool
	io             processIO
	chosen         bool
	// exit is set where its end was heard: it may still be in the table, as a zombie or
	// because it ended after it was read.
	exit *exit
	// reaper is nil where no child has ended.
	reaper *reaper

	file processFile
}

// identity is what the system reports about a process beyond its numbers.
type identity struct {
	arguments []string
	owner     string
}

// find returns the process of a PID, nil where there is none.
func (t *processTable) find(pid int) *processEntry {
	i, found := slices.BinarySearchFunc(t.entries, pid, func(e *processEntry, pid int) int { return cmp.Compare(e.pid, pid) })
	if !found {
		return nil
	}
	return t.entries[i]
}

// end takes a process out of the table.
func (t *processTable) end(e *processEntry) {
	t.release(e)
	if e.looks > 0 {
		t.ended = append(t.ended, e)
	}
}

// processes scans the process table at the first call of a tick, and calls see
// with it. The table must not be used after see has returned.
func (h *Host) processes(ctx context.Context, t Tick, see func(*processTable) error) error {
	h.table.mu.Lock()
	defer h.table.mu.Unlock()
	if !h.table.scanned || h.table.seq != t.Seq {
		if err := h.table.scan(ctx, t); err != nil {
			return fmt.Errorf("read the process table: %w", err)
		}
		h.table.scanned, h.table.seq = true, t.Seq
	}
	return see(&h.table)
}

// explain says in a reading what it lacks. A table that does not hold all processes
// says nothing of the machine's CPU time that is not theirs.
func (t *processTable) explain(r *ProcessTable) {
	reason := t.unseen()
	if reason == "" {
		return
	}
	r.parts = append(slices.Clip(r.parts), Missing{Subject: wholeScope, Reason: reason, Hidden: true})
	r.Unattributed, r.UnattributedSeconds = unknown, unknown
}

// unseen says why the table does not hold every process of the machine, "" where it does.
func (t *processTable) unseen() string {
	if t.scope == "" && t.hidden > 0 {
		return fmt.Sprintf(unreadPIDs, t.hidden)
	}
	return t.scope
}

// wholeScope is what such a table lacks; unreadPIDs is the reason where processes are
// listed that cannot be read.
const (
	wholeScope = "processes"
	unreadPIDs = "%d processes cannot be read, they belong to other users (hidepid), and CPU time without a process is unknown; that needs CAP_SYS_PTRACE or the group of the mount option gid="
)

// Reasons why a table does not hold all processes.
const (
	ownPIDs    = "the agent is in a PID namespace of its own, so other processes of the machine are not seen, and CPU time without a process is unknown; a container sees all with --pid=host"
	hiddenPIDs = "/proc hides processes of other users from the agent (hidepid, ProtectProc=), and CPU time without a process is unknown; to see them needs CAP_SYS_PTRACE or the group of the mount option gid="
)
