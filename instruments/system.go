package instruments

import (
	"context"
	"time"
)

// System is a reading of uptime, boot time and kernel counters.
type System struct {
	misread

	// Uptime is in seconds, time suspended included; it can be unknown.
	Uptime float64
	// Boot is when it started; the zero time where that is unknown.
	Boot time.Time
	// Created counts processes and threads made since boot, ContextSwitches
	// switches from one task to another; 0 if the system does not count them, above
	// 2^63-1 where they cannot be read.
	Created, ContextSwitches uint64
}

var (
	systemUptime = &Metric{
		Name: "system.uptime", Unit: "s", Kind: Gauge,
		Help: "Uptime, including time suspended.", Source: "/proc/uptime",
	}
	systemBoot = &Metric{
		Name: "sysotel.boot.time", Unit: "s", Kind: Gauge,
		Help: "Unix time at which the machine started.", Source: "/proc/stat, btime",
	}
	processesCreated = &Metric{
		Name: "system.processes.created", Semconv: "system.process.created", Unit: "{processes}", SemconvUnit: "{process}", Kind: Counter, Integer: true,
		Help: "Processes and threads that were created.", Source: "/proc/stat, processes",
	}
	contextSwitches = &Metric{
		Name: "sysotel.context_switches", Unit: "{switch}", Kind: Counter, Integer: true,
		Help: "Context switches of all processors.", Source: "/proc/stat, ctxt",
	}
)

// system reads uptime, boot time and the kernel's counts of tasks.
type system struct {
	uptime *file
	// begun is the start by now less the uptime, where btime is not the machine's.
	begun time.Time
	// counts are the processes created and the context switches.
	counts trail[[2]uint64]
}

func newSystem() Collector { return &system{} }

func (*system) Name() string { return "system" }

func (*system) Metrics() []*Metric {
	return []*Metric{systemUptime, systemBoot, processesCreated, contextSwitches}
}

func (s *system) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	r, err := s.running(ctx, h, t)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Report implements Reading.
func (s *System) Report(o *Observer) {
	o.Float(systemUptime, s.Uptime)
	if !s.Boot.IsZero() {
		o.Float(systemBoot, float64(s.Boot.Unix()))
	}
	if s.Created > 0 {
		o.Uint(processesCreated, s.Created)
	}
	if s.ContextSwitches > 0 {
		o.Uint(contextSwitches, s.ContextSwitches)
	}
}
