package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sysotel/instruments"
)

// Processes is the response of /processes: a process table.
type Processes struct {
	Timestamp    time.Time      `json:"timestamp" doc:"Time of the process table, in UTC; for the past, the end of the period."`
	Hostname     string         `json:"hostname" doc:"Host name."`
	CPUCount     int            `json:"cpu_count" doc:"Number of logical processors; cpu_percent times this number is cpu_percent_core."`
	MemoryTotal  count          `json:"memory_total" doc:"Memory of the machine, in bytes."`
	Total        int            `json:"total" doc:"Number of processes; for the past, of those recorded by name."`
	Matched      int            `json:"matched" doc:"Number of processes that match q."`
	Sort         string         `json:"sort" doc:"Sort order of the rows."`
	Processes    []ProcessRow   `json:"processes" nullable:"false" doc:"The first processes in that order."`
	Others       ProcessOthers  `json:"others" doc:"Sum of all processes without a row, so that rows and others make up the whole table."`
	Unattributed ProcessNobodys `json:"unattributed" doc:"CPU time that no process accounts for: of processes that started and ended between two samples, as far as the kernel did not tell of their ends; null where the agent does not see all processes of the machine."`
	Unreadable   int            `json:"unreadable" doc:"Number of processes whose I/O the agent may not read."`
	Hidden       int            `json:"hidden" doc:"Number of processes hidden from the agent."`
	Period       *ProcessPeriod `json:"period,omitempty" doc:"Period the numbers cover; absent for the present."`
}

// ProcessRow is one process.
type ProcessRow struct {
	Name             string     `json:"name" doc:"Process name, chosen by the user who runs it."`
	PID              int        `json:"pid" doc:"Process ID."`
	ParentPID        *int       `json:"parent_pid" doc:"Parent process ID, 0 for the system itself; null if unknown, as for the past."`
	Count            uint64     `json:"count,omitempty" doc:"Absent for one process. Else the row is of as many short ones of this program, which started and ended between two samples below the same parent; pid is 0."`
	Parent           string     `json:"parent,omitempty" doc:"Program of the next process above short ones that lived longer; absent if unknown, and for one process."`
	Program          string     `json:"program" doc:"Program name used to add processes up, such as python3:manage.py."`
	User             string     `json:"user" doc:"Owner; empty if unknown."`
	Status           string     `json:"status" doc:"State: running, sleeping, idle, blocked (waiting for a disk), stopped, zombie or another one."`
	Kernel           bool       `json:"kernel" doc:"Whether it is a kernel thread."`
	CPUPercent       number     `json:"cpu_percent" doc:"Share of the whole machine during the last tick, or over the period; 100 is all processors."`
	CPUPercentCore   number     `json:"cpu_percent_core" doc:"The same with 100 for one processor, as top shows it."`
	CPUSeconds       number     `json:"cpu_seconds" doc:"CPU seconds since it started; for the past, CPU seconds used in the period."`
	MemoryPercent    number     `json:"memory_percent" doc:"memory_rss as a share of the machine's memory."`
	MemoryRSS        count      `json:"memory_rss" doc:"Resident memory in bytes, including pages shared with other processes; for the past, the mean while it ran."`
	NumThreads       int        `json:"num_threads" doc:"Number of threads."`
	ReadBytesPerSec  number     `json:"read_bytes_per_sec" doc:"Bytes read from disk per second; null if the agent may not read them."`
	WriteBytesPerSec number     `json:"write_bytes_per_sec" doc:"Bytes written to disk per second; null if the agent may not read them."`
	Started          *time.Time `json:"started" doc:"Start time."`
	CommandLine      string     `json:"command_line,omitempty" doc:"Command line; for administrators only, and only if processes.command_line is on."`
	MemoryPeak       *count     `json:"memory_peak,omitempty" nullable:"true" doc:"Peak of memory_rss in the period."`
	ReadBytes        *count     `json:"read_bytes,omitempty" nullable:"true" doc:"Bytes read from disk in the period; null if the agent may not read them."`
	WriteBytes       *count     `json:"write_bytes,omitempty" nullable:"true" doc:"Bytes written to disk in the period; null if the agent may not read them."`
	SeenSeconds      *number    `json:"seen_seconds,omitempty" nullable:"true" doc:"Seconds of the period during which it ran."`
}

