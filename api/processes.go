package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sysotel/instruments"
)

// Processes is the answer of /processes: the process table at one moment.
type Processes struct {
	Timestamp    time.Time      `json:"timestamp" doc:"Time of the tick at which the processes were looked at, in UTC."`
	Hostname     string         `json:"hostname" doc:"Name of the machine."`
	CPUCount     int            `json:"cpu_count" doc:"Number of logical processors: cpu_percent times this is cpu_percent_core."`
	MemoryTotal  count          `json:"memory_total" doc:"The machine's memory in bytes."`
	Total        int            `json:"total" doc:"Number of all processes."`
	Matched      int            `json:"matched" doc:"Number of processes that match q."`
	Sort         string         `json:"sort" doc:"What the rows are sorted by."`
	Processes    []ProcessRow   `json:"processes" nullable:"false" doc:"The first processes in that order."`
	Others       ProcessOthers  `json:"others" doc:"The sum of all processes that are not among the rows, so that rows and others are the whole table."`
	Unattributed ProcessNobodys `json:"unattributed" doc:"Processor time of processes that came and went between two looks."`
	Unreadable   int            `json:"unreadable" doc:"Processes whose reads and writes the agent may not see."`
	Hidden       int            `json:"hidden" doc:"Processes of which the agent may see nothing."`
}

// ProcessRow is one process.
type ProcessRow struct {
	Name             string     `json:"name" doc:"Its name, which whoever runs it can choose."`
	PID              int        `json:"pid" doc:"Its number."`
	ParentPID        int        `json:"parent_pid" doc:"The number of the process that made it."`
	Program          string     `json:"program" doc:"The program, under which processes are added up: python3:manage.py."`
	User             string     `json:"user" doc:"Its owner; empty where the system does not tell."`
	Status           string     `json:"status" doc:"running, sleeping, idle, blocked (waits for a disk), stopped, zombie or another state."`
	Kernel           bool       `json:"kernel" doc:"Whether it is a thread of the kernel."`
	CPUPercent       number     `json:"cpu_percent" doc:"Share of the whole machine in the last tick: 100 is all processors."`
	CPUPercentCore   number     `json:"cpu_percent_core" doc:"The same with 100 for one processor, as top shows it."`
	CPUSeconds       number     `json:"cpu_seconds" doc:"Processor time since it started."`
	MemoryPercent    number     `json:"memory_percent" doc:"memory_rss as a share of the machine's memory."`
	MemoryRSS        count      `json:"memory_rss" doc:"Resident memory in bytes, pages that it shares with others included."`
	NumThreads       int        `json:"num_threads" doc:"Number of threads."`
	ReadBytesPerSec  number     `json:"read_bytes_per_sec" doc:"Bytes read from disks; null where the agent may not see it."`
	WriteBytesPerSec number     `json:"write_bytes_per_sec" doc:"Bytes written to disks; null where the agent may not see it."`
	Started          *time.Time `json:"started" doc:"When it started."`
	CommandLine      string     `json:"command_line,omitempty" doc:"Its arguments; for administrators only, and only where processes.command_line is on."`
}

// ProcessOthers is the sum of the processes that have no row.
type ProcessOthers struct {
	Processes        int    `json:"processes" doc:"How many they are."`
	CPUPercent       number `json:"cpu_percent" doc:"Share of the whole machine."`
	CPUPercentCore   number `json:"cpu_percent_core" doc:"The same with 100 for one processor."`
	MemoryPercent    number `json:"memory_percent" doc:"Shared pages are counted once in every process, so this can pass 100."`
	MemoryRSS        count  `json:"memory_rss" doc:"Shared pages are counted once in every process."`
	NumThreads       int    `json:"num_threads" doc:"Number of threads."`
	ReadBytesPerSec  number `json:"read_bytes_per_sec" doc:"Of those that the agent may see."`
	WriteBytesPerSec number `json:"write_bytes_per_sec" doc:"Of those that the agent may see."`
}

// ProcessNobodys is processor time that no process of the table used.
type ProcessNobodys struct {
	CPUPercent     number `json:"cpu_percent" doc:"Share of the whole machine in the last tick."`
	CPUPercentCore number `json:"cpu_percent_core" doc:"The same with 100 for one processor."`
	CPUSeconds     number `json:"cpu_seconds" doc:"Processor time since the agent started."`
}

