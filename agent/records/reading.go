package records

import "time"

// ProcessReading is the process table at one tick.
type ProcessReading struct {
	// Time is the tick, Interval the time since the previous tick.
	Time     time.Time
	Interval time.Duration
	// BootID identifies the boot: PID and start are unique within one only.
	BootID string
	// CPUs is the number of processors, MemoryTotal the machine's memory in bytes
	// (0 if unknown).
	CPUs        int
	MemoryTotal uint64
	// HostCPUSeconds is the CPU time of all processors in this tick; NaN if
	// unknown.
	HostCPUSeconds float64
	// Unattributed is the CPU time in this tick of processes that came and went
	// between two scans; NaN if unknown. Where HostCPUSeconds is known and it is not, the
	// rows are not all processes of the machine.
	Unattributed float64
	// Rows are all processes. They are not retained.
	Rows []ProcessRow
	// Ended are processes of earlier ticks that did something before they ended.
	Ended []EndedProcess
	// Short are processes that no tick had, by program and parent.
	Short []ShortProcesses
}

// ShortProcesses are processes of one program and parent that no tick had.
type ShortProcesses struct {
	// The strings are untrusted. Parent is the program of the next process above them that
	// a tick had, empty if unknown.
	Name, Program, Parent string
	Count                 int
	// CPUSeconds is of all, MemoryPeak in bytes of the one that had most, 0 if unknown.
	CPUSeconds float64
	MemoryPeak uint64
}

// EndedProcess is what a process did after the last tick that had it.
type EndedProcess struct {
	// PID is 0 in the sum of processes that no tick had.
	PID                   int
	Start                 uint64
	ReadBytes, WriteBytes uint64
	CPUSeconds            float64
}

// ProcessRow is one process at one tick.
type ProcessRow struct {
	PID int
	// Start is the start time by the clock of the boot; with PID and boot ID it
	// identifies the process.
	Start uint64
	// The strings are untrusted: they are truncated and made valid UTF-8.
	Name, Program, User, Status string
	// Kernel is true for kernel threads.
	Kernel bool
	// CommandLine is empty unless command lines are enabled.
	CommandLine string
	Threads     int
	// CPUSeconds were used in this tick; NaN if unknown.
	CPUSeconds float64
	// RSS is the resident memory in bytes.
	RSS uint64
	// ReadBytes and WriteBytes count since the process started, if IOKnown. They
	// are not read at every tick.
	ReadBytes, WriteBytes uint64
	IOKnown               bool
	// Young is true for a process that started within this tick: all that it did it did
	// in it.
	Young bool
	// Started is the start time, the zero time if unknown.
	Started time.Time
}
