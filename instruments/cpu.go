package instruments

import (
	"context"
	"math"
)

// CPU is a reading of the processors.
type CPU struct {
	// Usage is the share of all processors that was busy since the reading
	// before, 0 to 1. Busy is everything but idle and iowait.
	Usage float64
	// States is the share of each state in the time of all processors.
	States CPUStates
	// Cores are the processors that are online.
	Cores []Core
	// Logical and Physical count processors; Physical is 0 where it is not known.
	Logical, Physical int
	// Frequency holds the limits over all cores and the mean of the current ones, in Hz.
	Frequency struct{ Current, Min, Max float64 }
}

// Core is one logical processor.
type Core struct {
	// ID is the kernel's name, "cpu0".
	ID string
	// Time is the time spent in each state since boot, in seconds.
	Time CPUStates
	// Usage and Share are as in CPU, for this core.
	Usage float64
	Share CPUStates
	// Frequency is the current one in Hz.
	Frequency float64
}

// CPUStates holds one number for each state of a processor. Guest time is part
// of user and nice, as in the kernel.
type CPUStates struct {
	User, Nice, System, Idle, Wait, Interrupt, SoftIRQ, Steal float64
}

// each calls f with the receiver's word for each state.
func (s CPUStates) each(f func(state string, v float64)) {
	f("user", s.User)
	f("nice", s.Nice)
	f("system", s.System)
	f("idle", s.Idle)
	f("wait", s.Wait)
	f("interrupt", s.Interrupt)
	f("softirq", s.SoftIRQ)
	f("steal", s.Steal)
}

func (s CPUStates) total() float64 {
	return s.User + s.Nice + s.System + s.Idle + s.Wait + s.Interrupt + s.SoftIRQ + s.Steal
}

// since returns what passed since before. Each field is clamped: the kernel's
// iowait and idle can go back by a little (proc_stat(5)), and no duration can
// be negative.
func (s CPUStates) since(before CPUStates) CPUStates {
	return CPUStates{
		User: max(s.User-before.User, 0), Nice: max(s.Nice-before.Nice, 0),
		System: max(s.System-before.System, 0), Idle: max(s.Idle-before.Idle, 0),
		Wait: max(s.Wait-before.Wait, 0), Interrupt: max(s.Interrupt-before.Interrupt, 0),
		SoftIRQ: max(s.SoftIRQ-before.SoftIRQ, 0), Steal: max(s.Steal-before.Steal, 0),
	}
}

// atLeast raises each field to the value it had before, so that a
// counter does not fall when the kernel corrects a value. A processor that fell by
// seconds was reset (suspend, migration): then the new values are used.
func (s CPUStates) atLeast(before CPUStates) CPUStates {
	const reset = 3
	if s.total() < before.total()-reset {
		return s
	}
	return CPUStates{
		User: max(s.User, before.User), Nice: max(s.Nice, before.Nice),
		System: max(s.System, before.System), Idle: max(s.Idle, before.Idle),
		Wait: max(s.Wait, before.Wait), Interrupt: max(s.Interrupt, before.Interrupt),
		SoftIRQ: max(s.SoftIRQ, before.SoftIRQ), Steal: max(s.Steal, before.Steal),
	}
}

// shares divides each state by the whole; all are unknown where no time passed.
func (s CPUStates) shares() CPUStates {
	t := s.total()
	if t <= 0 {
		t = unknown
	}
	return CPUStates{
		User: s.User / t, Nice: s.Nice / t, System: s.System / t, Idle: s.Idle / t,
		Wait: s.Wait / t, Interrupt: s.Interrupt / t, SoftIRQ: s.SoftIRQ / t, Steal: s.Steal / t,
	}
}

// busy is the share of time that was neither idle nor waiting for a disk.
func (s CPUStates) busy() float64 {
	return s.User + s.Nice + s.System + s.Interrupt + s.SoftIRQ + s.Steal
}

