package records

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrNoRecord is returned for a time without records.
var ErrNoRecord = errors.New("no process table for that time")

// Order is the ranking of processes, highest first.
type Order string

// The orders: CPU seconds, mean memory while the process ran, peak memory at a
// tick, and bytes read and written.
const (
	ByCPU        Order = "cpu"
	ByMemory     Order = "memory"
	ByPeakMemory Order = "memory_peak"
	ByIO         Order = "io"
)

// Orders lists the orders.
func Orders() []Order { return []Order{ByCPU, ByMemory, ByPeakMemory, ByIO} }

// Usage is what one process, or several together, used in a time range.
type Usage struct {
	// CPUSeconds is user and system time; NaN if never known.
	CPUSeconds float64
	// Seen is the time for which it was seen; for several, the sum.
	Seen time.Duration
	// MemoryMean is the mean resident memory in bytes while a process was seen (for
	// several: their sum over the recorded time), MemoryPeak the maximum of one
	// process at a tick.
	MemoryMean, MemoryPeak float64
	// ReadBytes and WriteBytes are NaN if never known.
	ReadBytes, WriteBytes float64
}

// ProcessUsage is what one process used. Its strings are untrusted.
type ProcessUsage struct {
	PID                         int
	Start                       uint64
	BootID                      string
	Name, Program, User, Status string
	Kernel                      bool
	CommandLine                 string
	Threads                     int
	Started                     time.Time
	// Count is 0 for one process. Else the row is of as many that lived between two ticks, its
	// PID is 0, and Parent the program of the next process above them that a tick had.
	Count  uint64
	Parent string
	Usage
}

// Span is a time span and the resolution of the records used for it.
type Span struct {
	Resolution time.Duration
	From, To   time.Time
}

// Processes is the process table over a time range.
type Processes struct {
	// Start and End are the span of the records used; it can be wider than
	// requested if only coarse records are left.
	Start, End time.Time
	// Spans are the resolutions used, without times that have no records.
	Spans []Span
	// Covered is the time with process tables, CPUCovered the part of it with known
	// CPU time, by which CPU seconds are to be divided.
	Covered, CPUCovered time.Duration
	CPUs                int
	MemoryTotal         uint64
	// HostCPUSeconds is the CPU time of all processors: of the rows, the others and
	// unattributed. NaN if unknown.
	HostCPUSeconds float64
	// Unattributed is CPU time of no known process: of processes that came and went
	// between two scans (Vanished), and interrupts. It can be slightly negative,
	// because the kernel accounts in steps of 10 ms. NaN where not all processes of the
	// machine were seen.
	Unattributed, Vanished float64
	// Rows are the processes in the requested order, Matched is their number before
	// the limit.
	Rows    []ProcessUsage
	Matched int
	// Others is the sum of everything not in the rows.
	Others Usage
	// Damaged is the number of unreadable records; their time is not covered.
	Damaged int
}

// maxRead is the maximum number of records per query.
const maxRead = 4096

// ErrTooMuch is returned for a query that needs more records.
var ErrTooMuch = fmt.Errorf("the range needs more than %d process records, use a shorter range", maxRead)

// ProcessesAt returns the process table of the finest record that covers a time.
func (r *Records) ProcessesAt(ctx context.Context, t time.Time) (*Processes, error) {
	at := t.UnixMilli()
	var p *Processes
	err := r.runQuery(ctx, func(q *tableQuery) error {
		for _, tier := range q.tiers {
			s, err := q.first(ctx, tier.key(at), tier.key(maxTime)+1)
			if err != nil {
				return err
			}
			if s == nil || s.since >= at || s.last < at {
				continue
			}
			if err := q.merge(s); err != nil {
				continue // A coarser one may be readable.
			}
			q.span(tier, s.since, s.last)
			p = q.result(ProcessQuery{Order: ByCPU})
			return nil
		}
		return ErrNoRecord
	})
	return p, err
}

// ProcessQuery selects processes over a time range.
type ProcessQuery struct {
	Start, End time.Time
	Order      Order
	// Top is how many rows to return; 0 means all.
	Top int
	// Match is a PID, or part of a name, program, user or command line, ignoring
	// case; empty matches all.
	Match string
}

