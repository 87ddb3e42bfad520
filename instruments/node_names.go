package instruments

import (
	"cmp"
	"maps"
	"os"
	"slices"
	"strings"
)

// NodeName is a metric of the default collectors of node_exporter v1.12.1, or of tcpstat,
// which its dashboards ask for too, with its name, its type and its help text. Its series are some of those of one of our metrics.
type NodeName struct {
	Name, Help string
	Type       NodeType
	// Metric is ours. Where are the values that the series have for its keys; "" is
	// none.
	Metric *Metric
	Where  map[string]string
	// Labels are those of node_exporter. A series that has no value for the first one
	// is left out: it is a total.
	Labels []NodeLabel
	// Scale is what our values are multiplied by.
	Scale float64
}

// NodeType is the type of a metric in the Prometheus text format.
type NodeType string

// The types of node_exporter's metrics.
const (
	NodeCounter NodeType = "counter"
	NodeGauge   NodeType = "gauge"
	NodeUntyped NodeType = "untyped"
)

// NodeLabel is a label of node_exporter.
type NodeLabel struct {
	Name string
	// Key is the key of our metric whose value it has; without one it always has Value.
	Key, Value string
	// Prefix is what our value has before node_exporter's: cpu0 is 0 there.
	Prefix string
	// Values are those that differ, ours first. With Only, series with others are left out.
	Values map[string]string
	Only   bool
	// Last is set where only what is behind the last slash of ours is its value.
	Last bool
}

// Of is node_exporter's value for one of ours; false if there is none.
func (l *NodeLabel) Of(ours string) (string, bool) {
	if l.Key == "" {
		return l.Value, true
	}
	if value, ok := l.Values[ours]; ok {
		return value, true
	}
	if l.Last {
		return ours[strings.LastIndexByte(ours, '/')+1:], true
	}
	return strings.TrimPrefix(ours, l.Prefix), !l.Only
}

// Ours is our value for one of node_exporter's; false if there can be several, or it cannot
// be told.
func (l *NodeLabel) Ours(theirs string) (string, bool) {
	if l.Last {
		return "", false
	}
	for ours, value := range l.Values {
		if value == theirs && ours != theirs {
			return "", false
		}
	}
	if _, ok := l.Values[theirs]; ok && l.Values[theirs] != theirs {
		return "", false
	}
	return l.Prefix + theirs, true
}

// NodeException are series of node_exporter's default collectors that are not there, or
// differ, and why.
type NodeException struct {
	// Names are patterns of metrics, separated by spaces. With Label only the series are meant
	// that have Value for it; with Repeated only file systems in memory and those that are there
	// under another mount point.
	Names        string
	Label, Value string
	Repeated     bool
	Reason       string
}

// NodeExceptions lists them.
func NodeExceptions() []NodeException {
	return []NodeException{
		{
			Names: "node_bcache* node_bonding_* node_btrfs_* node_dmmultipath_* node_edac_* node_fibrechannel_* node_infiniband_* node_ipvs_* node_md_degraded node_md_raid_disks node_nfs_* node_nfsd_* " +
				"node_nvme_* node_rapl_* node_tape_* node_watchdog_* node_xfs_* node_zfs_*",
			Reason: "there is no collector for this hardware and these file systems yet",
		},
		{Names: "node_dmi_info", Reason: "serial numbers and tags of the machine, which root sees, are not kept"},
		{Names: "node_exporter_build_info node_textfile_* node_scrape_collector_*", Reason: "these are about node_exporter itself: collectors are ours: those that read what one of node_exporter's does are there under its name; of text files sysotel_custom_success says how they are"},
		{Names: "node_cpu_online node_cpu_isolated node_cpu_*_throttles_total node_cpu_frequency_hertz node_cpu_frequency_avg_hertz node_cpu_scaling_governor", Reason: "of each processor the times, the scaled frequency and its limits are kept"},
		{Names: "node_disk_info node_disk_filesystem_info node_disk_device_mapper_info node_disk_ata_*", Reason: "the database of udev is not read"},
		{Names: "node_filesystem_mount_info node_filesystem_purgeable_bytes", Reason: "the numbers of devices are not kept; what can be purged is macOS's, and 0 on Linux"},
		{Names: "node_filesystem_*", Repeated: true, Reason: "each file system is there once, under one of its mount points; those in memory where instruments.filesystem.include has them"},
		{
			Names: "node_hwmon_beep_enabled node_hwmon_*_beep_enabled node_hwmon_update_interval_seconds node_hwmon_voltage_regulator_version node_hwmon_pwm_* node_hwmon_fan_manual node_hwmon_fan_output node_hwmon_fan_pulses node_hwmon_fan_div node_hwmon_fan_tolerance node_hwmon_freq_* node_hwmon_intrusion_* " +
				"node_hwmon_*_highest* node_hwmon_*_lowest* node_hwmon_power_accuracy node_hwmon_power_*_seconds node_hwmon_temp_type node_hwmon_temp_offset_celsius node_hwmon_temp_min_celsius node_hwmon_temp_max_celsius node_hwmon_cpu_* node_power_supply_info",
			Reason: "of sensors the values, limits and alarms are read, and not the settings of chips; limits that stand for none and values of broken sensors (fault) are left out, and numbers of series of batteries are not kept",
		},
		{Names: "node_network_speed_bytes", Reason: "it is left out where the driver does not say it; node_exporter has -125000 then"},
	}
}

