package instruments

import (
	"context"
	"maps"
	"slices"
)

// Processes is a reading of how many processes there are. It is the reading of
// the collector "processes".
type Processes struct {
	// Count is the number of processes by status, in the words of the host
	// metrics receiver.
	Count map[string]int
	// Total is the number of all processes.
	Total int
	// Hidden is set where /proc hides processes from the agent. Then Count is empty and
	// Total means nothing: the processes that it shows are no number of the machine's.
	Hidden bool

	misread
}

var processCount = &Metric{
	Name: "system.processes.count", Semconv: "system.process.count", Unit: "{processes}", SemconvUnit: "{process}", Kind: UpDownCounter, Integer: true,
	Keys: []Key{{
		Name: "status", Semconv: "process.state", Values: map[string]string{"zombies": "defunct"},
		Help: "running, sleeping, blocked (waits for a disk), idle (a kernel thread), stopped, zombies, ...",
	}},
	Help: "Number of processes in each state.", Source: "/proc/PID/stat, third field",
}

var processTotal = &Metric{
	Name: "sysotel.processes.pids", Unit: "{process}", Kind: UpDownCounter, Integer: true,
	Help: "Number of all processes.", Source: "/proc/PID",
}

// processes counts the processes.
type processes struct{}

func newProcesses() Collector { return processes{} }

func (processes) Name() string { return "processes" }

func (processes) Metrics() []*Metric { return []*Metric{processCount, processTotal} }

func (processes) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	r := &Processes{}
	err := h.processes(ctx, t, func(table *processTable) error {
		reason := table.unseen()
		if reason != "" {
			r.hide(wholeScope, reason)
		}
		// A namespace has all of its processes.
		if r.Hidden = reason != "" && table.scope != ownPIDs; !r.Hidden {
			r.Count, r.Total = countStates(table.entries), len(table.entries)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// countStates counts processes by state. The usual states are there with 0 too, unless the
// system does not tell the state of each process: then no state is known to have none.
func countStates(entries []*processEntry) map[string]int {
	count := map[string]int{"running": 0, "sleeping": 0, "blocked": 0, "zombies": 0, "stopped": 0}
	for _, e := range entries {
		count[countWord(e.status)]++
	}
	if count["unknown"] > 0 {
		maps.DeleteFunc(count, func(_ string, n int) bool { return n == 0 })
	}
	return count
}

// countWord is the receiver's word for a status in its count of processes.
func countWord(status string) string {
	if status == "zombie" {
		return "zombies"
	}
	return status
}

// Report implements Reading.
func (p *Processes) Report(o *Observer) {
	for _, status := range slices.Sorted(maps.Keys(p.Count)) {
		o.Int(processCount, int64(p.Count[status]), status)
	}
	if !p.Hidden {
		o.Int(processTotal, int64(p.Total))
	}
}
