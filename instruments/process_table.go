package instruments

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// processTable is what is known of the processes from one scan to the next. One
// scan a tick serves the collectors process and processes. A scan is cheap and
// about every process; what costs more (names, owners, I/O) is asked for by the
// collector process, one process at a time.
//
// process_table_linux.go reads /proc; process_table_other.go asks gopsutil.
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
	// entries are the processes in the order of their PIDs, hidden counts those
	// that could not be read at all.
	entries []*processEntry
	hidden  int

	accounts processAccounts
	system   processSystem
}

// processEntry is one process. It lives as long as the process: a PID that is
// used again gets an entry of its own.
type processEntry struct {
	pid     int
	start   uint64 // with pid the identity
	started time.Time
	kernel  bool
	comm    string

	// The newest scan's numbers.
	status       string
	parent       int
	user, system uint64 // in cpuTicks
	threads      int
	rss, virtual uint64
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
	// looks counts the looks at the process; before are the numbers of the last one.
	looks                    uint64
	userBefore, systemBefore uint64
	cpu                      float64
	io                       processIO
	chosen                   bool

	file processFile
}

// processIO is a process' I/O, which is not read at every tick.
type processIO struct {
	known, denied       bool
	at                  time.Time
	read, write         uint64
	readRate, writeRate float64
}

// identity is what the system reports about a process beyond its numbers.
type identity struct {
	arguments []string
	owner     string
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
