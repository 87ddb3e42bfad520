package instruments

import "strings"

// Quantity is one of the product's metric names as users ask for it, and how it
// is found among the OpenTelemetry metrics. The README's table and the series
// API come from this list.
type Quantity struct {
	// Name and Unit are the product's: "cpu_usage_total", "%".
	Name, Unit string
	// Metric is the OpenTelemetry metric; nil for a field of the process table.
	Metric *Metric
	// Values select the points, in the order of the metric's keys; "" is a point
	// without that attribute, "*" any value of it.
	Values []string
	// Each is the same for each device, interface or file system, and EachValues
	// select its points; of a counter it is the rate. Nil where there are no parts,
	// or Metric has them.
	Each       *Metric
	EachValues []string
	// Scale turns the metric's unit into Unit.
	Scale float64
	// Field is the field of a process, where Metric is nil or a sum over programs.
	Field string
}

// Quantities lists every metric that the product promises, by collector.
func Quantities() []Quantity {
	const percent, mega = 100, 1e-6
	mounts := []string{"*", "*", "*"}
	return []Quantity{
		{Name: "cpu_usage_total", Unit: "%", Metric: cpuUsage, Scale: percent},
		{Name: "cpu_usage_per_core", Unit: "%", Metric: cpuCoreUsage, Values: []string{"*"}, Scale: percent},
		{Name: "cpu_count", Unit: "count", Metric: cpuLogical, Scale: 1},
		{Name: "cpu_frequency_current", Unit: "MHz", Metric: cpuFrequency, Values: []string{"*"}, Scale: mega},
		{Name: "cpu_frequency_min", Unit: "MHz", Metric: cpuFrequencyLimit, Values: []string{"min"}, Scale: mega},
		{Name: "cpu_frequency_max", Unit: "MHz", Metric: cpuFrequencyLimit, Values: []string{"max"}, Scale: mega},
		{Name: "load_average_1", Metric: loadOne, Scale: 1},
		{Name: "load_average_5", Metric: loadFive, Scale: 1},
		{Name: "load_average_15", Metric: loadFifteen, Scale: 1},

		{Name: "memory_total", Unit: "bytes", Metric: memoryLimit, Scale: 1},
		{Name: "memory_available", Unit: "bytes", Metric: memoryAvailable, Scale: 1},
		{Name: "memory_used", Unit: "bytes", Metric: memoryUsage, Values: []string{"used"}, Scale: 1},
		{Name: "memory_percent", Unit: "%", Metric: memoryUtilization, Values: []string{"used"}, Scale: percent},
		{Name: "swap_total", Unit: "bytes", Metric: swapLimit, Scale: 1},
		{Name: "swap_used", Unit: "bytes", Metric: swapUsage, Scale: 1},
		{Name: "swap_percent", Unit: "%", Metric: swapUtilization, Scale: percent},

		{Name: "disk_total", Unit: "bytes", Metric: filesystemSize, Values: []string{"", "", ""}, Each: filesystemSize, EachValues: mounts, Scale: 1},
		{Name: "disk_used", Unit: "bytes", Metric: filesystemUsed, Values: []string{"", "", ""}, Each: filesystemUsed, EachValues: mounts, Scale: 1},
		{Name: "disk_free", Unit: "bytes", Metric: filesystemFree, Values: []string{"", "", ""}, Each: filesystemFree, EachValues: mounts, Scale: 1},
		{Name: "disk_percent", Unit: "%", Metric: filesystemShare, Values: []string{"", "", ""}, Each: filesystemShare, EachValues: mounts, Scale: percent},
		{Name: "disk_read_bytes", Unit: "bytes/s", Metric: diskIORate, Values: []string{"read", ""}, Each: diskIO, EachValues: []string{"*", "read"}, Scale: 1},
		{Name: "disk_write_bytes", Unit: "bytes/s", Metric: diskIORate, Values: []string{"write", ""}, Each: diskIO, EachValues: []string{"*", "write"}, Scale: 1},
		{Name: "disk_read_count", Unit: "count/s", Metric: diskOperationsRate, Values: []string{"read", ""}, Each: diskOperations, EachValues: []string{"*", "read"}, Scale: 1},
		{Name: "disk_write_count", Unit: "count/s", Metric: diskOperationsRate, Values: []string{"write", ""}, Each: diskOperations, EachValues: []string{"*", "write"}, Scale: 1},

		{Name: "net_bytes_sent", Unit: "bytes/s", Metric: networkIORate, Values: []string{"transmit", ""}, Each: networkIO, EachValues: []string{"*", "transmit"}, Scale: 1},
		{Name: "net_bytes_recv", Unit: "bytes/s", Metric: networkIORate, Values: []string{"receive", ""}, Each: networkIO, EachValues: []string{"*", "receive"}, Scale: 1},
		{Name: "net_packets_sent", Unit: "count/s", Metric: networkPacketsRate, Values: []string{"transmit", ""}, Each: networkPackets, EachValues: []string{"*", "transmit"}, Scale: 1},
		{Name: "net_packets_recv", Unit: "count/s", Metric: networkPacketsRate, Values: []string{"receive", ""}, Each: networkPackets, EachValues: []string{"*", "receive"}, Scale: 1},
		{Name: "net_errin", Unit: "count/s", Metric: networkErrorsRate, Values: []string{"receive", ""}, Each: networkErrors, EachValues: []string{"*", "receive"}, Scale: 1},
		{Name: "net_errout", Unit: "count/s", Metric: networkErrorsRate, Values: []string{"transmit", ""}, Each: networkErrors, EachValues: []string{"*", "transmit"}, Scale: 1},
		{Name: "net_dropin", Unit: "count/s", Metric: networkDroppedRate, Values: []string{"receive", ""}, Each: networkDropped, EachValues: []string{"*", "receive"}, Scale: 1},
		{Name: "net_dropout", Unit: "count/s", Metric: networkDroppedRate, Values: []string{"transmit", ""}, Each: networkDropped, EachValues: []string{"*", "transmit"}, Scale: 1},

		{Name: "process_name", Unit: "string", Field: "name"},
		{Name: "process_pid", Unit: "number", Field: "pid"},
		{Name: "process_cpu_percent", Unit: "%", Metric: processCPUUtilization, Values: []string{"*", "*"}, Scale: percent, Field: "cpu_percent"},
		{Name: "process_memory_percent", Unit: "%", Metric: processMemoryUtilization, Values: []string{"*"}, Scale: percent, Field: "memory_percent"},
		{Name: "process_memory_rss", Unit: "bytes", Metric: processMemoryUsage, Values: []string{"*"}, Scale: 1, Field: "memory_rss"},
		{Name: "process_num_threads", Unit: "count", Metric: processThreads, Values: []string{"*"}, Scale: 1, Field: "num_threads"},
		{Name: "process_status", Unit: "string", Metric: processCount, Values: []string{"*"}, Scale: 1, Field: "status"},
	}
}

// Selection is what selects a metric's points under some conventions.
type Selection struct {
	// Name is the metric's OpenTelemetry name.
	Name string
	// Keys and Values are the attributes and what they must be; "" is a point
	// without the attribute, "*" any value of it.
	Keys, Values []string
}

// Select translates values in the order of the metric's keys into the first
// form that conventions send it in; false where they lack the metric or one of
// the values.
func (m *Metric) Select(c Conventions, values []string) (Selection, bool) {
	forms := m.forms(c)
	if len(forms) == 0 {
		return Selection{}, false
	}
	s := Selection{Name: forms[0].name}
	for i, k := range m.Keys {
		key, value := k.Name, values[i]
		if !forms[0].hostmetrics {
			if k.Semconv != "" {
				key = k.Semconv
			}
			if translated, ok := k.Values[value]; ok {
				value = translated
			}
			if value == absent {
				return Selection{}, false
			}
			if k.Number != "" {
				value = strings.TrimPrefix(value, k.Number)
			}
		}
		s.Keys, s.Values = append(s.Keys, key), append(s.Values, value)
	}
	return s, true
}
