package sampler

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"sysotel/agent/records"
	"sysotel/instruments"
)

// tableOf is a process table of two processors in which the share of one process
// in them and the machine's busy seconds are given.
func tableOf(elapsed, share, busy float64) *instruments.ProcessTable {
	return &instruments.ProcessTable{
		All: []instruments.Process{
			{PID: 1, Start: 11, Name: "init", Program: "init", User: "root", Status: "sleeping", CPU: 0, Threads: 1, MemoryRSS: 1 << 20, Started: at("10:00:00")},
			{PID: 7, Start: 77, Name: "web", Program: "web", User: "www", Status: "running", CPU: share, Threads: 3, MemoryRSS: 1 << 30, ReadBytes: 4096, WriteBytes: 8192, IOKnown: true, CommandLine: "web --serve", Kernel: true},
		},
		Logical: 2, MemoryTotal: 8 << 30, Elapsed: elapsed, Busy: busy, Unattributed: share / 10,
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9 || math.IsNaN(got) != math.IsNaN(want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestProcessTableToRecords(t *testing.T) {
	n := &notebook{}
	d := processRecorder{records: n, interval: time.Second, boot: "boot"}
	unknown := math.NaN()
	type step struct {
		at             string
		elapsed, share float64
		interval       time.Duration
		cpu            float64
	}
	steps := []step{
		{"12:00:00", unknown, unknown, time.Second, unknown}, // The first look.
		{"12:00:01", 1.004, 0.5, time.Second, 1.004},
		{"12:00:03", 1.998, 0.5, 2 * time.Second, 1.998},           // A tick without a table in between.
		{"13:00:04", 1.001, 0.25, 1001 * time.Millisecond, 0.5005}, // The clock was set, or the machine slept.
		{"12:00:05", 1.0001, 0.25, time.Second, 0.50005},           // And set back.
		{"12:01:05", unknown, unknown, time.Second, unknown},       // A break of a minute.
		{"12:01:06", 0.6, 1, time.Second, 1.2},                     // Late, then on time.
		{"12:01:09", 2.2, 1, 2200 * time.Millisecond, 4.4},         // A look that was given up came in between.
	}
	for i, s := range steps {
		d.addTable(tableOf(s.elapsed, s.share, s.elapsed*1.5), at(s.at))
		if len(n.readings) != i+1 {
			t.Fatalf("%d readings", len(n.readings))
		}
		r := n.readings[i]
		equal(t, s.at+": time", r.Time, at(s.at))
		equal(t, s.at+": interval", r.Interval, s.interval)
		near(t, s.at+": host", r.HostCPUSeconds, s.elapsed*1.5)
		near(t, s.at+": unattributed", r.Unattributed, s.cpu/10)
		near(t, s.at+": CPU", r.Rows[1].CPUSeconds, s.cpu)
		near(t, s.at+": CPU of the idle", r.Rows[0].CPUSeconds, s.elapsed*0)
	}
	r := n.readings[1]
	equal(t, "boot", r.BootID, "boot")
	equal(t, "processors", r.CPUs, 2)
	equal(t, "memory", r.MemoryTotal, 8<<30)
	row := r.Rows[1]
	row.CPUSeconds = 0
	equal(t, "row", row, records.ProcessRow{
		PID: 7, Start: 77, Name: "web", Program: "web", User: "www", Status: "running", Kernel: true, CommandLine: "web --serve",
		Threads: 3, RSS: 1 << 30, ReadBytes: 4096, WriteBytes: 8192, IOKnown: true,
	})
	equal(t, "start of a process", r.Rows[0].Started, at("10:00:00"))
	table := tableOf(1, 0.5, 1.5)
	table.All[1].Young = true
	table.Ended = []instruments.EndedProcess{{PID: 9, Start: 99, ReadBytes: 1, WriteBytes: 2, CPUSeconds: 3}}
	d.addTable(table, at("12:01:10"))
	r = n.readings[len(n.readings)-1]
	equal(t, "ended", fmt.Sprint(r.Ended), "[{9 99 1 2 3}]")
	equal(t, "young", fmt.Sprint(r.Rows[0].Young, r.Rows[1].Young), "false true")
}

// forgetful takes records and keeps nothing.
type forgetful struct{ notebook }

func (*forgetful) AddProcesses(records.ProcessReading) {}

// TestProcessTableCostsNoMemory: 250 processes each second must not feed the collector.
func TestProcessTableCostsNoMemory(t *testing.T) {
	table := &instruments.ProcessTable{All: make([]instruments.Process, 250), Logical: 2, Elapsed: 1}
	d := processRecorder{records: &forgetful{}, interval: time.Second}
	now := at("12:00:00")
	if n := testing.AllocsPerRun(100, func() { now = now.Add(time.Second); d.addTable(table, now) }); n > 0 {
		t.Errorf("%v allocations a tick", n)
	}
}

// TestMissingTable: a tick whose table failed, and one at which the collector is not
// due, add nothing to the records.
func TestMissingTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zero := time.Now().UTC()
		var log logbook
		f := &fake{name: "process", read: func(_ context.Context, tick instruments.Tick) (instruments.Reading, error) {
			if tick.Seq == 3 {
				return nil, instruments.ErrUnsupported
			}
			return tableOf(1, 0.5, 1), nil
		}}
		slow := &fake{name: "filesystem"}
		s, n := recorded(t, &log, f, slow)
		s.events.boot = "b"
		start(t, s)
		pass(4500 * time.Millisecond)
		var times []time.Time
		for _, r := range n.readings {
			times = append(times, r.Time)
			equal(t, "boot", r.BootID, "b")
		}
		equalInts(t, "readings", secondsOf(times, zero), 0, 1, 3, 4)
	})
}

