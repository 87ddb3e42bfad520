package export

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"sysotel/instruments"
)

// legacyName is one of the legacy names and how its values come from a reading.
type legacyName struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	collector  string
	collect    func(r instruments.Reading, emit func(v float64, labels ...string))
}

// legacyNameTable lists them; HELP and TYPE of the first two are the original ones.
func legacyNameTable() []legacyName {
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	return []legacyName{
		{"node_cpu_usage_percent", "CPU usage percentage", gauge, nil, "cpu", func(r instruments.Reading, emit func(float64, ...string)) {
			emit(100 * r.(*instruments.CPU).Usage)
		}},
		{"node_cpu_core_usage_percent", "CPU usage percentage of each core", gauge, []string{"cpu"}, "cpu", func(r instruments.Reading, emit func(float64, ...string)) {
			for _, c := range r.(*instruments.CPU).Cores {
				emit(100*c.Usage, c.ID)
			}
		}},
		{"node_load1", "Load average over 1 minute", gauge, nil, "load", func(r instruments.Reading, emit func(float64, ...string)) {
			emit(r.(*instruments.Load).One)
		}},
		{"node_load5", "Load average over 5 minutes", gauge, nil, "load", func(r instruments.Reading, emit func(float64, ...string)) {
			emit(r.(*instruments.Load).Five)
		}},
		{"node_load15", "Load average over 15 minutes", gauge, nil, "load", func(r instruments.Reading, emit func(float64, ...string)) {
			emit(r.(*instruments.Load).Fifteen)
		}},
		{"node_memory_usage_percent", "Memory usage percentage", gauge, nil, "memory", func(r instruments.Reading, emit func(float64, ...string)) {
			emit(100 * r.(*instruments.Memory).Utilization)
		}},
		{"node_swap_usage_bytes", "Swap in use in bytes", gauge, nil, "paging", func(r instruments.Reading, emit func(float64, ...string)) {
			emit(float64(r.(*instruments.Paging).Used))
		}},
		{"node_swap_usage_percent", "Swap usage percentage", gauge, nil, "paging", func(r instruments.Reading, emit func(float64, ...string)) {
			emit(100 * r.(*instruments.Paging).Utilization)
		}},
		{"node_disk_usage_percent", "Disk usage percentage of each partition", gauge, []string{"device", "mountpoint", "fstype"}, "filesystem", func(r instruments.Reading, emit func(float64, ...string)) {
			for _, m := range r.(*instruments.Filesystem).Mounts {
				emit(100*m.Utilization, m.Device, m.Mountpoint, m.Type)
			}
		}},
		{"node_disk_io_read_bytes_total", "Bytes read from each disk since boot", counter, []string{"device"}, "disk", func(r instruments.Reading, emit func(float64, ...string)) {
			for _, d := range r.(*instruments.Disk).Devices {
				emit(legacyCount(d.ReadBytes), d.Name)
			}
		}},
		{"node_disk_io_write_bytes_total", "Bytes written to each disk since boot", counter, []string{"device"}, "disk", func(r instruments.Reading, emit func(float64, ...string)) {
			for _, d := range r.(*instruments.Disk).Devices {
				emit(legacyCount(d.WriteBytes), d.Name)
			}
		}},
		{"node_network_receive_bytes_total", "Bytes received on each interface since boot", counter, []string{"device"}, "network", func(r instruments.Reading, emit func(float64, ...string)) {
			for _, i := range r.(*instruments.Network).Interfaces {
				emit(legacyCount(i.BytesReceived), i.Name)
			}
		}},
		{"node_network_transmit_bytes_total", "Bytes sent on each interface since boot", counter, []string{"device"}, "network", func(r instruments.Reading, emit func(float64, ...string)) {
			for _, i := range r.(*instruments.Network).Interfaces {
				emit(legacyCount(i.BytesSent), i.Name)
			}
		}},
	}
}

// legacyCount is a count, unknown if no machine can count to it: then it was not read.
func legacyCount(n uint64) float64 {
	if n > math.MaxInt64 {
		return math.NaN()
	}
	return float64(n)
}

// isCounter reports whether the values only grow.
func (s legacyName) isCounter() bool { return s.kind == prometheus.CounterValue }

// LegacyNames lists the legacy names with their help texts.
func LegacyNames() (names [][2]string) {
	for _, s := range legacyNameTable() {
		names = append(names, [2]string{s.name, s.help})
	}
	return names
}

// legacyCollector puts the legacy names on the page, for the queries and alert rules of
// an earlier dashboard. They resemble node_exporter's but differ from them; each comes
// from the same reading as our names, and OTLP does not carry them.
type legacyCollector struct {
	machine Machine
	table   []legacyName
	descs   []*prometheus.Desc
}

func newLegacyCollector(machine Machine, hostName string, table []legacyName) prometheus.Collector {
	c := &legacyCollector{machine: machine, table: table}
	for _, s := range c.table {
		c.descs = append(c.descs, prometheus.NewDesc(s.name, s.help, s.labels, prometheus.Labels{"host_name": hostName}))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *legacyCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector. Unknown values are left out.
func (c *legacyCollector) Collect(out chan<- prometheus.Metric) {
	for i, s := range c.table {
		reading, _ := c.machine.Newest(s.collector)
		if reading == nil {
			continue
		}
		s.collect(reading, func(v float64, labels ...string) {
			if math.IsNaN(v) || math.IsInf(v, 0) || v >= 1<<63 {
				return // Package instruments has whole numbers beyond 2^63-1 for unknown ones.
			}
			if m, err := prometheus.NewConstMetric(c.descs[i], s.kind, v, validLabels(labels)...); err == nil {
				out <- m
			}
		})
	}
}
