package records

import "time"

// ProcessReading is the process table at one tick.
type ProcessReading struct {
	// Time is the tick, Interval the time that really passed since the tick before.
	Time     time.Time
	Interval time.Duration
	// BootID tells boots apart: a PID and a start mean something within one only.
	BootID string
	// CPUs is the number of processors, MemoryTotal the machine's memory in bytes
	// (0 where it is not known).
	CPUs        int
	MemoryTotal uint64
	// HostCPUSeconds is what all processors did in this tick, in seconds; NaN
	// where it is not known.
	HostCPUSeconds float64
	// Unattributed is the CPU time in this tick of processes that came and went
	// between two looks, in seconds; NaN where it is not known.
	Unattributed float64
	// Rows are all processes. They are not kept.
	Rows []ProcessRow
}

// ProcessRow is one process at one tick.
type ProcessRow struct {
	PID int
	// Start is when the process started in the clock of its boot; with PID and
	// boot id it is the identity.
	Start uint64
	// The texts are hostile: they are cut and made valid UTF-8.
	Name, Program, User, Status string
	// Kernel is true for a thread of the kernel.
	Kernel bool
	// CommandLine is empty where command lines are not enabled.
	CommandLine string
	Threads     int
	// CPUSeconds were used in this tick; NaN where that is not known.
	CPUSeconds float64
	// RSS is the resident memory in bytes.
	RSS uint64
	// ReadBytes and WriteBytes count since the process started, where IOKnown:
	// they are not read at every tick, so only their differences say what is new.
	ReadBytes, WriteBytes uint64
	IOKnown               bool
	// Started is the time of the start, the zero time where it is not known.
	Started time.Time
}
