package records

import (
	"math"
	"testing"
	"time"
)

// TestGapIsNotOfTheTickAfter: what a process read and wrote during a gap is not
// counted in the next tick; nor is it lost if a single table is missing or only the
// clock was set.
func TestGapIsNotOfTheTickAfter(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration
		host  float64
		want  float64
	}{
		{"no break", time.Second, 1, 1100},
		{"a missing table", 3 * time.Second, 1, 1100},
		{"a break of a minute", time.Minute, math.NaN(), 100},
		{"the clock was set", time.Hour, 1, 1100},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(t, t.TempDir())
			add := func(at time.Time, read uint64, host float64) {
				r.AddProcesses(ProcessReading{
					Time: at, Interval: time.Second, BootID: "b", CPUs: 1, HostCPUSeconds: host, Unattributed: math.NaN(),
					Rows: []ProcessRow{{PID: 1, Start: 1, Name: "p", CPUSeconds: math.NaN(), RSS: 4096, ReadBytes: read, IOKnown: true}},
				})
			}
			at := epoch.Add(time.Second)
			add(at, 5000, 1)
			at = at.Add(c.after)
			add(at, 6000, c.host)
			add(at.Add(time.Second), 6100, 1)
			add(at.Add(time.Minute), 6100, 1) // It closes the record before.
			p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: at.Add(30 * time.Second), Order: ByIO})
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Rows) != 1 || p.Rows[0].ReadBytes != c.want {
				t.Errorf("rows %+v, want %v bytes read", p.Rows, c.want)
			}
		})
	}
}

// TestWhatIsSeenLast: what a process did before it ended is in its sums, in the bucket
// in which it is learned; that of one without any is the others'.
func TestWhatIsSeenLast(t *testing.T) {
	r := open(t, t.TempDir())
	add := func(second int, rows []ProcessRow, ended ...EndedProcess) {
		r.AddProcesses(ProcessReading{
			Time: epoch.Add(time.Duration(second) * time.Second), Interval: time.Second, BootID: "b", CPUs: 1,
			HostCPUSeconds: 0.5, Unattributed: 0.25, Rows: rows, Ended: ended,
		})
	}
	shell := ProcessRow{PID: 1, Start: 1, Name: "shell", CPUSeconds: 0, RSS: 4096, IOKnown: true}
	writer := ProcessRow{PID: 2, Start: 9, Name: "writer", CPUSeconds: 0.25, RSS: 4096, WriteBytes: 100, IOKnown: true, Young: true}
	add(1, []ProcessRow{shell})
	add(5, []ProcessRow{shell, writer}) // The last of its bucket.
	add(6, []ProcessRow{shell}, EndedProcess{PID: 2, Start: 9, WriteBytes: 900}, EndedProcess{PID: 3, Start: 3, ReadBytes: 7})
	add(60, []ProcessRow{shell})
	for _, c := range []struct{ from, to, written, others float64 }{{0, 30, 1000, 7}, {5, 10, 900, 7}, {0, 5, 100, 0}} {
		at := func(second float64) time.Time { return epoch.Add(time.Duration(second) * time.Second) }
		p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: at(c.from), End: at(c.to), Order: ByIO})
		if err != nil {
			t.Fatal(err)
		}
		if row := p.Rows[0]; row.Name != "writer" || row.WriteBytes != c.written || c.others > 0 && p.Others.ReadBytes != c.others {
			t.Errorf("from %v to %v s: %+v, others %+v", c.from, c.to, row, p.Others)
		}
	}
}

// TestNotAllProcesses: where the agent does not see all processes, what the machine used
// beyond theirs is not of processes that came and went.
func TestNotAllProcesses(t *testing.T) {
	r := open(t, t.TempDir())
	for second := range 130 {
		unattributed := 0.25
		if second >= 65 {
			unattributed = math.NaN()
		}
		r.AddProcesses(ProcessReading{
			Time: epoch.Add(time.Duration(second+1) * time.Second), Interval: time.Second, BootID: "b", CPUs: 1,
			HostCPUSeconds: 1, Unattributed: unattributed, Rows: []ProcessRow{{PID: 1, Start: 1, Name: "p", CPUSeconds: 0.5}},
		})
	}
	flush(t, r)
	for _, c := range []struct {
		from, to int
		known    bool
	}{{0, 60, true}, {0, 120, false}, {60, 120, false}, {70, 100, false}} {
		p, err := r.ProcessesBetween(t.Context(), ProcessQuery{
			Start: epoch.Add(time.Duration(c.from) * time.Second), End: epoch.Add(time.Duration(c.to) * time.Second), Order: ByCPU,
		})
		if err != nil {
			t.Fatal(err)
		}
		seconds := float64(c.to - c.from)
		if known := p.Vanished == seconds/4 && p.Unattributed == seconds/2; known != c.known || !known && !(math.IsNaN(p.Vanished) && math.IsNaN(p.Unattributed)) ||
			p.HostCPUSeconds != seconds || p.Rows[0].CPUSeconds != seconds/2 {
			t.Errorf("from %d to %d s: vanished %v, unattributed %v of %v, %+v", c.from, c.to, p.Vanished, p.Unattributed, p.HostCPUSeconds, p.Rows)
		}
	}
}