// TestRecordsAgreeWithTheReadings: the records return what was added.
func TestRecordsAgreeWithTheReadings(t *testing.T) {
	kept, err := records.Open(records.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	d := processRecorder{records: kept, interval: time.Second, boot: "boot"}
	begin := at("12:00:00")
	for i := range 61 {
		elapsed := 1.0
		if i == 0 {
			elapsed = math.NaN()
		}
		d.addTable(tableOf(elapsed, 0.25, 0.75), begin.Add(time.Duration(i)*time.Second))
	}
	p, err := kept.ProcessesBetween(t.Context(), records.ProcessQuery{Start: begin, End: begin.Add(time.Minute), Order: records.ByCPU})
	if err != nil {
		t.Fatal(err)
	}
	var cpu float64
	for _, r := range p.Rows {
		if !math.IsNaN(r.CPUSeconds) {
			cpu += r.CPUSeconds
		}
	}
	if len(p.Rows) != 2 || p.HostCPUSeconds == 0 {
		t.Fatalf("answer %+v", p)
	}
	near(t, "rows, others and unattributed against the machine's CPU", cpu+p.Unattributed, p.HostCPUSeconds)
	near(t, "CPU of the first row per second", p.Rows[0].CPUSeconds/p.CPUCovered.Seconds(), 0.5)
}

// BenchmarkChronicle is what a tick of 250 processes on which nothing happens costs
// beyond the records themselves.
func BenchmarkEventRecorder(b *testing.B) {
	var log logbook
	s := New(Options{Host: emptyHost(b), Interval: time.Second, Records: &forgetful{}, Log: log.logger()})
	readings := parts([]string{"cpu0", "cpu1"}, []string{"sda", "sdb"}, []string{"lo", "eth0"}, []string{"/", "/home", "/boot"})
	table := &instruments.ProcessTable{All: make([]instruments.Process, 250), Logical: 2, Elapsed: 1}
	for i := range table.All {
		table.All[i] = instruments.Process{PID: i + 1, MemoryRSS: uint64(i*7919%250) << 20}
	}
	readings["process"], readings["paging"] = table, &instruments.Paging{OOMCounted: true}
	for name, r := range readings {
		f := &collector{Collector: &fake{name: name}}
		f.newest.Store(&snapshot{reading: r, at: at("12:00:00")})
		s.byName[name] = f
	}
	b.ReportAllocs()
	for b.Loop() {
		s.events.afterTick(s, instruments.Tick{Time: at("12:00:00")})
	}
}