// ProcessesBetween returns what processes used in a time range. Whole buckets are
// read from the coarsest tier that fits, because its sums are the most complete;
// the ends from finer tiers.
func (r *Records) ProcessesBetween(ctx context.Context, pq ProcessQuery) (*Processes, error) {
	if !slices.Contains(Orders(), pq.Order) {
		return nil, fmt.Errorf("cannot rank processes by %q; allowed are %v", pq.Order, Orders())
	}
	if !pq.Start.Before(pq.End) {
		return nil, errors.New("start must be before end")
	}
	var p *Processes
	err := r.runQuery(ctx, func(q *tableQuery) error {
		from, to := max(pq.Start.UnixMilli(), 0), min(pq.End.UnixMilli(), maxTime)
		if _, err := q.cover(ctx, len(q.tiers)-1, from, to); err != nil {
			return err
		}
		if len(q.spans) == 0 {
			return ErrNoRecord
		}
		p = q.result(pq)
		return nil
	})
	return p, err
}

// result returns the process table of what was read.
func (q *tableQuery) result(pq ProcessQuery) *Processes {
	p := &Processes{
		Covered: milliseconds(q.covered), CPUCovered: milliseconds(q.cpuCovered), CPUs: q.cpus, MemoryTotal: q.memoryTotal << 10,
		HostCPUSeconds: math.NaN(), Unattributed: math.NaN(), Vanished: math.NaN(), Damaged: q.damaged,
	}
	p.Spans = joined(q.spans)
	p.Start, p.End = p.Spans[0].From, p.Spans[len(p.Spans)-1].To
	for _, s := range p.Spans {
		if s.To.After(p.End) {
			p.End = s.To
		}
	}
	attributed := q.others.cpu
	matching := make([]*row, 0, len(q.found))
	match := strings.ToLower(strings.TrimSpace(pq.Match))
	others := q.others
	for _, found := range q.found {
		attributed += found.cpu
		if found.matches(match) {
			matching = append(matching, &found.row)
		} else {
			others.add(&found.sums)
		}
	}
	p.Matched = len(matching)
	slices.SortFunc(matching, func(a, b *row) int {
		return cmp.Or(cmp.Compare(pq.Order.value(&b.sums), pq.Order.value(&a.sums)), cmp.Compare(a.pid, b.pid), cmp.Compare(a.start, b.start), cmp.Compare(a.boot, b.boot))
	})
	for i, m := range matching {
		if pq.Top > 0 && i >= pq.Top {
			others.add(&m.sums)
			continue
		}
		p.Rows = append(p.Rows, m.usage())
	}
	p.Others = others.usage(q.covered)
	if q.cpuCovered > 0 {
		p.HostCPUSeconds = seconds(q.host)
		if !q.partial {
			p.Vanished, p.Unattributed = seconds(q.vanished), seconds(q.host-attributed)
		}
	}
	return p
}

// joined sorts spans and joins adjacent ones of one tier.
func joined(spans []Span) []Span {
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	var all []Span
	for _, s := range spans {
		if n := len(all); n > 0 && all[n-1].Resolution == s.Resolution && !s.From.After(all[n-1].To) {
			if s.To.After(all[n-1].To) {
				all[n-1].To = s.To
			}
			continue
		}
		all = append(all, s)
	}
	return all
}

// value returns the value that an order compares.
func (o Order) value(s *sums) float64 {
	switch o {
	case ByMemory:
		return float64(s.memory) / float64(max(s.seen, 1))
	case ByPeakMemory:
		return float64(s.peak)
	case ByIO:
		return float64(s.moved())
	case ByCPU:
	}
	return float64(s.cpu)
}

func (r *row) matches(query string) bool {
	if query == "" || strconv.Itoa(r.pid) == query {
		return true
	}
	for _, text := range [...]string{r.name, r.program, r.user, r.commandLine} {
		if strings.Contains(strings.ToLower(text), query) {
			return true
		}
	}
	return false
}

func (r *row) usage() ProcessUsage {
	p := ProcessUsage{
		PID: r.pid, Start: r.start, BootID: r.boot, Name: r.name, Program: r.program, User: r.user, Status: r.status,
		Kernel: r.kernel, CommandLine: r.commandLine, Threads: r.threads, Usage: r.sums.usage(r.seen),
		Count: r.count, Parent: r.parent,
	}
	if r.started != 0 {
		p.Started = time.UnixMilli(r.started)
	}
	return p
}

// usage converts sums over a time in milliseconds.
func (s *sums) usage(over int64) Usage {
	u := Usage{CPUSeconds: math.NaN(), Seen: milliseconds(s.seen), MemoryPeak: float64(s.peak) * 1024, ReadBytes: math.NaN(), WriteBytes: math.NaN()}
	if over > 0 {
		u.MemoryMean = float64(s.memory) / float64(over) * 1024
	}
	if s.cpuKnown {
		u.CPUSeconds = seconds(s.cpu)
	}
	if s.ioKnown {
		u.ReadBytes, u.WriteBytes = float64(s.read), float64(s.write)
	}
	return u
}