var (
	coreKey     = Key{Name: "cpu", Semconv: "cpu.logical_number", Number: "cpu", Help: "logical processor: cpu0, cpu1, ..."}
	cpuStateKey = Key{Name: "state", Semconv: "cpu.mode", Values: map[string]string{"wait": "iowait"}, Help: "user, nice, system, idle, wait, interrupt, softirq, steal; guest time is in user and nice"}

	cpuTime = &Metric{
		Name: "system.cpu.time", Unit: "s", Kind: Counter, Keys: []Key{coreKey, cpuStateKey},
		Help: "Time each logical processor spent in each state.", Source: "/proc/stat, lines cpuN",
	}
	cpuUtilization = &Metric{
		Name: "system.cpu.utilization", Unit: "1", Kind: Gauge, Keys: []Key{coreKey, cpuStateKey},
		Help: "Share of the last tick that each logical processor spent in each state.", Source: "difference of system.cpu.time over its own sum",
	}
	cpuLogical = &Metric{
		Name: "system.cpu.logical.count", Unit: "{cpu}", Kind: UpDownCounter, Integer: true,
		Help: "Number of logical processors that are online.", Source: "/proc/stat",
	}
	cpuPhysical = &Metric{
		Name: "system.cpu.physical.count", Unit: "{cpu}", Kind: UpDownCounter, Integer: true,
		Help: "Number of physical cores.", Source: "/proc/cpuinfo (gopsutil)",
	}
	cpuFrequency = &Metric{
		Name: "system.cpu.frequency", Unit: "Hz", Kind: Gauge, Keys: []Key{coreKey},
		Help: "Current frequency of each logical processor, read every 10 s.", Source: "cpufreq/scaling_cur_freq in /sys/devices/system/cpu/cpuN, else /proc/cpuinfo",
	}
	cpuFrequencyLimit = &Metric{
		Name: "sysotel.cpu.frequency.limit", Unit: "Hz", Kind: Gauge,
		Keys: []Key{{Name: "limit", Help: "min or max"}},
		Help: "Minimum and maximum frequency the processors can be set to.", Source: "cpufreq/cpuinfo_min_freq and cpuinfo_max_freq in /sys/devices/system/cpu/cpuN",
	}
	cpuUsage = &Metric{
		Name: "sysotel.cpu.usage", Unit: "1", Kind: Gauge,
		Help: "Share of all processors that was busy (neither idle nor iowait) in the last tick.", Source: "/proc/stat, line cpu",
	}
	cpuCoreUsage = &Metric{
		Name: "sysotel.cpu.core.usage", Unit: "1", Kind: Gauge, Keys: []Key{coreKey},
		Help: "Share of the last tick in which each logical processor was busy.", Source: "/proc/stat, lines cpuN",
	}
	cpuStateUsage = &Metric{
		Name: "sysotel.cpu.state.usage", Unit: "1", Kind: Gauge, Keys: []Key{cpuStateKey},
		Help: "Share of the time of all processors in each state in the last tick.", Source: "/proc/stat, line cpu",
	}
)

// cpu reads the processors.
type cpu struct {
	total     CPUStates
	cores     map[string]CPUStates
	frequency frequencies
	physical  int
	span      span
}

func newCPU() Collector { return &cpu{physical: -1} }

func (*cpu) Name() string { return "cpu" }

func (*cpu) Metrics() []*Metric {
	return []*Metric{cpuTime, cpuUtilization, cpuLogical, cpuPhysical, cpuFrequency, cpuFrequencyLimit, cpuUsage, cpuCoreUsage, cpuStateUsage}
}

func (c *cpu) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	total, cores, err := h.cpuTimes(ctx, t)
	if err != nil {
		return nil, err
	}
	if c.physical < 0 {
		c.physical = h.physicalCores(ctx)
	}
	c.frequency.read(ctx, h, cores)

	first := math.IsNaN(c.span.next(h.Now(), t.Interval))
	r := &CPU{Usage: unknown, States: CPUStates{}.shares(), Logical: len(cores), Physical: c.physical}
	total = total.atLeast(c.total)
	if !first {
		r.States = total.since(c.total).shares()
		r.Usage = r.States.busy()
	}
	c.total = total

	// State is kept by the processor's name: an unplugged one leaves a gap in
	// the numbers, and one that appears has no difference yet.
	seen := make(map[string]CPUStates, len(cores))
	r.Cores = make([]Core, 0, len(cores))
	for _, core := range cores {
		before, known := c.cores[core.id]
		time := core.time.atLeast(before)
		share := CPUStates{}.shares()
		if known && !first {
			share = time.since(before).shares()
		}
		seen[core.id] = time
		r.Cores = append(r.Cores, Core{ID: core.id, Time: time, Usage: share.busy(), Share: share, Frequency: c.frequency.of(core.id)})
	}
	c.cores = seen
	r.Frequency.Current, r.Frequency.Min, r.Frequency.Max = c.frequency.mean(), c.frequency.min, c.frequency.max
	return r, nil
}

// Report implements Reading.
func (c *CPU) Report(o *Observer) {
	for i := range c.Cores {
		core := &c.Cores[i]
		core.Time.each(func(state string, v float64) { o.Float(cpuTime, v, core.ID, state) })
		core.Share.each(func(state string, v float64) { o.Float(cpuUtilization, v, core.ID, state) })
		o.Float(cpuCoreUsage, core.Usage, core.ID)
		o.Float(cpuFrequency, core.Frequency, core.ID)
	}
	c.States.each(func(state string, v float64) { o.Float(cpuStateUsage, v, state) })
	o.Float(cpuUsage, c.Usage)
	o.Int(cpuLogical, int64(c.Logical))
	if c.Physical > 0 {
		o.Int(cpuPhysical, int64(c.Physical))
	}
	o.Float(cpuFrequencyLimit, c.Frequency.Min, "min")
	o.Float(cpuFrequencyLimit, c.Frequency.Max, "max")
}