// ProcessOthers is the sum of the processes without a row.
type ProcessOthers struct {
	Processes        int     `json:"processes" doc:"Number of these processes; for the past, of those recorded by name. The sums also include the others."`
	CPUPercent       number  `json:"cpu_percent" doc:"Share of the whole machine."`
	CPUPercentCore   number  `json:"cpu_percent_core" doc:"The same with 100 for one processor."`
	MemoryPercent    number  `json:"memory_percent" doc:"Shared pages are counted in each process, so this can exceed 100."`
	MemoryRSS        count   `json:"memory_rss" doc:"Shared pages are counted in each process."`
	NumThreads       int     `json:"num_threads" doc:"Number of threads."`
	ReadBytesPerSec  number  `json:"read_bytes_per_sec" doc:"Sum over the processes the agent may read."`
	WriteBytesPerSec number  `json:"write_bytes_per_sec" doc:"Sum over the processes the agent may read."`
	CPUSeconds       *number `json:"cpu_seconds,omitempty" nullable:"true" doc:"CPU seconds used in the period."`
}

// ProcessNobodys is CPU time not attributed to any process of the table.
type ProcessNobodys struct {
	CPUPercent     number `json:"cpu_percent" doc:"Share of the whole machine during the last tick, or over the period. It can be slightly below 0, because the kernel accounts in steps of 10 ms."`
	CPUPercentCore number `json:"cpu_percent_core" doc:"The same with 100 for one processor."`
	CPUSeconds     number `json:"cpu_seconds" doc:"CPU seconds since the agent started; for the past, CPU seconds used in the period."`
}

// ProcessesQuery is the query of /processes.
type ProcessesQuery struct {
	Top   int          `query:"top" minimum:"1" maximum:"1000" default:"20" example:"2" doc:"Number of rows."`
	Sort  processOrder `query:"sort" default:"cpu" example:"cpu" doc:"Sort order: numbers descending, names and PIDs ascending."`
	Q     string       `query:"q" maxLength:"100" doc:"Part of a name, program or user, case-insensitive, or a whole PID; empty matches everything."`
	At    string       `query:"at" maxLength:"64" doc:"Point in time in the past: RFC 3339, Unix seconds, or relative to now such as -15m. Defaults to the present if start is not given either."`
	Start string       `query:"start" maxLength:"64" doc:"Start of a period over which the processes are ranked, in the format of at."`
	End   string       `query:"end" maxLength:"64" doc:"End of the period. Default: now."`
}

// processOrder is a sort order of the process table.
type processOrder string

// Schema implements huma.SchemaProvider.
func (processOrder) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, order := range instruments.Orders() {
		s.Enum = append(s.Enum, string(order))
	}
	s.Enum = append(s.Enum, string(byPeakMemory))
	return s
}

type processesOutput struct{ Body *Processes }

