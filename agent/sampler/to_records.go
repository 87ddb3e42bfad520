package sampler

import (
	"context"
	"math"
	"time"

	"sysotel/agent/records"
	"sysotel/instruments"
)

// Records keep process tables and events.
type Records interface {
	AddProcesses(records.ProcessReading)
	AddEvent(records.Event) error
	// Events and Newest tell what an earlier run of the agent left behind.
	Events(context.Context, records.EventQuery) (*records.EventPage, error)
	Newest() time.Time
}

// toRecords hands the process table of each tick to the records.
type toRecords struct {
	records  Records
	interval time.Duration
	boot     string
	// last is the tick of the newest table that was handed over.
	last time.Time
	// rows are used again at each tick: the records do not keep them.
	rows []records.ProcessRow
}

// tick hands over the table of a tick. Of a tick without a table nothing is told:
// the next one then covers the time since the table before, as long as the family
// itself takes that for one span; after a longer break it covers one interval, and
// what was used in it is not known.
func (d *toRecords) tick(t *instruments.ProcessTable, at time.Time) {
	d.rows = d.rows[:0]
	seconds := t.Elapsed * float64(t.Logical) // Of all processors.
	for i := range t.All {
		p := &t.All[i]
		d.rows = append(d.rows, records.ProcessRow{
			PID: p.PID, Start: p.Start, Name: p.Name, Program: p.Program, User: p.User, Status: p.Status,
			Kernel: p.Kernel, CommandLine: p.CommandLine, Threads: p.Threads,
			CPUSeconds: p.CPU * seconds, RSS: p.MemoryRSS,
			ReadBytes: p.ReadBytes, WriteBytes: p.WriteBytes, IOKnown: p.IOKnown, Started: p.Started,
		})
	}
	d.records.AddProcesses(records.ProcessReading{
		Time: at, Interval: d.span(t.Elapsed, at), BootID: d.boot,
		CPUs: t.Logical, MemoryTotal: t.MemoryTotal,
		HostCPUSeconds: t.Busy, Unattributed: t.Unattributed * seconds, Rows: d.rows,
	})
	d.last = at
	clear(d.rows) // The words of processes that have ended are not held.
}

// span is the time that a table covers. Ticks are whole seconds, so the time
// between them is taken where it agrees with the time that really passed; where the
// clock was set or the machine slept it does not.
func (d *toRecords) span(elapsed float64, at time.Time) time.Duration {
	if math.IsNaN(elapsed) {
		return d.interval
	}
	really := time.Duration(elapsed * float64(time.Second))
	if between := at.Sub(d.last); (between - really).Abs() < d.interval/2 {
		return between
	}
	return max(really.Round(time.Millisecond), time.Millisecond)
}
