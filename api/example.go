package api

import (
	"time"

	"sysotel/instruments"
)

// exampleTime is the time of the examples in the documentation.
var exampleTime = time.Date(2026, 2, 2, 10, 30, 0, 0, time.UTC)

// exampleMachine is the machine of the examples in the documentation. They are
// built by the same code as real responses.
type exampleMachine struct{}

var _ Machine = exampleMachine{}

// Tick implements Machine; there is only one tick.
func (exampleMachine) Tick() (uint64, time.Time, <-chan struct{}) {
	return 86400, exampleTime, nil
}

// Newest implements Machine.
func (exampleMachine) Newest(collector string) (instruments.Reading, time.Time) {
	return exampleReadings()[collector], exampleTime
}

func exampleReadings() map[string]instruments.Reading {
	const gib = 1 << 30
	cores := func(shares ...float64) (all []instruments.Core) {
		for i, share := range shares {
			all = append(all, instruments.Core{ID: "cpu" + string(rune('0'+i)), Usage: share, Frequency: 2.4e9})
		}
		return all
	}
	cpu := &instruments.CPU{
		Usage:  0.452,
		States: instruments.CPUStates{User: 0.33, Nice: 0.002, System: 0.101, Idle: 0.531, Wait: 0.017, Interrupt: 0.004, SoftIRQ: 0.012, Steal: 0.003},
		Cores:  cores(0.421, 0.483, 0.435, 0.47), Logical: 4, Physical: 2,
	}
	cpu.Frequency.Current, cpu.Frequency.Min, cpu.Frequency.Max = 2.4e9, 800e6, 3.6e9
	disk := instruments.DiskRates{ReadBytesPerSecond: 1048576, WriteBytesPerSecond: 524288, ReadsPerSecond: 100, WritesPerSecond: 50}
	network := instruments.NetworkRates{BytesSentPerSecond: 1048576, BytesReceivedPerSecond: 2097152, PacketsSentPerSecond: 1000, PacketsReceivedPerSecond: 1500}
	stall := func(share float64) *instruments.Stall {
		return &instruments.Stall{Utilization: share, Avg10: share * 0.8, Avg60: share / 2, Avg300: share / 4}
	}
	return map[string]instruments.Reading{
		"cpu":    cpu,
		"load":   &instruments.Load{One: 2.5, Five: 2.3, Fifteen: 2.1},
		"memory": &instruments.Memory{Total: 16 * gib, Available: 8 * gib, Used: 8 * gib, Free: 2 * gib, Buffers: gib / 4, Cached: 5 * gib, SlabReclaimable: gib / 2, SlabUnreclaimable: gib / 8, Utilization: 0.5},
		"paging": &instruments.Paging{
			Total: 4 * gib, Used: gib, Free: 3 * gib, Utilization: 0.25,
			Devices: []instruments.SwapDevice{{Name: "/dev/sda2", Used: gib, Free: 3 * gib}},
		},
		"disk": &instruments.Disk{Total: disk, Detailed: true, Devices: []instruments.DiskDevice{
			{Name: "sda", Physical: true, DiskRates: disk, Busy: 0.071, ReadLatency: 0.00042, WriteLatency: 0.0011, Queue: 0.09},
		}},
		"filesystem": &instruments.Filesystem{
			Total: &instruments.FilesystemTotal{Size: 500 * gib, Used: 300 * gib, Free: 200 * gib, Utilization: 0.6},
			Mounts: []instruments.Mount{{
				Device: "/dev/sda1", Block: "sda1", Mountpoint: "/", Type: "ext4", Mode: "rw", Measured: true,
				Size: 500 * gib, Used: 300 * gib, Free: 200 * gib, Inodes: 32768000, InodesUsed: 1204518, InodesFree: 31563482, Utilization: 0.6,
			}},
		},
		"network": &instruments.Network{
			Total:      network,
			Interfaces: []instruments.Interface{{Name: "eth0", Physical: true, Counted: true, NetworkRates: network, Speed: 1e9}},
			Connections: instruments.Connections{
				Sockets: &instruments.Sockets{TCPInUse: 112, TCPTimeWait: 8, UDPInUse: 14},
				TCP:     []instruments.ConnectionCount{{State: "ESTABLISHED", Count: 87}, {State: "LISTEN", Count: 17}, {State: "TIME_WAIT", Count: 8}},
			},
		},
		"pressure": &instruments.Pressure{Resources: []instruments.ResourcePressure{
			{Resource: "cpu", Some: stall(0.04)}, {Resource: "memory", Some: stall(0), Full: stall(0)}, {Resource: "io", Some: stall(0.02), Full: stall(0.012)},
		}},
		"processes": &instruments.Processes{Total: 248, Count: map[string]int{"running": 3, "sleeping": 171, "idle": 74}},
		"system":    &instruments.System{Uptime: 1209600, Boot: exampleTime.Add(-14 * 24 * time.Hour)},
		"cgroup":    &instruments.Cgroup{Path: "/system.slice/sysotel.service", Version: 2, CPULimit: 0.5, CPUUsage: 0.011, MemoryLimit: gib / 8, MemoryUsage: gib / 32, MemoryUtilization: 0.25, Groups: exampleGroups()},
		"agent": &instruments.Agent{AgentStats: instruments.AgentStats{
			CPUSeconds: 412.7, ResidentBytes: 31457280, Ticks: 86400, Gaps: map[string]uint64{"overload": 1},
		}},
		"process": exampleTable(),
	}
}

