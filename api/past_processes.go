package api

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"sysotel/agent/records"
	"sysotel/instruments"
	"sysotel/instruments/sanitize"
)

// ProcessPeriod is the period of a past process table.
type ProcessPeriod struct {
	Start          time.Time    `json:"start" doc:"Start of the records used; earlier than requested if only coarse records are left."`
	End            time.Time    `json:"end" doc:"End of the records used."`
	CoveredSeconds number       `json:"covered_seconds" doc:"Seconds of the period in which processes were sampled. Rates and shares are relative to this time."`
	HostCPUSeconds number       `json:"host_cpu_seconds" doc:"CPU seconds used by the whole machine: the sum of rows, others and unattributed."`
	Tiers          []SeriesTier `json:"tiers" nullable:"false" doc:"Tier of the records used for each part of the period."`
	DamagedRecords int          `json:"damaged_records" doc:"Number of records that could not be read; their time is not covered."`
}

// byPeakMemory is a sort order for the past only.
const byPeakMemory processOrder = "memory_peak"

// pastProcesses returns the processes of a past moment or period; nil if the
// query is for the present.
func (s *Server) pastProcesses(ctx context.Context, q *ProcessesQuery) (*Processes, error) {
	now := s.now()
	var invalid []error
	var at, start, end time.Time
	switch {
	case q.At != "" && (q.Start != "" || q.End != ""):
		invalid = append(invalid, invalidValue("query.at", sanitize.ValidUTF8(q.At), "cannot be combined with start and end"))
	case q.At != "":
		var ok bool
		if at, ok = parseTime(q.At, now); !ok {
			invalid = append(invalid, invalidValue("query.at", sanitize.ValidUTF8(q.At), timeRule))
		} else if at.After(now) {
			invalid = append(invalid, invalidValue("query.at", sanitize.ValidUTF8(q.At), "must not be in the future; the current time is "+now.UTC().Format(time.RFC3339)))
		}
	case q.Start != "":
		start, end, invalid = timeRange(q.Start, q.End, 0, now)
	case q.End != "":
		invalid = append(invalid, invalidValue("query.end", sanitize.ValidUTF8(q.End), "requires start"))
	case q.Sort == byPeakMemory:
		invalid = append(invalid, invalidValue("query.sort", string(q.Sort), "is available for the past only: give start, or sort by memory"))
	}
	if len(invalid) > 0 {
		return nil, problem(http.StatusUnprocessableEntity, invalidQuery, invalid...)
	}
	seq, tick, _ := s.options.Machine.Tick()
	newest := q.At != "" && seq > 0 && !at.Before(tick) && q.Sort != byPeakMemory
	if q.At == "" && q.Start == "" || newest {
		return nil, nil //nolint:nilnil // The caller handles the present.
	}
	if s.options.Records == nil {
		return nil, notKept("past process tables", "keeps no records")
	}
	var found *records.Processes
	var err error
	if q.At != "" {
		found, err = s.options.Records.ProcessesAt(ctx, at)
	} else {
		found, err = s.options.Records.ProcessesBetween(ctx, records.ProcessQuery{Start: start, End: end, Order: records.ByCPU})
	}
	if err != nil {
		return nil, recordsProblem(err, nil)
	}
	response := readPastProcesses(found, *q, callerOf(ctx))
	response.Hostname = s.options.Hostname
	return response, nil
}

// readPastProcesses selects and sorts the rows of recorded processes. It searches
// here, not in package records, because callers who may not see command lines
// must not search them either.
func readPastProcesses(from *records.Processes, q ProcessesQuery, caller Caller) *Processes {
	rows := from.Rows
	if !caller.seesCommandLines() {
		rows = slices.Clone(rows)
		for i := range rows {
			rows[i].CommandLine = ""
		}
	}
	p := past{Processes: from, processorSeconds: unknown, covered: from.Covered.Seconds()}
	if from.CPUCovered > 0 && from.CPUs > 0 {
		p.processorSeconds = from.CPUCovered.Seconds() * float64(from.CPUs)
	}
	query := strings.ToLower(strings.TrimSpace(q.Q))
	var matching []*records.ProcessUsage
	others, threads := from.Others, 0
	leaveOut := func(r *records.ProcessUsage) {
		p.add(&others, &r.Usage)
		threads += r.Threads
	}
	for i := range rows {
		if r := &rows[i]; matchesUsage(r, query) {
			matching = append(matching, r)
		} else {
			leaveOut(r)
		}
	}
	slices.SortFunc(matching, q.Sort.comparePast)
	response := &Processes{
		Timestamp: from.End.UTC(), CPUCount: from.CPUs, MemoryTotal: count(unknown), Total: len(rows), Matched: len(matching), Sort: string(q.Sort),
		Unattributed: ProcessNobodys{p.share(from.Unattributed, 1), p.share(from.Unattributed, float64(from.CPUs)), number(from.Unattributed)},
		Period: &ProcessPeriod{
			Start: from.Start.UTC(), End: from.End.UTC(), CoveredSeconds: number(p.covered), HostCPUSeconds: number(from.HostCPUSeconds),
			Tiers: []SeriesTier{}, DamagedRecords: from.Damaged,
		},
	}
	if from.MemoryTotal > 0 {
		response.MemoryTotal = count(from.MemoryTotal)
	}
	for _, span := range from.Spans {
		response.Period.Tiers = append(response.Period.Tiers, SeriesTier{Tier: model.Duration(span.Resolution).String(), From: span.From.UTC(), To: span.To.UTC()})
	}
	shown := min(q.Top, len(matching))
	response.Processes = make([]ProcessRow, 0, shown)
	for i, r := range matching {
		if i < shown {
			response.Processes = append(response.Processes, p.row(r))
		} else {
			leaveOut(r)
		}
	}
	response.Others = p.others(&others, len(rows)-shown, threads)
	return response
}

