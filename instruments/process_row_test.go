package instruments

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func sampleTable() *ProcessTable {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	row := func(pid int, name string, cpu, io float64, rss uint64, threads, started int) Process {
		return Process{
			PID: pid, Name: name, Program: name, User: "root", CPU: cpu, ReadBytesPerSecond: io, WriteBytesPerSecond: io,
			MemoryRSS: rss, Memory: float64(rss) / 100, Threads: threads, Started: at(started), IOKnown: !math.IsNaN(io),
		}
	}
	return &ProcessTable{All: []Process{
		row(1, "init", 0.1, 0, 10, 1, 1),
		row(20, "Nginx", unknown, 5, 40, 9, 50),
		row(30, "bash", 0.1, unknown, 5, 2, 30),
		row(40, "postgres", 0.7, 9, 30, 4, 40),
	}}
}

func TestProcessTableTop(t *testing.T) {
	f := func(n int, by Order, query string, matched int, pids ...int) {
		t.Helper()
		table := sampleTable()
		rows, others, m := table.Top(n, by, query)
		var got []int
		for _, r := range rows {
			got = append(got, r.PID)
		}
		if !slices.Equal(got, pids) || m != matched {
			t.Errorf("top %d by %s of %q: PIDs %v of %d, want %v of %d", n, by, query, got, m, pids, matched)
		}
		if others.Processes+len(rows) != len(table.All) {
			t.Errorf("top %d by %s of %q: %d rows and %d others", n, by, query, len(rows), others.Processes)
		}
	}
	f(2, ByCPU, "", 4, 40, 1)
	f(0, ByCPU, "", 4, 40, 1, 30, 20) // What is not known comes last.
	f(-1, ByPID, "", 4, 1, 20, 30, 40)
	f(9, ByMemory, "", 4, 20, 40, 1, 30)
	f(9, ByIO, "", 4, 40, 20, 1, 30)
	f(9, ByName, "", 4, 30, 1, 20, 40)
	f(1, ByThreads, "", 4, 20)
	f(1, ByStarted, "", 4, 20)
	f(5, ByCPU, "NGINX", 1, 20)
	f(5, ByCPU, " 30 ", 1, 30)
	f(5, ByCPU, "3", 0)
	f(1, ByPID, "root", 4, 1)
	f(1, "no such order", "", 4, 1)
	if len(Orders()) != 7 {
		t.Errorf("orders %v", Orders())
	}
}

func TestRowsAndOthersAreTheWhole(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		table := &ProcessTable{}
		var whole Totals
		for pid := range random.IntN(60) {
			p := Process{
				PID: pid + 1, CPU: float64(random.IntN(64)) / 64, MemoryRSS: uint64(random.IntN(1000)), Virtual: 7,
				Threads: random.IntN(9), ReadBytesPerSecond: float64(random.IntN(99)), WriteBytesPerSecond: 1,
				Chosen: random.IntN(3) == 0,
			}
			p.Memory = float64(p.MemoryRSS) / 1024
			table.All = append(table.All, p)
			whole.add(&p)
		}
		check := func(rows []Process, others Totals) {
			t.Helper()
			sum := others
			for i := range rows {
				sum.add(&rows[i])
			}
			if len(table.All) > 0 && sum != whole {
				t.Fatalf("rows and others are %+v, the whole is %+v", sum, whole)
			}
		}
		rows, others, _ := table.Top(1+random.IntN(20), Orders()[random.IntN(7)], []string{"", "1"}[random.IntN(2)])
		check(rows, others)
		check(table.Chosen())
	}
}

func TestTotalsOfUnknownNumbersAreUnknown(t *testing.T) {
	var none, some Totals
	none.add(&Process{CPU: unknown, ReadBytesPerSecond: unknown})
	if !math.IsNaN(none.CPU) || !math.IsNaN(none.ReadBytesPerSecond) || none.Processes != 1 {
		t.Errorf("got %+v", none)
	}
	some.add(&Process{CPU: unknown})
	some.add(&Process{CPU: 0.25})
	some.add(&Process{CPU: unknown})
	if some.CPU != 0.25 {
		t.Errorf("got %+v", some)
	}
}

func TestTheTableIsNotTouchedByAnAnswer(t *testing.T) {
	table := sampleTable()
	rows, _, _ := table.Top(0, ByName, "")
	rows[0].PID = 99
	var pids []int
	for _, p := range table.All {
		pids = append(pids, p.PID)
	}
	if !slices.Equal(pids, []int{1, 20, 30, 40}) {
		t.Errorf("the table holds %v", pids)
	}
}
