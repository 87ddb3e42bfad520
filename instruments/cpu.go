package instruments

import (
	"context"
	"errors"
)

// CPU is a reading of the processors.
type CPU struct {
	misread

	// Usage is the share of all processors that was busy since the reading
	// before, 0 to 1. Busy is everything but idle and iowait.
	Usage float64
	// States is the share of each state in the time of all processors.
	States CPUStates
	// Cores are the processors that are online.
	Cores []Core
	// Logical and Physical count processors; they are 0 where they are not known.
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

var (
	coreKey     = Key{Name: "cpu", Semconv: "cpu.logical_number", Number: "cpu", Help: "logical processor: cpu0, cpu1, ..."}
	cpuStateKey = Key{Name: "state", Semconv: "cpu.mode", Values: map[string]string{"wait": "iowait"}, Help: "user, nice, system, idle, wait, interrupt, softirq, steal; guest time is in user and nice"}

	cpuTime = &Metric{
		Name: "system.cpu.time", Unit: "s", Kind: Counter, Keys: []Key{coreKey, cpuStateKey},
		Help: "Time each logical processor spent in each state.", Source: "/proc/stat, lines cpuN",
	}
	cpuUtilization = &Metric{
		Name: "system.cpu.utilization", Unit: "1", Kind: Gauge, Keys: []Key{coreKey, cpuStateKey},
		Help: "Share of the last tick that each logical processor spent in each state.", Source: "difference of system.cpu.time over its own sum, or over the time that passed where the two disagree",
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
		Help: "Current frequency of each logical processor, read every 10 s beside the tick.", Source: "cpufreq/scaling_cur_freq in /sys/devices/system/cpu/cpuN, else /proc/cpuinfo",
	}
	cpuFrequencyLimit = &Metric{
		Name: "sysotel.cpu.frequency.limit", Unit: "Hz", Kind: Gauge,
		Keys: []Key{{Name: "limit", Help: "min or max"}},
		Help: "Minimum and maximum frequency the processors can be set to.", Source: "cpufreq/cpuinfo_min_freq and cpuinfo_max_freq in /sys/devices/system/cpu/cpuN",
	}
	cpuUsage = &Metric{
		Name: "sysotel.cpu.usage", Unit: "1", Kind: Gauge,
		Help: "Share of all processors that was busy (neither idle nor iowait) in the last tick.", Source: "/proc/stat, sum of the lines cpuN",
	}
	cpuCoreUsage = &Metric{
		Name: "sysotel.cpu.core.usage", Unit: "1", Kind: Gauge, Keys: []Key{coreKey},
		Help: "Share of the last tick in which each logical processor was busy.", Source: "/proc/stat, lines cpuN",
	}
	cpuStateUsage = &Metric{
		Name: "sysotel.cpu.state.usage", Unit: "1", Kind: Gauge, Keys: []Key{cpuStateKey},
		Help: "Share of the time of all processors in each state in the last tick.", Source: "/proc/stat, sum of the lines cpuN",
	}
)

// cpu reads the processors.
type cpu struct {
	processors  processors
	frequencies frequencies
}

func newCPU() Collector { return &cpu{frequencies: newFrequencies()} }

func (*cpu) Name() string { return "cpu" }

func (*cpu) Metrics() []*Metric {
	return []*Metric{cpuTime, cpuUtilization, cpuLogical, cpuPhysical, cpuFrequency, cpuFrequencyLimit, cpuUsage, cpuCoreUsage, cpuStateUsage}
}

func (c *cpu) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	stat, err := h.processorTimes(ctx, t)
	if err != nil {
		return nil, err
	}
	if len(stat.cores) == 0 && stat.total == noTicks {
		return nil, errors.New("parse /proc/stat: no line of a processor can be read")
	}
	r := &CPU{Logical: len(stat.cores), Cores: make([]Core, 0, len(stat.cores)), misread: stat.odd}
	r.States, r.Usage = c.processors.next(stat, t.Interval).of()
	for _, core := range stat.cores {
		one := c.processors.cores[core.id]
		share, usage := one.shares.of()
		r.Cores = append(r.Cores, Core{ID: core.id, Time: one.reported(), Usage: usage, Share: share, Frequency: unknown})
	}
	for _, id := range c.processors.gone {
		r.note("/proc/stat: "+id, "its times cannot be"+leftOut)
	}
	for _, id := range c.processors.partly {
		r.note("/proc/stat: "+id, "some of its times cannot be"+leftOut)
	}
	c.frequencies.fill(r, h, stat.at)
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
	if c.Logical > 0 {
		o.Int(cpuLogical, int64(c.Logical))
	}
	if c.Physical > 0 {
		o.Int(cpuPhysical, int64(c.Physical))
	}
	o.Float(cpuFrequencyLimit, c.Frequency.Min, "min")
	o.Float(cpuFrequencyLimit, c.Frequency.Max, "max")
}
