package instruments

import (
	"context"
	"strconv"
	"time"
)

// process reads the process table.
type process struct {
	top         int
	commandLine bool
	pids        bool
	scrub       []string
	// names is how many programs are named in metrics at most.
	names int
	// What it adds up lives with the table: another process that takes over with
	// another configuration goes on from there, and no counter falls.
	*processAccounts
}

// processAccounts is what the collector process adds up and remembers of its last look.
type processAccounts struct {
	span  span
	looks uint64
	// clock is the table's at the last look, memory the machine's.
	clock  uint64
	memory uint64
	// processors compares the machine's CPU time with that of the last look.
	processors processors
	// carry is the negative remainder of unattributed CPU time, lost is all of
	// it since the first look, both in seconds.
	carry, lost float64
	programs    programs
	// exitsLost is how often ends of processes were not heard, shortNames how many new
	// programs were named in this look by processes that no look saw.
	exitsLost uint64
	// departed are the processes that have left the table since the look before.
	departed []*processEntry
	// shorts are the processes of this look that none saw, unnamed the CPU time of those
	// without a place in it.
	shorts  map[shortKey]*ShortProcesses
	unnamed time.Duration
	// parents are the parents of the processes that have ended in this look, unclaimed what
	// was counted of children whose parents were neither seen nor heard yet.
	parents    map[int]int
	unclaimed  map[int]unclaimed
	shortNames int
	// asked are the processes whose I/O was read in this look, debtors those that have
	// children to be found in it.
	asked   []asked
	debtors []*processEntry
}

func newProcess(c Config) Collector {
	p := &process{}
	p.Configure(c)
	return p
}

// Configure implements Configurable.
func (p *process) Configure(c Config) {
	p.top, p.commandLine, p.pids = c.Processes.Top, c.Processes.CommandLine, c.Processes.PID
	p.scrub, p.names = c.Processes.Scrub, c.names("process")
}

func (*process) Name() string { return "process" }

var (
	programKey   = Key{Name: "process.executable.name", Help: "program: executable, or interpreter and script; at most instruments.process.names, the rest is others"}
	modeKey      = Key{Name: "state", Semconv: "cpu.mode", Help: "user, system"}
	directionKey = Key{Name: "direction", Semconv: "disk.io.direction", Help: "read, write"}
	pidKey       = Key{Name: "process.pid", Help: "process ID"}

	processCPUTime = &Metric{
		Name: "process.cpu.time", Unit: "s", Kind: Counter, Start: SinceAgent, Keys: []Key{programKey, modeKey},
		Help:   "CPU time all processes of a program used since the agent started, also those that have ended.",
		Source: "differences of utime and stime in /proc/PID/stat; for processes that have ended, where that is heard, taskstats and their parents' cutime and cstime",
	}
	processCPUUtilization = &Metric{
		Name: "process.cpu.utilization", Unit: "1", Kind: Gauge, Keys: []Key{programKey, modeKey},
		Help: "Share of all processors that a program used in the last tick.", Source: "difference of process.cpu.time over time and processors",
	}
	processDiskIO = &Metric{
		Name: "process.disk.io", Unit: "By", Kind: Counter, Integer: true, Start: SinceAgent, Keys: []Key{programKey, directionKey},
		Help:   "Bytes all processes of a program read from disks and wrote to them since the agent started. What children did that came and went between two ticks is their parent's.",
		Source: "differences of read_bytes and write_bytes in /proc/PID/io, each tick for active processes, else every 10 ticks, less those of children that have ended",
	}
	processMemoryUsage = &Metric{
		Name: "process.memory.usage", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{programKey},
		Help: "Resident memory of a program's processes; a shared page counts in each.", Source: "rss in /proc/PID/stat",
	}
	processMemoryVirtual = &Metric{
		Name: "process.memory.virtual", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{programKey},
		Help: "Virtual memory of a program's processes.", Source: "vsize in /proc/PID/stat",
	}
	processMemoryUtilization = &Metric{
		Name: "process.memory.utilization", Unit: "1", Kind: Gauge, Keys: []Key{programKey},
		Help: "Resident memory of a program's processes as a share of the machine's memory, 0 to 1.", Source: "process.memory.usage over MemTotal in /proc/meminfo",
	}
	processThreads = &Metric{
		Name: "process.threads", Semconv: "process.thread.count", Unit: "{threads}", SemconvUnit: "{thread}", Kind: UpDownCounter, Integer: true, Keys: []Key{programKey},
		Help: "Threads of a program's processes.", Source: "num_threads in /proc/PID/stat",
	}
	processPrograms = &Metric{
		Name: "sysotel.process.count", Unit: "{process}", Kind: UpDownCounter, Integer: true, Keys: []Key{programKey},
		Help: "Processes of a program.", Source: "/proc/PID/stat",
	}
	processExits = &Metric{
		Name: "sysotel.process.exits", Unit: "{process}", Kind: Counter, Integer: true, Start: SinceAgent, Keys: []Key{programKey},
		Help:   "Processes of a program that have ended since the agent started, however short they lived; none where the kernel does not tell the agent (that needs CAP_NET_ADMIN, and the first PID and network namespace).",
		Source: "taskstats of each task that ends, by netlink",
	}
	processExitsLost = &Metric{
		Name: "sysotel.process.exits.overflows", Unit: "{overflow}", Kind: Counter, Integer: true, Start: SinceAgent,
		Help:   "How often since the agent started more processes ended between two ticks than the kernel keeps for the agent; the rest is not in sysotel.process.exits.",
		Source: "ENOBUFS of the netlink socket",
	}
	processUnattributed = &Metric{
		Name: "sysotel.process.unattributed.cpu.time", Unit: "s", Kind: Counter, Start: SinceAgent,
		Help:   "CPU time since the agent started that no process accounts for: of processes that came and went between two ticks and whose ends were not heard; none where the agent does not see all processes of the machine.",
		Source: "user, nice and system in /proc/stat less utime and stime of all processes, and less what taskstats tell of those that ended",
	}
	processTopCPU = &Metric{
		Name: "sysotel.process.top.cpu.utilization", Unit: "1", Kind: Gauge, Keys: []Key{pidKey, programKey},
		Help: "Share of all processors that each top process used in the last tick, with processes.pid only.", Source: "/proc/PID/stat",
	}
	processTopMemory = &Metric{
		Name: "sysotel.process.top.memory.usage", Unit: "By", Kind: Gauge, Integer: true, Keys: []Key{pidKey, programKey},
		Help: "Resident memory of each top process, with processes.pid only.", Source: "/proc/PID/stat",
	}
	processTopThreads = &Metric{
		Name: "sysotel.process.top.threads", Unit: "{thread}", Kind: Gauge, Integer: true, Keys: []Key{pidKey, programKey},
		Help: "Threads of each top process, with processes.pid only.", Source: "/proc/PID/stat",
	}
)

