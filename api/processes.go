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
	Timestamp    time.Time      `json:"timestamp" doc:"Time of the tick at which the processes were looked at, in UTC; of the past, the end of the period."`
	Hostname     string         `json:"hostname" doc:"Name of the machine."`
	CPUCount     int            `json:"cpu_count" doc:"Number of logical processors: cpu_percent times this is cpu_percent_core."`
	MemoryTotal  count          `json:"memory_total" doc:"The machine's memory in bytes."`
	Total        int            `json:"total" doc:"Number of all processes; of the past, of those that the records name."`
	Matched      int            `json:"matched" doc:"Number of processes that match q."`
	Sort         string         `json:"sort" doc:"What the rows are sorted by."`
	Processes    []ProcessRow   `json:"processes" nullable:"false" doc:"The first processes in that order."`
	Others       ProcessOthers  `json:"others" doc:"The sum of all processes that are not among the rows, so that rows and others are the whole table."`
	Unattributed ProcessNobodys `json:"unattributed" doc:"Processor time of processes that came and went between two looks."`
	Unreadable   int            `json:"unreadable" doc:"Processes whose reads and writes the agent may not see."`
	Hidden       int            `json:"hidden" doc:"Processes of which the agent may see nothing."`
	Period       *ProcessPeriod `json:"period,omitempty" doc:"The time that the numbers are of; absent for the present."`
}

// ProcessRow is one process.
type ProcessRow struct {
	Name             string     `json:"name" doc:"Its name, which whoever runs it can choose."`
	PID              int        `json:"pid" doc:"Its number."`
	ParentPID        *int       `json:"parent_pid" doc:"The number of the process that made it, 0 for the system itself; null where that is not known, as of the past."`
	Program          string     `json:"program" doc:"The program, under which processes are added up: python3:manage.py."`
	User             string     `json:"user" doc:"Its owner; empty where the system does not tell."`
	Status           string     `json:"status" doc:"running, sleeping, idle, blocked (waits for a disk), stopped, zombie or another state."`
	Kernel           bool       `json:"kernel" doc:"Whether it is a thread of the kernel."`
	CPUPercent       number     `json:"cpu_percent" doc:"Share of the whole machine in the last tick, or over the period: 100 is all processors."`
	CPUPercentCore   number     `json:"cpu_percent_core" doc:"The same with 100 for one processor, as top shows it."`
	CPUSeconds       number     `json:"cpu_seconds" doc:"Processor time since it started; of the past, used in the period."`
	MemoryPercent    number     `json:"memory_percent" doc:"memory_rss as a share of the machine's memory."`
	MemoryRSS        count      `json:"memory_rss" doc:"Resident memory in bytes, pages that it shares with others included; of the past, the mean while it ran."`
	NumThreads       int        `json:"num_threads" doc:"Number of threads."`
	ReadBytesPerSec  number     `json:"read_bytes_per_sec" doc:"Bytes read from disks; null where the agent may not see it."`
	WriteBytesPerSec number     `json:"write_bytes_per_sec" doc:"Bytes written to disks; null where the agent may not see it."`
	Started          *time.Time `json:"started" doc:"When it started."`
	CommandLine      string     `json:"command_line,omitempty" doc:"Its arguments; for administrators only, and only where processes.command_line is on."`
	MemoryPeak       *count     `json:"memory_peak,omitempty" doc:"The most memory_rss at any tick of the period."`
	ReadBytes        *count     `json:"read_bytes,omitempty" doc:"Bytes read from disks in the period; null where the agent may not see it."`
	WriteBytes       *count     `json:"write_bytes,omitempty" doc:"Bytes written to disks in the period; null where the agent may not see it."`
	SeenSeconds      *number    `json:"seen_seconds,omitempty" doc:"Time of the period in which it ran."`
}

// ProcessOthers is the sum of the processes that have no row.
type ProcessOthers struct {
	Processes        int     `json:"processes" doc:"How many they are; of the past, those that the records name. The sums include those that they do not."`
	CPUPercent       number  `json:"cpu_percent" doc:"Share of the whole machine."`
	CPUPercentCore   number  `json:"cpu_percent_core" doc:"The same with 100 for one processor."`
	MemoryPercent    number  `json:"memory_percent" doc:"Shared pages are counted once in every process, so this can pass 100."`
	MemoryRSS        count   `json:"memory_rss" doc:"Shared pages are counted once in every process."`
	NumThreads       int     `json:"num_threads" doc:"Number of threads."`
	ReadBytesPerSec  number  `json:"read_bytes_per_sec" doc:"Of those that the agent may see."`
	WriteBytesPerSec number  `json:"write_bytes_per_sec" doc:"Of those that the agent may see."`
	CPUSeconds       *number `json:"cpu_seconds,omitempty" doc:"Processor time used in the period."`
}

// ProcessNobodys is processor time that no process of the table used.
type ProcessNobodys struct {
	CPUPercent     number `json:"cpu_percent" doc:"Share of the whole machine in the last tick, or over the period. It can be a little below 0: the kernel accounts in steps of 10 ms."`
	CPUPercentCore number `json:"cpu_percent_core" doc:"The same with 100 for one processor."`
	CPUSeconds     number `json:"cpu_seconds" doc:"Processor time since the agent started; of the past, used in the period."`
}

// ProcessesQuery is what a caller asks.
type ProcessesQuery struct {
	Top   int          `query:"top" minimum:"1" maximum:"1000" default:"20" example:"2" doc:"How many rows."`
	Sort  processOrder `query:"sort" default:"cpu" example:"cpu" doc:"What the rows are sorted by: numbers from the greatest down, names and PIDs upwards."`
	Q     string       `query:"q" maxLength:"100" doc:"Part of a name, program or user in upper or lower case, or a whole PID; empty matches all."`
	At    string       `query:"at" maxLength:"64" doc:"A past moment: RFC 3339, Unix seconds, or relative to now such as -15m. The present where it and start are left out."`
	Start string       `query:"start" maxLength:"64" doc:"Start of a time over which the processes are ranked, written like at."`
	End   string       `query:"end" maxLength:"64" doc:"Its end. Default now."`
}

// processOrder is an order of the process table; its schema lists them all.
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

func (s *Server) registerProcesses() {
	register(s, Operation{
		ID: "get-processes", Method: http.MethodGet, Path: "/api/v1/metrics/processes",
		Summary: "The process table, now or at any past moment",
		Description: "The processes at the newest tick; with `at`, at a past moment; with `start` and `end`, what they used over a time, ranked by `sort`: processor seconds, mean memory (`memory`), the most memory (`memory_peak`) or bytes read and written (`io`). Both ways of counting processor time are there: `cpu_percent` of the whole machine, and `cpu_percent_core` where 100 is one processor. " +
			"The rows, `others` and `unattributed` together are all processor time that was used.\n\n" +
			"Of the past those processes are told by name that used most of something at the time; all else is in `others`. `period` says how fine the records are and what time they cover.",
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
				problem(http.StatusServiceUnavailable, "There is no process table: the family process is switched off, or its newest reading failed; /api/v1/health says which."),
				http.Header{"Retry-After": {"5"}})
		}
		answer := readProcesses(table, *q, callerOf(ctx))
		answer.Timestamp, answer.Hostname = at.UTC(), s.options.Hostname
		return &processesOutput{answer}, nil
	})
}

// readProcesses answers a question from the process table.
func readProcesses(table *instruments.ProcessTable, q ProcessesQuery, caller Caller) *Processes {
	if !caller.seesCommandLines() {
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
