package export

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sysotel/instruments"
)

// states are those of a processor that was busy for a share of the last second.
func states(user, system, idle float64) instruments.CPUStates {
	return instruments.CPUStates{User: user, System: system, Idle: idle}
}

// typedReadings are readings of the collectors that the legacy names are made
// from, of a machine with hostile names, and of the agent.
func typedReadings(t testing.TB) map[string]instruments.Reading {
	t.Helper()
	unknown := math.NaN()
	disk := func(name string, physical bool, read, written uint64) instruments.DiskDevice {
		return instruments.DiskDevice{
			Name: name, Physical: physical, Reads: read / 4096, Writes: written / 4096, ReadBytes: read, WriteBytes: written,
			ReadTime: 1.5, WriteTime: 2.5, IOTime: 3, WeightedIOTime: 4, Pending: 1,
			DiskRates: instruments.DiskRates{ReadBytesPerSecond: 4096, WriteBytesPerSecond: 8192, ReadsPerSecond: 1, WritesPerSecond: 2},
			Busy:      0.25, ReadLatency: 0.001, WriteLatency: unknown, Queue: 0.5,
		}
	}
	rates := instruments.NetworkRates{
		BytesReceivedPerSecond: 1000, BytesSentPerSecond: 500, PacketsReceivedPerSecond: 10, PacketsSentPerSecond: 5,
		ErrorsReceivedPerSecond: 0, ErrorsSentPerSecond: 0, DroppedReceivedPerSecond: 0, DroppedSentPerSecond: unknown,
	}
	cpu := &instruments.CPU{
		Usage: 0.234, States: states(0.2, 0.034, 0.766), Logical: 2, Physical: 1,
		Cores: []instruments.Core{
			{ID: "cpu0", Time: states(100.25, 50, 1000), Usage: 0.5, Share: states(0.4, 0.1, 0.5), Frequency: 2.4e9},
			// Plugged in a moment ago: it has no share of anything yet.
			{ID: "cpu1", Time: states(1, 2, 3), Usage: unknown, Share: states(unknown, unknown, unknown), Frequency: unknown},
		},
	}
	cpu.Frequency.Current, cpu.Frequency.Min, cpu.Frequency.Max = 2.4e9, 8e8, 4e9
	return map[string]instruments.Reading{
		"cpu":    cpu,
		"load":   &instruments.Load{One: 0.5, Five: 0.25, Fifteen: 0.125},
		"memory": &instruments.Memory{Total: 8 << 30, Available: 6 << 30, Used: 2 << 30, Free: 4 << 30, Buffers: 1 << 20, Cached: 1 << 30, SlabReclaimable: 1 << 24, SlabUnreclaimable: 1 << 23, Utilization: 0.25},
		"paging": &instruments.Paging{
			Total: 1 << 30, Used: 1 << 28, Free: 3 << 28, Utilization: 0.25, Counted: true, MajorFaults: 10, MinorFaults: 1000, SwapIn: 3, SwapOut: 4,
			Devices: []instruments.SwapDevice{{Name: "/dev/sda2", Used: 1 << 28, Free: 3 << 28}},
		},
		"disk": &instruments.Disk{
			Detailed: true, Total: instruments.DiskRates{ReadBytesPerSecond: 4096, WriteBytesPerSecond: 8192, ReadsPerSecond: 1, WritesPerSecond: 2},
			Devices: []instruments.DiskDevice{disk("sda", true, 1<<30, 1<<29), disk("evil\"} 1\n# \\ \xff", false, 4096, 8192)},
		},
		"filesystem": &instruments.Filesystem{
			Mounts: []instruments.Mount{
				{Device: "/dev/sda1", Block: "sda1", Mountpoint: "/", Type: "ext4", Mode: "rw", Measured: true, Size: 100 << 30, Used: 45 << 30, Free: 50 << 30, Reserved: 5 << 30, Inodes: 1000, InodesUsed: 100, InodesFree: 900, Utilization: 45.0 / 95},
				{Device: "nas:/export", Mountpoint: "/mnt/nas \"\n", Type: "nfs4", Mode: "rw", Watched: true, Stuck: true, Utilization: unknown},
			},
			Total: &instruments.FilesystemTotal{Size: 100 << 30, Used: 45 << 30, Free: 50 << 30, Utilization: 45.0 / 95},
		},
		"network": &instruments.Network{
			Total: rates,
			Interfaces: []instruments.Interface{
				{Name: "eth0", Physical: true, Counted: true, BytesReceived: 123456789, BytesSent: 987654321, PacketsReceived: 1000, PacketsSent: 2000, NetworkRates: rates, Speed: 1e9},
				{Name: "lo", BytesReceived: 42, BytesSent: 42, PacketsReceived: 1, PacketsSent: 1, NetworkRates: rates, Speed: unknown},
			},
			Connections: instruments.Connections{
				Sockets: &instruments.Sockets{TCPInUse: 12, TCPTimeWait: 3, TCPAllocated: 15, UDPInUse: 4},
				TCP:     []instruments.ConnectionCount{{State: "ESTABLISHED", Count: 7}, {State: "LISTEN", Count: 5}},
			},
		},
		"custom": custom(t, customText),
		"agent": &instruments.Agent{AgentStats: instruments.AgentStats{
			HostID: "0123456789abcdef0123456789abcdef", Version: "1.2.3", CPUSeconds: 1.5, ResidentBytes: 20 << 20, Ticks: 100,
			Gaps: map[string]uint64{"suspend": 60, "clock_step": 0, "overload": 1, "timeout": 2, "error": 3},
			Collectors: []instruments.CollectorStats{
				{Name: "cpu", Seconds: 0.001, OK: true, Retries: 1},
				{Name: "pressure", Seconds: unknown, OK: true, Failures: 4, Overflow: 5},
			},
			Queues: []instruments.QueueStats{{Destination: "otlp", Waiting: 3, Sent: 97, Dropped: 2, Rejected: 1}},
		}},
	}
}

// everything is a reading that reports each metric of a collector once.
func everything(f instruments.Collector) instruments.Reading {
	return reporting(func(o *instruments.Observer) {
		for _, m := range f.Metrics() {
			var values []string
			for _, k := range m.Keys {
				values = append(values, k.Name)
			}
			if m.Integer {
				o.Int(m, 1, values...)
			} else {
				o.Float(m, 0.5, values...)
			}
		}
	})
}

// fixedHost is a machine that looks the same wherever the test runs.
func fixedHost(t testing.TB) *instruments.Host {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"etc/machine-id": "0123456789abcdef0123456789abcdef\n",
		"etc/os-release": "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return instruments.NewHost(root)
}

// shown is an exporter that has readings and never runs. Collectors of which no
// reading is given report each of their metrics, where all is true.
func shown(t testing.TB, log *logbook, conventions instruments.Conventions, readings map[string]instruments.Reading, all bool) *Exporter {
	t.Helper()
	measured := instruments.Defaults()
	measured.Conventions = conventions
	c := Defaults()
	// The legacy names are made from typed readings.
	if readings == nil && all {
		c.Prometheus.NodeExporter = NoNodeNames
	}
	m, list := newMachine(), instruments.NewCollectors(measured, nil)
	for _, f := range list {
		r := readings[f.Name()]
		if r == nil && all {
			r = everything(f)
		}
		m.set(f.Name(), r, at("12:00:00"))
	}
	p, err := New(Options{
		Config: c, Machine: m, Collectors: list, Conventions: conventions, Host: fixedHost(t), Started: time.Now(),
		HostName: "host-1", Version: "1.2.3", Log: log.logger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
