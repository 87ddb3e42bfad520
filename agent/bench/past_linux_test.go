package bench

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
)

// pastLength is how far back the history goes that an agent is started on: as
// far as a chart shows at first.
const pastLength = time.Hour

// pastSeries is how many series that history has beside those of the CPU.
const pastSeries = 600

// past is a data directory with an hour of history at one reading a second: time
// and use of two cores, which are asked for, among many series of programs
// that have ended. It is written as the agent would have written it.
func past(t *testing.T, directory string) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: filepath.Join(directory, "store"), Tiers: store.Defaults().Tiers})
	if err != nil {
		t.Fatal(err)
	}
	<-s.Opened()
	r := newRemembered(2)
	for i := range pastSeries {
		r.gauge("bench_past", "ratio", "number", strconv.Itoa(i))
	}
	end := time.Now().Truncate(time.Second)
	for at := end.Add(-pastLength); at.Before(end); at = at.Add(time.Second) {
		if err := s.Append(r.read(at)); err != nil {
			t.Fatal(err)
		}
	}
	stats := s.Stats()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if want := int(pastLength / time.Second); int(stats.Readings) != want {
		t.Fatalf("the store took %d readings, not %d: %+v", stats.Readings, want, stats)
	}
}

// year is a data directory as it is after a year, with what each chart of a
// dashboard shows: up to twenty series.
func year(t *testing.T, directory string) {
	t.Helper()
	r := newRemembered(20)
	r.gauge("sysotel_cpu_frequency", "hertz")
	for i, state := range []string{"used", "free", "cached", "buffered", "slab_reclaimable", "slab_unreclaimable"} {
		r.gauge("system_memory_usage", "bytes", "state", state)
		r.gauge("system_memory_utilization", "ratio", "state", state)
		r.gauge("sysotel_disk_utilization", "ratio", "device", "/dev/sd"+strconv.Itoa(i), "mountpoint", "/mnt/"+strconv.Itoa(i), "type", "ext4")
	}
	for _, d := range []struct{ part, in, out string }{{"disk", "read", "write"}, {"network", "receive", "transmit"}} {
		for _, direction := range []string{d.in, d.out} {
			r.gauge("sysotel_"+d.part+"_io_rate", "bytes_per_second", "direction", direction)
			for i := range 10 {
				r.counter("system_"+d.part+"_io", "bytes", "device", d.part+strconv.Itoa(i), "direction", direction)
			}
		}
	}
	own := labels.FromStrings("host_name", hostName)
	storetest.Year(t, filepath.Join(directory, "store"), store.Defaults().Tiers, time.Now().Truncate(time.Second), own, r.read)
}

// remembered makes the readings of a machine.
type remembered struct{ family store.FamilyReading }

// newRemembered has time and use of so many cores.
func newRemembered(cores int) *remembered {
	r := &remembered{family: store.FamilyReading{Family: "cpu"}}
	r.gauge("sysotel_cpu_usage", "ratio")
	for core := range cores {
		r.gauge("sysotel_cpu_core_usage", "ratio", "cpu", "cpu"+strconv.Itoa(core))
		if core >= 2 {
			continue
		}
		for _, state := range []string{"user", "system", "idle", "nice", "wait", "interrupt", "softirq", "steal"} {
			r.counter("system_cpu_time", "seconds", "cpu", "cpu"+strconv.Itoa(core), "state", state)
		}
	}
	return r
}

func (r *remembered) gauge(name, unit string, pairs ...string) {
	r.add(&store.Series{MinName: name + "_min_" + unit, MaxName: name + "_max_" + unit}, name+"_"+unit, pairs)
}

func (r *remembered) counter(name, unit string, pairs ...string) {
	rate := unit + "_per_second"
	r.add(&store.Series{Kind: store.Counter, MinName: name + "_rate_min_" + rate, MaxName: name + "_rate_max_" + rate}, name+"_"+unit+"_total", pairs)
}

func (r *remembered) add(one *store.Series, name string, pairs []string) {
	one.Labels = labels.FromStrings(append([]string{"__name__", name, "host_name", hostName}, pairs...)...)
	r.family.Samples = append(r.family.Samples, store.Sample{Series: one})
}

// read makes the reading of a time, in place of the one before.
func (r *remembered) read(at time.Time) store.Reading {
	for i := range r.family.Samples {
		one := &r.family.Samples[i]
		if one.Series.Kind == store.Counter {
			one.Value += float64(at.Unix()*int64(i+1)%101) / 100
		} else {
			one.Value = float64((at.Unix()*int64(i+1))%97) / 97
		}
	}
	r.family.Taken = at
	return store.Reading{Time: at, Families: []store.FamilyReading{r.family}}
}