// past is a recorded table with the divisors of its rates and shares.
type past struct {
	*records.Processes
	processorSeconds, covered float64
}

// share is CPU time as a percentage of all processors, or of one processor if
// cores is their number.
func (p *past) share(seconds, cores float64) number {
	return percentOf(seconds / p.processorSeconds * cores)
}

// memoryShare is memory as a percentage of the machine's.
func (p *past) memoryShare(bytes float64) number {
	if p.MemoryTotal == 0 {
		return number(unknown)
	}
	return percentOf(bytes / float64(p.MemoryTotal))
}

func (p *past) row(r *records.ProcessUsage) ProcessRow {
	seen := number(r.Seen.Seconds())
	peak, read, written := count(r.MemoryPeak), count(r.ReadBytes), count(r.WriteBytes)
	row := ProcessRow{
		Name: r.Name, PID: r.PID, Program: r.Program, User: r.User, Status: r.Status, Kernel: r.Kernel,
		CPUPercent: p.share(r.CPUSeconds, 1), CPUPercentCore: p.share(r.CPUSeconds, float64(p.CPUs)), CPUSeconds: number(r.CPUSeconds),
		MemoryPercent: p.memoryShare(r.MemoryMean), MemoryRSS: count(r.MemoryMean), NumThreads: r.Threads,
		ReadBytesPerSec: number(r.ReadBytes / p.covered), WriteBytesPerSec: number(r.WriteBytes / p.covered),
		CommandLine: r.CommandLine, Count: r.Count, Parent: r.Parent,
		MemoryPeak: &peak, ReadBytes: &read, WriteBytes: &written, SeenSeconds: &seen,
	}
	if !r.Started.IsZero() {
		row.Started = utcPointer(r.Started.Truncate(time.Millisecond))
	}
	return row
}

func (p *past) others(u *records.Usage, processes, threads int) ProcessOthers {
	seconds := number(u.CPUSeconds)
	return ProcessOthers{
		Processes: processes, NumThreads: threads, CPUSeconds: &seconds,
		CPUPercent: p.share(u.CPUSeconds, 1), CPUPercentCore: p.share(u.CPUSeconds, float64(p.CPUs)),
		MemoryPercent: p.memoryShare(u.MemoryMean), MemoryRSS: count(u.MemoryMean),
		ReadBytesPerSec: number(u.ReadBytes / p.covered), WriteBytesPerSec: number(u.WriteBytes / p.covered),
	}
}

// add adds a process to those without a row. Their mean memory is over the whole
// period, that of a process over the time it ran.
func (p *past) add(sum *records.Usage, u *records.Usage) {
	known := func(sum *float64, v float64) {
		switch {
		case math.IsNaN(v):
		case math.IsNaN(*sum):
			*sum = v
		default:
			*sum += v
		}
	}
	known(&sum.CPUSeconds, u.CPUSeconds)
	known(&sum.ReadBytes, u.ReadBytes)
	known(&sum.WriteBytes, u.WriteBytes)
	if p.covered > 0 {
		known(&sum.MemoryMean, u.MemoryMean*u.Seen.Seconds()/p.covered)
	}
	sum.Seen += u.Seen
	sum.MemoryPeak = max(sum.MemoryPeak, u.MemoryPeak)
}

// comparePast compares two rows: numbers descending with unknown ones last, names
// and PIDs ascending.
func (o processOrder) comparePast(a, b *records.ProcessUsage) int {
	var c int
	switch instruments.Order(o) {
	case instruments.ByCPU:
		c = cmp.Compare(b.CPUSeconds, a.CPUSeconds)
	case instruments.ByMemory:
		c = cmp.Compare(b.MemoryMean, a.MemoryMean)
	case instruments.Order(byPeakMemory):
		c = cmp.Compare(b.MemoryPeak, a.MemoryPeak)
	case instruments.ByIO:
		c = cmp.Compare(b.ReadBytes+b.WriteBytes, a.ReadBytes+a.WriteBytes)
	case instruments.ByName:
		c = cmp.Or(cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), cmp.Compare(a.Name, b.Name))
	case instruments.ByThreads:
		c = cmp.Compare(b.Threads, a.Threads)
	case instruments.ByStarted:
		c = b.Started.Compare(a.Started)
		if a.BootID == b.BootID && !a.Started.IsZero() && !b.Started.IsZero() {
			c = cmp.Compare(b.Start, a.Start) // The clock of a boot is never set.
		}
	case instruments.ByPID:
	}
	return cmp.Or(c, cmp.Compare(a.PID, b.PID), a.Started.Compare(b.Started))
}

// matchesUsage reports whether a row matches the query, which is in lower case.
func matchesUsage(r *records.ProcessUsage, query string) bool {
	return query == "" || strconv.Itoa(r.PID) == query || slices.ContainsFunc([]string{r.Name, r.Program, r.User, r.CommandLine}, func(text string) bool {
		return strings.Contains(strings.ToLower(text), query)
	})
}