// exampleGroups are the control groups of the example.
func exampleGroups() []instruments.ControlGroup {
	const mib = 1 << 20
	return []instruments.ControlGroup{
		{
			GroupName: instruments.GroupName{Path: "/system.slice/postgresql.service", Name: "postgresql.service", Kind: instruments.GroupService, Unit: "postgresql.service"},
			CPUUsage:  0.84, CPULimit: unknown, ThrottledRatio: unknown, Memory: 3072 * mib, WorkingSet: 2048 * mib, Anon: 600 * mib, File: 2400 * mib, MemoryUtilization: unknown,
			ReadPerSecond: 917504, WrittenPerSecond: 458752, Processes: 12,
		},
		{
			GroupName: instruments.GroupName{Path: "/system.slice/web.service", Name: "web.service", Kind: instruments.GroupService, Unit: "web.service"},
			CPUUsage:  0.47, CPULimit: 0.5, ThrottledRatio: 0.62, ThrottledBy: "/system.slice/web.service", Memory: 450 * mib, WorkingSet: 410 * mib, Anon: 400 * mib, File: 50 * mib,
			MemoryLimit: 512 * mib, MemoryUtilization: 410.0 / 512, Processes: 9,
		},
	}
}

// exampleCgroups is the example of /cgroups.
func exampleCgroups() Cgroups {
	c := readCgroups(&instruments.Cgroup{Groups: exampleGroups()}, CgroupsQuery{Top: 2, Sort: "cpu"})
	c.Timestamp, c.Hostname = exampleTime, "server-01"
	return *c
}

func exampleTable() *instruments.ProcessTable {
	const mib = 1 << 20
	started := exampleTime.Add(-3 * time.Hour)
	return &instruments.ProcessTable{
		Logical: 4, MemoryTotal: 16 << 30, Unattributed: 0.004, UnattributedSeconds: 95.2, Denied: 0,
		All: []instruments.Process{
			{PID: 1, Name: "systemd", Program: "systemd", User: "root", Status: "sleeping", CPU: 0.0002, CPUSeconds: 31.4, MemoryRSS: 12 * mib, Memory: 12.0 / 16384, Threads: 1, IOKnown: true, Started: exampleTime.Add(-14 * 24 * time.Hour)},
			{PID: 811, ParentPID: 1, Name: "postgres", Program: "postgres", User: "postgres", Status: "running", CPU: 0.21, CPUSeconds: 8123.6, MemoryRSS: 2048 * mib, Memory: 0.125, Threads: 1, ReadBytesPerSecond: 917504, WriteBytesPerSecond: 458752, IOKnown: true, Started: started},
			{PID: 2114, ParentPID: 1, Name: "python3", Program: "python3:manage.py", User: "www-data", Status: "sleeping", CPU: 0.118, CPUSeconds: 1250.1, MemoryRSS: 410 * mib, Memory: 410.0 / 16384, Threads: 9, IOKnown: true, Started: started.Add(42 * time.Second)},
		},
	}
}

// exampleCurrent is the example of /current.
func exampleCurrent() Current {
	c := readCurrent(exampleMachine{}, 86400, exampleTime)
	system := "Debian GNU/Linux 12 (bookworm)"
	c.Hostname, c.OS, c.Agent.Version, c.IntervalSeconds = "server-01", &system, "0.1.0", 1
	return *c
}

// exampleProcesses is the example of /processes.
func exampleProcesses() Processes {
	p := readProcesses(exampleTable(), ProcessesQuery{Top: 2, Sort: processOrder(instruments.ByCPU)}, Caller{Role: Viewer})
	p.Timestamp, p.Hostname = exampleTime, "server-01"
	return *p
}
