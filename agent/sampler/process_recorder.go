package sampler

import (
	"context"
	"math"
	"time"

	"sysotel/agent/records"
	"sysotel/instruments"
)

// Records keep the process history and events.
type Records interface {
	AddProcesses(records.ProcessReading)
	AddEvent(records.Event) error
	// Events and Newest return what earlier runs of the agent recorded.
	Events(context.Context, records.EventQuery) (*records.EventPage, error)
	Newest() time.Time
}

// processRecorder hands the process table of each tick to the records.
type processRecorder struct {
	records  Records
	interval time.Duration
	boot     string
	// last is the tick of the newest table.
	last time.Time
	// rows are reused at each tick: the records do not keep them.
	rows []records.ProcessRow
}

// addTable hands over the table of a tick. After a tick without a table the next one
// covers the time since the previous table, as long as the collector measured over
// that time; after a longer break it covers one interval with unknown usage.
func (r *processRecorder) addTable(t *instruments.ProcessTable, at time.Time) {
	r.rows = r.rows[:0]
	seconds := t.Elapsed * float64(t.Logical) // Of all processors.
	for i := range t.All {
		p := &t.All[i]
		r.rows = append(r.rows, records.ProcessRow{
			PID: p.PID, Start: p.Start, Name: p.Name, Program: p.Program, User: p.User, Status: p.Status,
			Kernel: p.Kernel, CommandLine: p.CommandLine, Threads: p.Threads,
			CPUSeconds: p.CPU * seconds, RSS: p.MemoryRSS,
			ReadBytes: p.ReadBytes, WriteBytes: p.WriteBytes, IOKnown: p.IOKnown, Started: p.Started, Young: p.Young,
		})
	}
	var ended []records.EndedProcess
	for _, e := range t.Ended {
		ended = append(ended, records.EndedProcess(e))
	}
	var short []records.ShortProcesses
	for _, s := range t.Short {
		short = append(short, records.ShortProcesses(s))
	}
	r.records.AddProcesses(records.ProcessReading{
		Time: at, Interval: r.span(t.Elapsed, at), BootID: r.boot,
		CPUs: t.Logical, MemoryTotal: t.MemoryTotal,
		HostCPUSeconds: t.Busy, Unattributed: t.Unattributed * seconds, Rows: r.rows, Ended: ended, Short: short,
	})
	r.last = at
	clear(r.rows) // Do not hold on to the texts of processes that have ended.
}

// span is the time that a table covers: the time between the ticks if it agrees with
// the elapsed time, which it does not after a clock step or a suspend, else the
// elapsed time.
func (r *processRecorder) span(elapsed float64, at time.Time) time.Duration {
	if math.IsNaN(elapsed) {
		return r.interval
	}
	measured := time.Duration(elapsed * float64(time.Second))
	if between := at.Sub(r.last); (between - measured).Abs() < r.interval/2 {
		return between
	}
	return max(measured.Round(time.Millisecond), time.Millisecond)
}
