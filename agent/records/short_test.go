package records

import (
	"math"
	"testing"
	"time"
)

// TestShortProcessesAreOneRow: processes that no tick had are one row by program and parent,
// over ticks, tiers and a new start, and all CPU time is somebody's.
func TestShortProcessesAreOneRow(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	begin := time.Unix(1_700_000_000, 0).Truncate(time.Hour)
	add := func(r *Records, from, to int) {
		for i := from; i <= to; i++ {
			r.AddProcesses(ProcessReading{
				Time: begin.Add(time.Duration(i) * time.Second), Interval: time.Second, BootID: "boot", CPUs: 2, HostCPUSeconds: 1.5, Unattributed: 0.25,
				Rows:  []ProcessRow{{PID: 7, Start: 1, Name: "make", Program: "make", CPUSeconds: 0.25, RSS: 1 << 20}},
				Ended: []EndedProcess{{CPUSeconds: 0.125}},
				Short: []ShortProcesses{
					{Name: "cc1", Program: "cc1", Parent: "make", Count: 36, CPUSeconds: 0.75, MemoryPeak: uint64(i) << 20},
					{Name: "cc1", Program: "cc1", Count: 1, CPUSeconds: 0.125},
				},
			})
		}
	}
	add(r, 1, 60)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = open(t, dir)
	add(r, 61, 120)
	p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: begin, End: begin.Add(2 * time.Minute), Order: ByCPU})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Rows) != 3 {
		t.Fatalf("%d rows: %+v", len(p.Rows), p.Rows)
	}
	cc1 := p.Rows[0]
	if cc1.Count != 36*120 || cc1.Parent != "make" || cc1.Program != "cc1" || cc1.PID != 0 || math.Abs(cc1.CPUSeconds-90) > 1e-6 || cc1.MemoryPeak != 120<<20 {
		t.Errorf("short processes are %+v", cc1)
	}
	for _, row := range p.Rows[1:] {
		if want := map[string]uint64{"make": 0, "cc1": 120}[row.Program]; row.Count != want || row.Parent != "" {
			t.Errorf("%+v", row)
		}
	}
	if math.Abs(p.Others.CPUSeconds-15) > 1e-6 || math.Abs(p.Unattributed-30) > 1e-6 {
		t.Errorf("others used %v s, %v s are unattributed", p.Others.CPUSeconds, p.Unattributed)
	}
}