// ProcessesQuery is what a caller asks.
type ProcessesQuery struct {
	Top  int          `query:"top" minimum:"1" maximum:"1000" default:"20" example:"2" doc:"How many rows."`
	Sort processOrder `query:"sort" default:"cpu" example:"cpu" doc:"What the rows are sorted by: numbers from the greatest down, names and PIDs upwards."`
	Q    string       `query:"q" maxLength:"100" doc:"Part of a name, program or user in upper or lower case, or a whole PID; empty matches all."`
}

// processOrder is an order of the process table; its schema lists them all.
type processOrder string

// Schema implements huma.SchemaProvider.
func (processOrder) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, order := range instruments.Orders() {
		s.Enum = append(s.Enum, string(order))
	}
	return s
}

type processesOutput struct{ Body *Processes }

func (s *Server) registerProcesses() {
	register(s, Operation{
		ID: "get-processes", Method: http.MethodGet, Path: "/api/v1/metrics/processes",
		Summary: "The process table now",
		Description: "The processes at the newest tick. Both ways of counting processor time are there: `cpu_percent` of the whole machine, and `cpu_percent_core` where 100 is one processor. " +
			"The rows, `others` and `unattributed` together are all processor time that was used.",
		Access:  Access{Role: Viewer, Cost: Query},
		Example: exampleProcesses(),
		Errors:  []int{http.StatusServiceUnavailable},
	}, func(ctx context.Context, q *ProcessesQuery) (*processesOutput, error) {
		reading, at := s.options.Machine.Newest("process")
		table, _ := reading.(*instruments.ProcessTable)
		if table == nil {
			if seq, _, _ := s.options.Machine.Tick(); seq == 0 {
				return nil, notYet(errNoReading)
			}
			return nil, huma.ErrorWithHeaders(
				problem(http.StatusServiceUnavailable, "There is no process table: the family process is switched off, or its newest reading failed; /api/v1/health says which."),
				http.Header{"Retry-After": {"5"}})
		}
		answer := readProcesses(table, *q, callerOf(ctx))
		answer.Timestamp, answer.Hostname = at.UTC(), s.options.Hostname
		return &processesOutput{answer}, nil
	})
}

// readProcesses answers a question from the process table.
func readProcesses(table *instruments.ProcessTable, q ProcessesQuery, caller Role) *Processes {
	if caller < Admin {
		table = withoutCommandLines(table)
	}
	rows, others, matched := table.Top(q.Top, instruments.Order(q.Sort), q.Q)
	cores := float64(table.Logical)
	answer := &Processes{
		CPUCount: table.Logical, MemoryTotal: count(unknown),
		Total: len(table.All), Matched: matched, Sort: string(q.Sort),
		Processes:    make([]ProcessRow, 0, len(rows)),
		Others:       blank[ProcessOthers](),
		Unattributed: ProcessNobodys{percentOf(table.Unattributed), percentOf(table.Unattributed * cores), number(table.UnattributedSeconds)},
		Unreadable:   table.Denied, Hidden: table.Hidden,
	}
	if table.MemoryTotal > 0 {
		answer.MemoryTotal = count(table.MemoryTotal)
	}
	for i := range rows {
		answer.Processes = append(answer.Processes, processRow(&rows[i], cores))
	}
	if others.Processes > 0 {
		answer.Others = ProcessOthers{
			Processes: others.Processes, CPUPercent: percentOf(others.CPU), CPUPercentCore: percentOf(others.CPU * cores),
			MemoryPercent: percentOf(others.Memory), MemoryRSS: count(others.MemoryRSS), NumThreads: others.Threads,
			ReadBytesPerSec: number(others.ReadBytesPerSecond), WriteBytesPerSec: number(others.WriteBytesPerSecond),
		}
	}
	return answer
}

func processRow(p *instruments.Process, cores float64) ProcessRow {
	row := ProcessRow{
		Name: p.Name, PID: p.PID, ParentPID: p.ParentPID, Program: p.Program, User: p.User, Status: p.Status, Kernel: p.Kernel,
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

// withoutCommandLines is the table as those may see it who are no
// administrators. A search must not see the command lines either: who can ask
// whether one holds a certain text can read it letter by letter.
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