// NodeNames lists the metrics by their names.
func NodeNames() []NodeName {
	var all nodeNames
	all.cpu()
	all.disks()
	all.kernel()
	all.memory()
	all.network()
	all.sockets()
	all.clock()
	all.sensors()
	all.inventory()
	all.scrape()
	for i := range all {
		all[i].Scale = cmp.Or(all[i].Scale, 1)
	}
	slices.SortFunc(all, func(a, b NodeName) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// nodeNames is the list while it is made.
type nodeNames []NodeName

// add adds a metric with all series of ours, or those where keys have values: key, value.
func (n *nodeNames) add(name string, kind NodeType, help string, m *Metric, labels []NodeLabel, where ...string) *NodeName {
	one := NodeName{Name: "node_" + name, Help: help, Type: kind, Metric: m, Labels: labels}
	if len(where) > 0 {
		one.Where = map[string]string{}
		for i := 0; i+1 < len(where); i += 2 {
			one.Where[where[i]] = where[i+1]
		}
	}
	*n = append(*n, one)
	return &(*n)[len(*n)-1]
}

// same are labels with the names of our keys.
func same(names ...string) []NodeLabel {
	var all []NodeLabel
	for _, name := range names {
		all = append(all, NodeLabel{Name: name, Key: name})
	}
	return all
}

func (n *nodeNames) cpu() {
	number := NodeLabel{Name: "cpu", Key: "cpu", Prefix: "cpu"}
	mode := NodeLabel{Name: "mode", Key: "state", Values: map[string]string{"wait": "iowait", "interrupt": "irq"}}
	n.add("cpu_seconds_total", NodeCounter, "Seconds the CPUs spent in each mode.", cpuTime, []NodeLabel{number, mode})
	n.add("cpu_guest_seconds_total", NodeCounter, "Seconds the CPUs spent in guests (VMs) for each mode.", kernelGuest, []NodeLabel{number, mode})
	n.add("cpu_scaling_frequency_hertz", NodeGauge, "Current scaled CPU thread frequency in hertz.", cpuFrequency, []NodeLabel{number})
	n.add("load1", NodeGauge, "1m load average.", loadOne, nil)
	n.add("load5", NodeGauge, "5m load average.", loadFive, nil)
	n.add("load15", NodeGauge, "15m load average.", loadFifteen, nil)
	n.add("schedstat_running_seconds_total", NodeCounter, "Number of seconds CPU spent running a process.", schedstatRunning, []NodeLabel{number})
	n.add("schedstat_waiting_seconds_total", NodeCounter, "Number of seconds spent by processing waiting for this CPU.", schedstatWaiting, []NodeLabel{number})
	n.add("schedstat_timeslices_total", NodeCounter, "Number of timeslices executed by CPU.", schedstatTimeslices, []NodeLabel{number})
	for _, p := range [...]struct{ resource, kind, name, help string }{
		{"cpu", "some", "cpu_waiting", "that processes have waited for CPU time"},
		{"io", "some", "io_waiting", "that processes have waited due to IO congestion"},
		{"io", "full", "io_stalled", "no process could make progress due to IO congestion"},
		{"memory", "some", "memory_waiting", "that processes have waited for memory"},
		{"memory", "full", "memory_stalled", "no process could make progress due to memory congestion"},
		{"irq", "full", "irq_stalled", "no process could make progress due to IRQ congestion"},
	} {
		n.add("pressure_"+p.name+"_seconds_total", NodeCounter, "Total time in seconds "+p.help, pressureTime, nil, "resource", p.resource, "kind", p.kind)
	}
}

func (n *nodeNames) disks() {
	device := same("device")
	for _, d := range [...]struct {
		name, help, direction string
		of                    *Metric
	}{
		{"reads_completed", "The total number of reads completed successfully.", "read", diskOperations},
		{"reads_merged", "The total number of reads merged.", "read", diskMerged},
		{"read_bytes", "The total number of bytes read successfully.", "read", diskIO},
		{"read_time_seconds", "The total number of seconds spent by all reads.", "read", diskOperationTime},
		{"writes_completed", "The total number of writes completed successfully.", "write", diskOperations},
		{"writes_merged", "The number of writes merged.", "write", diskMerged},
		{"written_bytes", "The total number of bytes written successfully.", "write", diskIO},
		{"write_time_seconds", "This is the total number of seconds spent by all writes.", "write", diskOperationTime},
	} {
		n.add("disk_"+d.name+"_total", NodeCounter, d.help, d.of, device, "direction", d.direction)
	}
	n.add("disk_io_now", NodeGauge, "The number of I/Os currently in progress.", diskPending, device)
	for _, d := range [...]struct {
		name, help string
		of         *Metric
	}{
		{"io_time_seconds", "Total seconds spent doing I/Os.", diskIOTime},
		{"io_time_weighted_seconds", "The weighted # of seconds spent doing I/Os.", diskWeightedIOTime},
		{"discards_completed", "The total number of discards completed successfully.", diskDiscardOperations},
		{"discards_merged", "The total number of discards merged.", diskDiscardMerged},
		{"discarded_sectors", "The total number of sectors discarded successfully.", diskDiscardSectors},
		{"discard_time_seconds", "This is the total number of seconds spent by all discards.", diskDiscardDuration},
		{"flush_requests", "The total number of flush requests completed successfully", diskFlushOperations},
		{"flush_requests_time_seconds", "This is the total number of seconds spent by all flush requests.", diskFlushDuration},
	} {
		n.add("disk_"+d.name+"_total", NodeCounter, d.help, d.of, device)
	}
	mount := []NodeLabel{{Name: "device", Key: "device"}, {Name: "mountpoint", Key: "mountpoint"}, {Name: "fstype", Key: "type"}, {Name: "device_error"}}
	for _, f := range [...]struct {
		name, help string
		of         *Metric
	}{
		{"size_bytes", "Filesystem size in bytes.", filesystemSize},
		{"free_bytes", "Filesystem free space in bytes.", filesystemUnused},
		{"avail_bytes", "Filesystem space available to non-root users in bytes.", filesystemFree},
		{"files", "Filesystem total file nodes.", filesystemInodesLimit},
		{"files_free", "Filesystem total free file nodes.", filesystemInodesFree},
		{"readonly", "Filesystem read-only status.", filesystemReadOnly},
		{"device_error", "Whether an error occurred while getting statistics for the given device.", filesystemError},
	} {
		n.add("filesystem_"+f.name, NodeGauge, f.help, f.of, mount)
	}
}

func (n *nodeNames) kernel() {
	n.add("intr_total", NodeCounter, "Total number of interrupts serviced.", kernelInterrupts, nil)
	n.add("context_switches_total", NodeCounter, "Total number of context switches.", contextSwitches, nil)
	n.add("forks_total", NodeCounter, "Total number of forks.", processesCreated, nil)
	n.add("boot_time_seconds", NodeGauge, "Node boot time, in unixtime.", systemBoot, nil)
	n.add("procs_running", NodeGauge, "Number of processes in runnable state.", kernelTasks, nil, "state", "running")
	n.add("procs_blocked", NodeGauge, "Number of processes blocked waiting for I/O to complete.", kernelTasks, nil, "state", "blocked")
	n.add("entropy_available_bits", NodeGauge, "Bits of available entropy.", kernelEntropy, nil)
	n.add("entropy_pool_size_bits", NodeGauge, "Bits of entropy pool.", kernelEntropyLimit, nil)
	n.add("filefd_allocated", NodeGauge, "File descriptor statistics: allocated.", kernelFiles, nil)
	n.add("filefd_maximum", NodeGauge, "File descriptor statistics: maximum.", kernelFilesLimit, nil)
	n.add("kernel_hung_tasks_total", NodeCounter, "Total number of tasks that have been detected as hung since the system booted.", kernelHungTasks, nil)
	n.add("uname_info", NodeGauge, "Labeled system information as provided by the uname system call.", kernelInfo,
		same("sysname", "release", "version", "machine", "nodename", "domainname"))
}

// nodeMemoryFields are the lines of /proc/meminfo that node_exporter knows, with its names
// where they differ.
const nodeMemoryFields = "Active Active(anon) Active(file) AnonHugePages AnonPages Bounce Buffers Cached CmaFree CmaTotal CommitLimit Committed_AS " +
	"DirectMap1G DirectMap2M DirectMap4k Dirty HardwareCorrupted Hugepagesize Inactive Inactive(anon) Inactive(file) KernelStack Mapped " +
	"MemAvailable MemFree MemTotal Mlocked NFS_Unstable PageTables Percpu SReclaimable SUnreclaim Shmem ShmemHugePages ShmemPmdMapped Slab " +
	"SwapCached SwapFree SwapTotal Unevictable VmallocChunk VmallocTotal VmallocUsed Writeback WritebackTmp Zswap Zswapped"

func (n *nodeNames) memory() {
	for field := range strings.FieldsSeq(nodeMemoryFields) {
		name := strings.NewReplacer("(", "_", ")", "").Replace(field) + "_bytes"
		n.add("memory_"+name, NodeGauge, "Memory information field "+name+".", memoryField, nil, "field", field)
	}
	for _, h := range [...]struct {
		name  string
		of    *Metric
		where []string
	}{
		{"Total", hugeLimit, nil},
		{"Free", hugeUsage, []string{hugeStateKey.Name, "free"}},
		{"Rsvd", hugeReserved, nil},
		{"Surp", hugeSurplus, nil},
	} {
		n.add("memory_HugePages_"+h.name, NodeGauge, "Memory information field HugePages_"+h.name+".", h.of, nil, h.where...)
	}
	for _, event := range [...]string{"oom_kill", "pgfault", "pgmajfault", "pgpgin", "pgpgout", "pswpin", "pswpout"} {
		n.add("vmstat_"+event, NodeUntyped, "/proc/vmstat information field "+event+".", vmstatEvents, nil, "event", event)
	}
}

func (n *nodeNames) network() {
	device := same("device")
	for _, direction := range [...]string{"receive", "transmit"} {
		count := func(name string, of *Metric, where ...string) {
			name = direction + "_" + name
			n.add("network_"+name+"_total", NodeCounter, "Network device statistic "+name+".", of, device, append(where, "direction", direction)...)
		}
		count("bytes", networkIO)
		count("packets", networkPackets)
		count("errs", networkErrors)
		count("drop", networkDropped)
		for _, e := range netdevEventNames {
			if e.direction == direction {
				name := e.name
				if name == "collisions" {
					name = "colls"
				}
				count(name, netdevEvents, "event", e.name)
			}
		}
	}
	n.add("network_up", NodeGauge, "Value is 1 if operstate is 'up', 0 otherwise.", netdevUp, device)
	n.add("network_info", NodeGauge, "Non-numeric data from /sys/class/net/<iface>, value is always 1.", netdevInfo,
		same("device", "address", "broadcast", "duplex", "operstate", "adminstate", "ifalias"))
	property := func(name string, kind NodeType, of *Metric, where ...string) *NodeName {
		return n.add("network_"+name, kind, "Network device property: "+name, of, device, where...)
	}
	for _, p := range netdevPropertyNames {
		name := cmp.Or(map[string]string{
			"index": "iface_id", "link": "iface_link", "link_mode": "iface_link_mode", "group": "net_dev_group", "type": "protocol_type",
		}[p.name], p.name)
		property(name, NodeGauge, netdevProperty, "property", p.name)
	}
	property("carrier_changes_total", NodeCounter, netdevCarrier, "to", "")
	property("carrier_up_changes_total", NodeCounter, netdevCarrier, "to", "up")
	property("carrier_down_changes_total", NodeCounter, netdevCarrier, "to", "down")
	property("mtu_bytes", NodeGauge, netdevMTU)
	property("transmit_queue_length", NodeGauge, netdevQueue)
	property("speed_bytes", NodeGauge, netdevSpeed).Scale = 1.0 / 8 // From bits.
	n.add("arp_entries", NodeGauge, "ARP entries by device", arpEntries, device)
	n.add("nf_conntrack_entries", NodeGauge, "Number of currently allocated flow entries for connection tracking.", conntrackCount, nil)
	n.add("nf_conntrack_entries_limit", NodeGauge, "Maximum size of connection tracking table.", conntrackMax, nil)
	for event, help := range map[string]string{
		"found":          "Number of searched entries which were successful.",
		"invalid":        "Number of packets seen which can not be tracked.",
		"ignore":         "Number of packets seen which are already connected to a conntrack entry.",
		"insert":         "Number of entries inserted into the list.",
		"insert_failed":  "Number of entries for which list insertion was attempted but failed.",
		"drop":           "Number of packets dropped due to conntrack failure.",
		"early_drop":     "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached.",
		"search_restart": "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
	} {
		n.add("nf_conntrack_stat_"+event, NodeGauge, help, conntrackEvents, nil, "event", event)
	}
	number := []NodeLabel{{Name: "cpu", Key: "cpu", Prefix: "cpu"}}
	for event, help := range map[string]string{
		"processed":        "Number of processed packets",
		"dropped":          "Number of dropped packets",
		"times_squeezed":   "Number of times processing packets ran out of quota",
		"cpu_collision":    "Number of collision occur while obtaining device lock while transmitting",
		"received_rps":     "Number of times cpu woken up received_rps",
		"flow_limit_count": "Number of times flow limit has been reached",
	} {
		n.add("softnet_"+event+"_total", NodeCounter, help, softnetEvents, number, "event", event)
	}
	n.add("softnet_backlog_len", NodeGauge, "Softnet backlog status", softnetBacklog, number)
}

// nodeNetstat are the fields of the network protocols that node_exporter has by default.
const nodeNetstat = "Icmp_InErrors Icmp_InMsgs Icmp_OutMsgs Icmp6_InErrors Icmp6_InMsgs Icmp6_OutMsgs Ip_Forwarding Ip6_InOctets Ip6_OutOctets IpExt_InOctets IpExt_OutOctets " +
	"Tcp_ActiveOpens Tcp_CurrEstab Tcp_InErrs Tcp_InSegs Tcp_OutRsts Tcp_OutSegs Tcp_PassiveOpens Tcp_RetransSegs " +
	"TcpExt_ListenDrops TcpExt_ListenOverflows TcpExt_SyncookiesFailed TcpExt_SyncookiesRecv TcpExt_SyncookiesSent TcpExt_TCPOFOQueue TcpExt_TCPRcvQDrop TcpExt_TCPSynRetrans TcpExt_TCPTimeouts " +
	"Udp_InDatagrams Udp_InErrors Udp_NoPorts Udp_OutDatagrams Udp_RcvbufErrors Udp_SndbufErrors Udp6_InDatagrams Udp6_InErrors Udp6_NoPorts Udp6_OutDatagrams Udp6_RcvbufErrors Udp6_SndbufErrors " +
	"UdpLite_InErrors UdpLite6_InErrors"

func (n *nodeNames) sockets() {
	for field := range strings.FieldsSeq(nodeNetstat) {
		protocol, name, _ := strings.Cut(field, "_")
		help := "Statistic " + protocol + name + "."
		if name == "Forwarding" || name == "CurrEstab" {
			n.add("netstat_"+field, NodeUntyped, help, netstatLevel, nil, "protocol", protocol, "field", name)
		} else {
			n.add("netstat_"+field, NodeUntyped, help, netstatEvents, nil, "protocol", protocol, "event", name)
		}
	}
	n.add("sockstat_sockets_used", NodeGauge, "Number of IPv4 sockets in use.", sockstatUsed, nil)
	for _, f := range sockstatFields {
		add := func(state string, of *Metric, where ...string) *NodeName {
			return n.add("sockstat_"+f.protocol+"_"+state, NodeGauge, "Number of "+f.protocol+" sockets in state "+state+".", of, nil, append(where, "protocol", f.protocol)...)
		}
		switch f.state {
		case "mem": // In pages.
			add("mem", sockstatMemory).Scale = 1 / float64(os.Getpagesize())
			add("mem_bytes", sockstatMemory)
		case "memory":
			add("memory", sockstatMemory)
		default:
			add(f.state, sockstatSockets, "state", f.state)
		}
	}
	states := map[string]string{}
	for _, state := range tcpStates {
		states[state] = strings.ToLower(state)
	}
	n.add("tcp_connection_states", NodeGauge, "Number of connection states.", networkConnections, []NodeLabel{{Name: "state", Key: "state", Values: states}}, "protocol", "tcp")
	n.add("udp_queues", NodeGauge, "Number of allocated memory in the kernel for UDP datagrams in bytes.", sockstatQueues, same("queue", "ip"))
}

func (n *nodeNames) clock() {
	for _, t := range [...]struct {
		name, help string
		of         *Metric
	}{
		{"sync_status", "Is clock synchronized to a reliable server (1 = yes, 0 = no).", timexSynchronized},
		{"offset_seconds", "Time offset in between local system and reference clock.", timexOffset},
		{"frequency_adjustment_ratio", "Local clock frequency adjustment.", timexFrequency},
		{"maxerror_seconds", "Maximum error in seconds.", timexMaxError},
		{"estimated_error_seconds", "Estimated error in seconds.", timexEstimatedError},
		{"status", "Value of the status array bits.", timexStatus},
		{"loop_time_constant", "Phase-locked loop time constant.", timexConstant},
		{"tick_seconds", "Seconds between clock ticks.", timexTick},
		{"tai_offset_seconds", "International Atomic Time (TAI) offset.", timexTAI},
	} {
		n.add("timex_"+t.name, NodeGauge, t.help, t.of, nil)
	}
	pulse := func(name string, kind NodeType, help string, of *Metric, key, value string) {
		n.add("timex_pps_"+name, kind, "Pulse per second "+help, of, nil, key, value)
	}
	pulse("frequency_hertz", NodeGauge, "frequency.", timexPulse, "value", "frequency")
	pulse("jitter_seconds", NodeGauge, "jitter.", timexPulse, "value", "jitter")
	pulse("shift_seconds", NodeGauge, "interval duration.", timexPulse, "value", "shift")
	pulse("stability_hertz", NodeGauge, "stability, average of recent frequency changes.", timexPulse, "value", "stability")
	pulse("jitter_total", NodeCounter, "count of jitter limit exceeded events.", timexPulseEvents, "event", "jitter")
	pulse("calibration_total", NodeCounter, "count of calibration intervals.", timexPulseEvents, "event", "calibration")
	pulse("error_total", NodeCounter, "count of calibration errors.", timexPulseEvents, "event", "error")
	pulse("stability_exceeded_total", NodeCounter, "count of stability limit exceeded events.", timexPulseEvents, "event", "stability_exceeded")
	n.add("time_seconds", NodeGauge, "System time in seconds since epoch (1970).", timexTime, nil)
	n.add("time_zone_offset_seconds", NodeGauge, "System time zone offset in seconds.", timexZone, same("time_zone"))
	source := []NodeLabel{{Name: "clocksource", Key: "clocksource"}, {Name: "device", Value: "0"}}
	n.add("time_clocksource_available_info", NodeGauge, "Available clocksources read from '/sys/devices/system/clocksource'.", timexSource, source, "state", "available")
	n.add("time_clocksource_current_info", NodeGauge, "Current clocksource read from '/sys/devices/system/clocksource'.", timexSource, source, "state", "current")
}

// nodeLimits are the kernel's words for limits by ours.
func nodeLimits(words ...string) map[string]string {
	all := map[string]string{}
	for _, word := range words {
		all[word] = sensorLimits[word]
	}
	return all
}

func (n *nodeNames) sensors() {
	sensor := []NodeLabel{{Name: "chip", Key: hardwareParent.Name}, {Name: "sensor", Key: hardwareID.Name, Last: true}}
	n.add("hwmon_chip_names", NodeGauge, "Annotation metric for human-readable chip names", hardwareChip, same("chip", "chip_name"))
	n.add("hwmon_sensor_label", NodeGauge, "Label for given chip and sensor", hardwareLabel, append(slices.Clone(sensor), NodeLabel{Name: "label", Key: hardwareName.Name}))
	for _, s := range [...]struct {
		name, help, suffix string
		of, limit          *Metric
		limits             map[string]string
	}{
		{"temp", "for temperature", "_celsius", hardwareTemperature, hardwareTemperatureLimit, nodeLimits("lcrit", "min", "max", "crit", "emergency", "lcrit_hyst", "min_hyst", "max_hyst", "crit_hyst", "emergency_hyst")},
		{"fan", "for fan revolutions per minute", "_rpm", hardwareFan, hardwareFanLimit, map[string]string{"min": "low.degraded", "max": "max", "target": "target"}},
		{"in", "for voltage", "_volts", hardwareVoltage, hardwareVoltageLimit, nodeLimits("lcrit", "min", "max", "crit")},
		{"curr", "for current", "_amps", hardwareCurrent, hardwareCurrentLimit, nodeLimits("lcrit", "min", "max", "crit")},
		{"power", "for power usage in watts", "_watt", hardwarePower, hardwarePowerLimit, nodeLimits("max", "crit", "cap")},
	} {
		n.add("hwmon_"+s.name+s.suffix, NodeGauge, "Hardware monitor "+s.help+" (input)", s.of, sensor)
		for word, limit := range s.limits {
			n.add("hwmon_"+s.name+"_"+word+s.suffix, NodeGauge, "Hardware monitor "+s.help+" ("+word+")", s.limit, sensor, hardwareLimit.Name, limit)
		}
	}
	n.add("hwmon_power_average_watt", NodeGauge, "Hardware monitor for power usage in watts (average)", hardwarePowerAverage, sensor)
	n.add("hwmon_energy_joule_total", NodeCounter, "Hardware monitor for joules used so far (input)", hardwareEnergy, sensor)
	n.add("hwmon_humidity", NodeGauge, "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity as a percentage) (input)", hardwareHumidity, sensor).Scale = 0.1
	n.add("hwmon_pwm", NodeGauge, "Hardware monitor pwm element ", hardwareFanRatio, sensor).Scale = 255
	for _, k := range sensorKinds {
		if k.limit == nil {
			continue
		}
		for _, word := range [...]string{"alarm", "fault"} {
			n.add("hwmon_"+k.prefix+"_"+word, NodeGauge, "Hardware sensor "+word+" status ("+k.prefix+")", hardwareAlarm, sensor, "hw.type", k.kind, "alarm", word)
		}
		for _, word := range [...]string{"crit_alarm", "max_alarm", "min_alarm", "lcrit_alarm"} {
			if k.prefix == "fan" && word != "max_alarm" && word != "min_alarm" {
				continue
			}
			// It writes these with the unit of the sensor.
			one := NodeName{Name: "hwmon_" + k.prefix + "_" + word}
			switch k.prefix {
			case "temp":
				one.Name, one.Help, one.Scale = one.Name+"_celsius", "Hardware monitor for temperature ("+word+")", 1e-3
			case "in":
				one.Name, one.Help, one.Scale = one.Name+"_volts", "Hardware monitor for voltage ("+word+")", 1e-3
			case "curr":
				one.Name, one.Help, one.Scale = one.Name+"_amps", "Hardware monitor for current ("+word+")", 1e-3
			case "power":
				one.Name, one.Help, one.Scale = one.Name+"_watt", "Hardware monitor for power usage in watts ("+word+")", 1e-6
			default:
				one.Help, one.Scale = "Hardware monitor "+k.prefix+" element "+word, 1
			}
			n.add(one.Name, NodeGauge, one.Help, hardwareAlarm, sensor, "hw.type", k.kind, "alarm", word).Scale = one.Scale
		}
	}
	n.add("thermal_zone_temp", NodeGauge, "Zone temperature in Celsius", hardwareTemperature,
		[]NodeLabel{{Name: "zone", Key: hardwareID.Name, Prefix: "thermal_zone"}, {Name: "type", Key: hardwareName.Name}}, hardwareParent.Name, "")
	cooling := []NodeLabel{{Name: "name", Key: hardwareID.Name, Prefix: "cooling_device"}, {Name: "type", Key: hardwareName.Name}}
	n.add("cooling_device_cur_state", NodeGauge, "Current throttle state of the cooling device", coolingState, cooling)
	n.add("cooling_device_max_state", NodeGauge, "Maximum throttle state of the cooling device", coolingLimit, cooling)
	supply := func(name string, of *Metric, labels []NodeLabel, where ...string) *NodeName {
		return n.add("power_supply_"+name, NodeGauge, name+" value of /sys/class/power_supply/<power_supply>.", of, labels, where...)
	}
	supply("capacity", batteryCharge, []NodeLabel{{Name: supplyKey.Name, Key: hardwareID.Name}}).Scale = 100
	for i := range supplyFiles {
		f := &supplyFiles[i]
		supply(f.name, f.of, same(supplyKey.Name), "kind", f.kind).Scale = f.factor
	}
	n.add("power_supply_info", NodeGauge, "info of /sys/class/power_supply/<power_supply>.", supplyInfo,
		same("power_supply", "capacity_level", "charge_type", "health", "manufacturer", "model_name", "scope", "status", "technology", "type", "usb_type"))
}

func (n *nodeNames) inventory() {
	n.add("os_info", NodeGauge, "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, image_version, name, pretty_name, variant, variant_id, version, version_codename, version_id.",
		inventoryOS, same("id", "id_like", "build_id", "image_id", "image_version", "name", "pretty_name", "variant", "variant_id", "version", "version_codename", "version_id"))
	n.add("os_version", NodeGauge, "Metric containing the major.minor part of the OS version.", inventoryOSVersion, same("id", "id_like", "name"))
	n.add("os_support_end_timestamp_seconds", NodeGauge, "Metric containing the end-of-life date timestamp of the OS.", inventoryOSEnd, nil)
	var dmi []string
	for _, k := range dmiKeys {
		dmi = append(dmi, k.Name)
	}
	n.add("dmi_info", NodeGauge, "A metric with a constant '1' value labeled by bios_date, bios_release, bios_vendor, bios_version, board_asset_tag, board_name, board_serial, board_vendor, board_version, "+
		"chassis_asset_tag, chassis_serial, chassis_vendor, chassis_version, product_family, product_name, product_serial, product_sku, product_uuid, product_version, system_vendor if provided by DMI.",
		inventoryDMI, same(dmi...))
	n.add("selinux_enabled", NodeGauge, "SELinux is enabled, 1 is true, 0 is false", inventorySELinux, nil)
	n.add("selinux_current_mode", NodeGauge, "Current SELinux enforcement mode", inventorySELinuxMode, nil, "kind", "current")
	n.add("selinux_config_mode", NodeGauge, "Configured SELinux enforcement mode", inventorySELinuxMode, nil, "kind", "config")
	number := []NodeLabel{{Name: "cpu", Key: "cpu", Prefix: "cpu"}}
	for kind, help := range map[string]string{"min": "Minimum", "max": "Maximum"} {
		n.add("cpu_frequency_"+kind+"_hertz", NodeGauge, help+" CPU thread frequency in hertz.", inventoryFrequency, number, "kind", kind)
		n.add("cpu_scaling_frequency_"+kind+"_hertz", NodeGauge, help+" scaled CPU thread frequency in hertz.", inventoryFrequency, number, "kind", "scaling_"+kind)
	}
	n.add("processes_threads", NodeGauge, "Allocated threads in system", inventoryThreads, nil)
	n.add("processes_max_threads", NodeGauge, "Limit of threads in the system", inventoryThreadsLimit, nil)
	n.add("processes_pids", NodeGauge, "Number of PIDs", processTotal, nil)
	n.add("processes_max_processes", NodeGauge, "Number of max PIDs limit", inventoryPIDLimit, nil)
	n.add("processes_state", NodeGauge, "Number of processes in each state.", processCount, []NodeLabel{{
		Name: "state", Key: "status", Only: true,
		Values: map[string]string{"running": "R", "sleeping": "S", "blocked": "D", "zombies": "Z", "stopped": "T", "idle": "I"},
	}})
	device := same("device")
	n.add("md_state", NodeGauge, "Indicates the state of md-device.", raidState, []NodeLabel{
		{Name: "device", Key: "device"},
		{Name: "state", Key: "state", Only: true, Values: map[string]string{"active": "active", "inactive": "inactive", "recovering": "recovering", "resync": "resync", "check": "check"}},
	})
	n.add("md_disks", NodeGauge, "Number of active/failed/spare disks of device.", raidDisks, same("device", "state"))
	n.add("md_disks_required", NodeGauge, "Total number of disks of device.", raidRequired, device)
	n.add("md_blocks", NodeGauge, "Total number of blocks on device.", raidSize, device).Scale = 1.0 / 1024
	n.add("md_blocks_synced", NodeGauge, "Number of blocks synced on device.", raidSynced, device).Scale = 1.0 / 1024
}

// nodeCollectors are the collectors of node_exporter that read what one of ours does, by
// the name of ours.
var nodeCollectors = map[string]string{
	"cpu": "cpu", "load": "loadavg", "disk": "diskstats", "filesystem": "filesystem", "network": "netdev", "netdev": "netclass", "kernel": "stat",
	"meminfo": "meminfo", "vmstat": "vmstat", "netstat": "netstat", "sockstat": "sockstat", "softnet": "softnet", "conntrack": "conntrack",
	"arp": "arp", "schedstat": "schedstat", "timex": "timex", "pressure": "pressure", "custom": "textfile",
}

func (n *nodeNames) scrape() {
	collector := []NodeLabel{{Name: "collector", Key: collectorKey.Name, Values: nodeCollectors, Only: true}}
	n.add("scrape_collector_duration_seconds", NodeGauge, "node_exporter: Duration of a collector scrape.", collectorDuration, collector)
	n.add("scrape_collector_success", NodeGauge, "node_exporter: Whether a collector succeeded.", collectorSuccess, collector)
}

// NodeView is one of the metrics as seen under conventions.
type NodeView struct {
	NodeName
	// Of is the OpenTelemetry name that the series of Metric have.
	Of string
	// Attributes are those of Metric. Where has values of them; the keys of Labels are
	// some of them.
	Attributes []string
}

// In returns the metric as seen under conventions; false if they lack ours.
func (n NodeName) In(c Conventions) (NodeView, bool) {
	forms := n.Metric.forms(c)
	if len(forms) == 0 {
		return NodeView{}, false
	}
	f := forms[0]
	v := NodeView{NodeName: n, Of: f.name}
	v.Where, v.Labels = map[string]string{}, slices.Clone(n.Labels)
	for _, k := range n.Metric.Keys {
		semconv := cmp.Or(k.Semconv, k.Name)
		key := k.Name
		if !f.hostmetrics {
			key = semconv
		}
		v.Attributes = append(v.Attributes, key)
		if f.semconv && semconv != key {
			v.Attributes = append(v.Attributes, semconv)
		}
		if value, ok := n.Where[k.Name]; ok {
			if translated, ok := k.Values[value]; ok && !f.hostmetrics {
				value = translated
			}
			v.Where[key] = value
		}
		for i := range v.Labels {
			if l := &v.Labels[i]; l.Key == k.Name {
				if l.Key = key; !f.hostmetrics {
					if k.Number != "" {
						l.Prefix = ""
					}
					l.Values = maps.Clone(l.Values)
					for ours, theirs := range k.Values {
						if theirs == absent {
							continue
						}
						if l.Values == nil {
							l.Values = map[string]string{}
						}
						l.Values[theirs], _ = (&NodeLabel{Key: key, Values: l.Values}).Of(ours)
					}
				}
			}
		}
	}
	return v, true
}

// Series returns the values of Labels for a series of ours, which has value for an
// attribute; false if it is none of the metric.
func (v *NodeView) Series(value func(attribute string) string) (values []string, ok bool) {
	for attribute, wanted := range v.Where {
		if value(attribute) != wanted {
			return nil, false
		}
	}
	values = make([]string, 0, len(v.Labels))
	for i := range v.Labels {
		l := &v.Labels[i]
		ours := ""
		if l.Key != "" {
			if ours = value(l.Key); ours == "" && i == 0 {
				return nil, false
			}
		}
		theirs, ok := l.Of(ours)
		if !ok {
			return nil, false
		}
		values = append(values, theirs)
	}
	return values, true
}
