package bench

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/store"
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
	cpu, custom := store.FamilyReading{Family: "cpu"}, store.FamilyReading{Family: "custom"}
	for core := range 2 {
		for _, state := range []string{"user", "system", "idle", "nice", "wait", "interrupt", "softirq", "steal"} {
			cpu.Samples = append(cpu.Samples, store.Sample{Series: &store.Series{
				Labels: labels.FromStrings("__name__", "system_cpu_time_seconds_total", "cpu", "cpu"+strconv.Itoa(core), "host_name", hostName, "state", state),
				Kind:   store.Counter, MinName: "system_cpu_time_min_seconds_per_second", MaxName: "system_cpu_time_max_seconds_per_second",
			}})
		}
	}
	gauge := func(name string, pairs ...string) {
		cpu.Samples = append(cpu.Samples, store.Sample{Series: &store.Series{
			Labels:  labels.FromStrings(append([]string{"__name__", name + "_ratio", "host_name", hostName}, pairs...)...),
			MinName: name + "_min_ratio", MaxName: name + "_max_ratio",
		}})
	}
	gauge("sysotel_cpu_usage")
	gauge("sysotel_cpu_core_usage", "cpu", "cpu0")
	gauge("sysotel_cpu_core_usage", "cpu", "cpu1")
	for i := range pastSeries {
		custom.Samples = append(custom.Samples, store.Sample{Series: &store.Series{
			Labels:  labels.FromStrings("__name__", "bench_past_ratio", "host_name", hostName, "number", strconv.Itoa(i)),
			MinName: "bench_past_min_ratio", MaxName: "bench_past_max_ratio",
		}})
	}
	end := time.Now().Truncate(time.Second)
	for at := end.Add(-pastLength); at.Before(end); at = at.Add(time.Second) {
		for i := range cpu.Samples {
			if cpu.Samples[i].Series.Kind == store.Counter {
				cpu.Samples[i].Value += float64(i+1) / 100
			} else {
				cpu.Samples[i].Value = float64((at.Unix()*int64(i+1))%89) / 89
			}
		}
		for i := range custom.Samples {
			custom.Samples[i].Value = float64((at.Unix()*int64(i+1))%97) / 97
		}
		cpu.Taken, custom.Taken = at, at
		if err := s.Append(store.Reading{Time: at, Families: []store.FamilyReading{cpu, custom}}); err != nil {
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