func (*process) Metrics() []*Metric {
	return []*Metric{
		processCPUTime, processCPUUtilization, processDiskIO, processMemoryUsage, processMemoryVirtual,
		processMemoryUtilization, processThreads, processPrograms, processExits, processExitsLost, processUnattributed,
		processTopCPU, processTopMemory, processTopThreads,
	}
}

func (p *process) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	host, err := h.processorTimes(ctx, t)
	if err != nil {
		return nil, err
	}
	var r *ProcessTable
	err = h.processes(ctx, t, func(table *processTable) error {
		p.processAccounts = &table.accounts
		if p.looks%memoryTurn == 0 || p.memory == 0 {
			p.memory = table.memoryTotal(ctx)
		}
		seconds := p.span.next(table.at, t.Interval)
		done := p.processors.next(host, t.Interval)
		logical := p.processors.count
		if p.looks == 0 || logical == 0 {
			seconds = unknown
		}
		r = p.look(table, seconds, logical, t.Halved)
		r.Unattributed, r.UnattributedSeconds, r.Busy = p.balance(done, seconds, logical)
		table.explain(r)
		p.clock = table.clock
		p.looks++
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Report implements Reading.
func (t *ProcessTable) Report(o *Observer) {
	for i := range t.Programs {
		p := &t.Programs[i]
		o.Float(processCPUTime, p.UserSeconds, p.Name, "user")
		o.Float(processCPUTime, p.SystemSeconds, p.Name, "system")
		o.Float(processCPUUtilization, p.User, p.Name, "user")
		o.Float(processCPUUtilization, p.System, p.Name, "system")
		if p.IOKnown {
			o.Uint(processDiskIO, p.ReadBytes, p.Name, "read")
			o.Uint(processDiskIO, p.WriteBytes, p.Name, "write")
		}
		o.Uint(processMemoryUsage, p.MemoryRSS, p.Name)
		o.Uint(processMemoryVirtual, p.Virtual, p.Name)
		o.Float(processMemoryUtilization, p.Memory, p.Name)
		o.Int(processThreads, int64(p.Threads), p.Name)
		o.Int(processPrograms, int64(p.Processes), p.Name)
		if t.ExitsHeard {
			o.Uint(processExits, p.Ended, p.Name)
		}
	}
	if t.ExitsHeard {
		o.Uint(processExitsLost, t.ExitsLost)
	}
	o.Float(processUnattributed, t.UnattributedSeconds)
	if t.pids {
		t.reportChosen(o)
	}
}

func (t *ProcessTable) reportChosen(o *Observer) {
	for i := range t.All {
		p := &t.All[i]
		if !p.Chosen {
			continue
		}
		pid := strconv.Itoa(p.PID)
		o.Float(processTopCPU, p.CPU, pid, p.Program)
		o.Uint(processTopMemory, p.MemoryRSS, pid, p.Program)
		o.Int(processTopThreads, int64(p.Threads), pid, p.Program)
	}
}
