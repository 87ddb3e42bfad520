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