// Processes registers the operations of this file.
func (operations) Processes(s *Server) {
	register(s, Operation{
		ID: "get-processes", Method: http.MethodGet, Path: "/api/v1/metrics/processes", Table: "processes",
		Summary: "Get the process table, now or in the past",
		Description: "Returns the processes at the newest tick; with `at`, at a past moment; with `start` and `end`, their usage over a period, ranked by `sort`: CPU seconds (`cpu`), mean memory (`memory`), peak memory (`memory_peak`) or bytes read and written (`io`). CPU usage is given as `cpu_percent` of the whole machine and as `cpu_percent_core`, where 100 is one processor. " +
			"The rows, `others` and `unattributed` add up to all CPU time used.\n\n" +
			"For the past, only the top processes of the time are recorded by name; the rest is in `others`. `period` gives the resolution of the records and the time they cover.",
		Access:  Access{Role: Viewer, Cost: Query},
		Example: exampleProcesses(),
		Errors:  []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, func(ctx context.Context, q *ProcessesQuery) (*processesOutput, error) {
		if past, err := s.pastProcesses(ctx, q); past != nil || err != nil {
			return &processesOutput{past}, err
		}
		reading, at := s.options.Machine.Newest("process")
		table, _ := reading.(*instruments.ProcessTable)
		if table == nil {
			if seq, _, _ := s.options.Machine.Tick(); seq == 0 {
				return nil, notYet(errNoReading)
			}
			return nil, huma.ErrorWithHeaders(
				problem(http.StatusServiceUnavailable, "There is no process table: the collector process is disabled or its newest reading failed; see /api/v1/health."),
				http.Header{"Retry-After": {"5"}})
		}
		response := readProcesses(table, *q, callerOf(ctx))
		response.Timestamp, response.Hostname = at.UTC(), s.options.Hostname
		return &processesOutput{response}, nil
	})
}

// readProcesses selects and sorts the rows of a process table.
func readProcesses(table *instruments.ProcessTable, q ProcessesQuery, caller Caller) *Processes {
	if !caller.seesCommandLines() {
		table = withoutCommandLines(table)
	}
	rows, others, matched := table.Top(q.Top, instruments.Order(q.Sort), q.Q)
	cores := float64(table.Logical)
	response := &Processes{
		CPUCount: table.Logical, MemoryTotal: count(unknown),
		Total: len(table.All), Matched: matched, Sort: string(q.Sort),
		Processes:    make([]ProcessRow, 0, len(rows)),
		Others:       blank[ProcessOthers](),
		Unattributed: ProcessNobodys{percentOf(table.Unattributed), percentOf(table.Unattributed * cores), number(table.UnattributedSeconds)},
		Unreadable:   table.Denied, Hidden: table.Hidden,
	}
	if table.MemoryTotal > 0 {
		response.MemoryTotal = count(table.MemoryTotal)
	}
	for i := range rows {
		response.Processes = append(response.Processes, processRow(&rows[i], cores))
	}
	if others.Processes > 0 {
		response.Others = ProcessOthers{
			Processes: others.Processes, CPUPercent: percentOf(others.CPU), CPUPercentCore: percentOf(others.CPU * cores),
			MemoryPercent: percentOf(others.Memory), MemoryRSS: count(others.MemoryRSS), NumThreads: others.Threads,
			ReadBytesPerSec: number(others.ReadBytesPerSecond), WriteBytesPerSec: number(others.WriteBytesPerSecond),
		}
	}
	return response
}

func processRow(p *instruments.Process, cores float64) ProcessRow {
	row := ProcessRow{
		Name: p.Name, PID: p.PID, ParentPID: &p.ParentPID, Program: p.Program, User: p.User, Status: p.Status, Kernel: p.Kernel,
		CPUPercent: percentOf(p.CPU), CPUPercentCore: percentOf(p.CPU * cores), CPUSeconds: number(p.CPUSeconds),
		MemoryPercent: percentOf(p.Memory), MemoryRSS: count(p.MemoryRSS), NumThreads: p.Threads,
		ReadBytesPerSec: number(unknown), WriteBytesPerSec: number(unknown),
		CommandLine: p.CommandLine,
	}
	if p.IOKnown {
		row.ReadBytesPerSec, row.WriteBytesPerSec = number(p.ReadBytesPerSecond), number(p.WriteBytesPerSecond)
	}
	if !p.Started.IsZero() {
		started := p.Started.UTC().Truncate(time.Millisecond)
		row.Started = &started
	}
	return row
}

// withoutCommandLines is the table for callers who are not administrators. The
// search must not see command lines either: otherwise they could be guessed
// letter by letter.
func withoutCommandLines(table *instruments.ProcessTable) *instruments.ProcessTable {
	if !slices.ContainsFunc(table.All, func(p instruments.Process) bool { return p.CommandLine != "" }) {
		return table
	}
	all := slices.Clone(table.All)
	for i := range all {
		all[i].CommandLine = ""
	}
	stripped := *table
	stripped.All = all
	return &stripped
}
