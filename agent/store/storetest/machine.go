package storetest

import (
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/store"
)

// Machine makes regular readings of a machine, under the agent's metric names.
type Machine struct {
	host      string
	collector store.CollectorReading
}

// NewMachine returns a machine with the usage of some cores, and the CPU time of
// the first two.
func NewMachine(host string, cores int) *Machine {
	m := &Machine{host: host, collector: store.CollectorReading{Collector: "cpu"}}
	m.Gauge("sysotel_cpu_usage", "ratio")
	for core := range cores {
		m.Gauge("sysotel_cpu_core_usage", "ratio", "cpu", "cpu"+strconv.Itoa(core))
		if core >= 2 {
			continue
		}
		for _, state := range []string{"user", "system", "idle", "nice", "wait", "interrupt", "softirq", "steal"} {
			m.Counter("system_cpu_time", "seconds", "cpu", "cpu"+strconv.Itoa(core), "state", state)
		}
	}
	return m
}

// MachineYear makes the store's directory as it is after a year, with up to twenty
// series for each chart of a dashboard.
func MachineYear(tb testing.TB, dir, host string) {
	tb.Helper()
	m := NewMachine(host, 20)
	m.Gauge("sysotel_cpu_frequency", "hertz")
	for i, state := range []string{"used", "free", "cached", "buffered", "slab_reclaimable", "slab_unreclaimable"} {
		m.Gauge("system_memory_usage", "bytes", "state", state)
		m.Gauge("system_memory_utilization", "ratio", "state", state)
		m.Gauge("sysotel_disk_utilization", "ratio", "device", "/dev/sd"+strconv.Itoa(i), "mountpoint", "/mnt/"+strconv.Itoa(i), "type", "ext4")
	}
	for _, d := range []struct{ part, in, out string }{{"disk", "read", "write"}, {"network", "receive", "transmit"}} {
		for _, direction := range []string{d.in, d.out} {
			m.Gauge("sysotel_"+d.part+"_io_rate", "bytes_per_second", "direction", direction)
			for i := range 10 {
				m.Counter("system_"+d.part+"_io", "bytes", "device", d.part+strconv.Itoa(i), "direction", direction)
			}
		}
	}
	Year(tb, dir, store.Defaults().Tiers, time.Now().Truncate(time.Second), labels.FromStrings("host_name", host), m.Read)
}

// Gauge adds a gauge with these labels.
func (m *Machine) Gauge(name, unit string, pairs ...string) {
	m.add(&store.Series{MinName: name + "_min_" + unit, MaxName: name + "_max_" + unit}, name+"_"+unit, pairs)
}

// Counter adds a counter with these labels.
func (m *Machine) Counter(name, unit string, pairs ...string) {
	rate := unit + "_per_second"
	m.add(&store.Series{Kind: store.Counter, MinName: name + "_rate_min_" + rate, MaxName: name + "_rate_max_" + rate}, name+"_"+unit+"_total", pairs)
}

func (m *Machine) add(one *store.Series, name string, pairs []string) {
	one.Labels = labels.FromStrings(append([]string{model.MetricNameLabel, name, "host_name", m.host}, pairs...)...)
	m.collector.Samples = append(m.collector.Samples, store.Sample{Series: one})
}

// Read returns the reading at a time; it reuses the previous one.
func (m *Machine) Read(at time.Time) store.Reading {
	for i := range m.collector.Samples {
		one := &m.collector.Samples[i]
		if one.Series.Kind == store.Counter {
			one.Value += float64(at.Unix()*int64(i+1)%101) / 100
		} else {
			one.Value = float64((at.Unix()*int64(i+1))%97) / 97
		}
	}
	m.collector.Taken = at
	return store.Reading{Time: at, Collectors: []store.CollectorReading{m.collector}}
}
