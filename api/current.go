package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sysotel/instruments"
	"sysotel/instruments/sanitize"
)

// Current is the response of /current: one reading of the machine. Its names are
// part of the contract: fields are added, never changed.
//
// To show a metric in /current and live in the dashboard:
//
//  1. Here: add a field with a doc tag, and fill it in readCurrent or in the read
//     method of its struct. Give it a value in exampleReadings (example.go).
//  2. In dashboards/web/src/live.ts: map its PromQL name to the field. Panels with
//     a name that is missing there are polled instead of updated live.
//  3. make golden.
type Current struct {
	Timestamp       time.Time `json:"timestamp" doc:"Time of this reading, in UTC."`
	Hostname        string    `json:"hostname" doc:"Host name, the same as the attribute host.name."`
	OS              *string   `json:"os" nullable:"true" doc:"Operating system name and version, as its vendor writes it."`
	Scope           string    `json:"scope" enum:"host" doc:"Scope of the numbers: always the whole host, even inside a container. Only limits describes a control group."`
	Tick            uint64    `json:"tick" doc:"Tick number, counted from the start of the agent."`
	IntervalSeconds number    `json:"interval_seconds" doc:"Sampling interval, in seconds."`

	CPU       CurrentCPU       `json:"cpu" doc:"Processors."`
	Memory    CurrentMemory    `json:"memory" doc:"Memory, in bytes."`
	Disk      CurrentDisk      `json:"disk" doc:"File system totals and physical disk I/O."`
	Network   CurrentNetwork   `json:"network" doc:"Total traffic of the physical network interfaces."`
	Pressure  []Pressure       `json:"pressure" nullable:"true" doc:"Pressure stall information (PSI): the share of time tasks waited for a resource; null if the kernel does not provide it."`
	Processes CurrentProcesses `json:"processes" doc:"Number of processes by state."`

	UptimeSeconds number        `json:"uptime_seconds" doc:"Uptime, including time suspended."`
	BootTime      *time.Time    `json:"boot_time" doc:"When the machine booted."`
	Limits        CurrentLimits `json:"limits" doc:"Limits of the agent's control group: the container's limits if the agent runs in one."`
	Agent         CurrentAgent  `json:"agent" doc:"Resource usage of the agent itself."`
}

// CurrentCPU is Current's section on processors.
type CurrentCPU struct {
	UsagePercent  number        `json:"usage_percent" doc:"Busy share of all processors during the last tick: everything except idle and iowait."`
	PerCore       []number      `json:"per_core" nullable:"true" doc:"The same for each logical processor, in numeric order."`
	Frequency     Frequency     `json:"frequency" doc:"Clock frequencies in MHz."`
	LoadAverage   [3]number     `json:"load_average" nullable:"false" doc:"Load average over 1, 5 and 15 minutes."`
	Count         count         `json:"count" doc:"Number of online logical processors."`
	Physical      count         `json:"physical" doc:"Number of physical cores."`
	StatesPercent StatesPercent `json:"states_percent" doc:"Share of time in each state, over all processors; the shares add up to 100."`
	Cores         []CurrentCore `json:"cores" nullable:"true" doc:"Each logical processor."`
}

// Frequency is a clock frequency with its limits.
type Frequency struct {
	Current number `json:"current" doc:"Mean of all processors."`
	Min     number `json:"min" doc:"Minimum the hardware supports."`
	Max     number `json:"max" doc:"Maximum the hardware supports."`
}

// StatesPercent is CPU time by state.
type StatesPercent struct {
	User      number `json:"user" doc:"User programs."`
	Nice      number `json:"nice" doc:"User programs with lowered priority."`
	System    number `json:"system" doc:"Kernel."`
	Idle      number `json:"idle" doc:"Idle."`
	IOWait    number `json:"iowait" doc:"Idle while waiting for disk I/O."`
	Interrupt number `json:"interrupt" doc:"Hardware interrupts."`
	SoftIRQ   number `json:"softirq" doc:"Software interrupts."`
	Steal     number `json:"steal" doc:"Time the hypervisor gave to other virtual machines."`
}

// CurrentCore is one logical processor.
type CurrentCore struct {
	ID           string `json:"id" doc:"Kernel name."`
	UsagePercent number `json:"usage_percent" doc:"Busy share of the last tick."`
	Frequency    number `json:"frequency" doc:"Clock frequency in MHz."`
}

// CurrentMemory is Current's section on memory.
type CurrentMemory struct {
	Total             count       `json:"total" doc:"Memory usable by the system."`
	Available         count       `json:"available" doc:"Memory available to programs without swapping."`
	Used              count       `json:"used" doc:"total minus available."`
	Percent           number      `json:"percent" doc:"used as a share of total."`
	Swap              CurrentSwap `json:"swap" doc:"The swap space of all devices together."`
	Free              count       `json:"free" doc:"Memory not used for anything."`
	Buffers           count       `json:"buffers" doc:"Cache of raw block devices (Linux)."`
	Cached            count       `json:"cached" doc:"Page cache, including slab_reclaimable (Linux)."`
	SlabReclaimable   count       `json:"slab_reclaimable" doc:"Kernel objects that can be reclaimed (Linux)."`
	SlabUnreclaimable count       `json:"slab_unreclaimable" doc:"Kernel objects that cannot be reclaimed (Linux)."`
}

// CurrentSwap is the swap space.
type CurrentSwap struct {
	Total   count        `json:"total" doc:"Size of the swap space; 0 if none is configured."`
	Used    count        `json:"used" doc:"Swap space in use."`
	Percent number       `json:"percent" doc:"used as a share of total; null without swap."`
	Free    count        `json:"free" doc:"Unused swap space."`
	Devices []SwapDevice `json:"devices" nullable:"true" doc:"Each swap partition or file."`
}

// SwapDevice is a swap partition or file.
type SwapDevice struct {
	Name string `json:"name" doc:"Path of the device or file."`
	Used count  `json:"used" doc:"Bytes in use."`
	Free count  `json:"free" doc:"Unused bytes."`
}

// CurrentDisk is Current's section on disks and file systems.
type CurrentDisk struct {
	Total       count               `json:"total" doc:"Size of all local file systems, each counted once."`
	Used        count               `json:"used" doc:"Bytes in use."`
	Free        count               `json:"free" doc:"Bytes available to unprivileged users."`
	Percent     number              `json:"percent" doc:"used / (used + free), as df shows it."`
	IO          DiskIO              `json:"io" doc:"I/O of all physical disks during the last tick."`
	Devices     []CurrentDevice     `json:"devices" nullable:"true" doc:"Each disk."`
	Filesystems []CurrentFilesystem `json:"filesystems" nullable:"true" doc:"Each file system."`
}

// DiskIO is disk I/O, each number per second.
type DiskIO struct {
	ReadBytesPerSec  number `json:"read_bytes_per_sec" doc:"Bytes read per second."`
	WriteBytesPerSec number `json:"write_bytes_per_sec" doc:"Bytes written per second."`
	ReadCountPerSec  number `json:"read_count_per_sec" doc:"Read operations per second."`
	WriteCountPerSec number `json:"write_count_per_sec" doc:"Write operations per second."`
}

// CurrentDevice is one disk.
type CurrentDevice struct {
	Name     string `json:"name" doc:"Kernel name."`
	Mapper   string `json:"mapper,omitempty" doc:"Device mapper name (LVM, LUKS)."`
	Physical bool   `json:"physical" doc:"Whether it counts toward io: devices built on other disks do not."`
	DiskIO
	BusyPercent    number `json:"busy_percent" doc:"Share of the last tick with an operation in progress. A disk that serves many operations in parallel can take on more even at 100."`
	ReadLatencyMS  number `json:"read_latency_ms" doc:"Mean latency of the reads completed during the last tick, in milliseconds; null if there were none."`
	WriteLatencyMS number `json:"write_latency_ms" doc:"Mean latency of the writes completed during the last tick, in milliseconds; null if there were none."`
	Queue          number `json:"queue" doc:"Mean number of operations in progress during the last tick."`
}

// CurrentNetwork is Current's section on the network.
type CurrentNetwork struct {
	NetworkIO
	Interfaces  []CurrentInterface `json:"interfaces" nullable:"true" doc:"Each network interface."`
	Connections CurrentConnections `json:"connections" doc:"Sockets of the whole machine."`
}

// NetworkIO is the traffic of network interfaces, each number per second.
type NetworkIO struct {
	BytesSentPerSec   number `json:"bytes_sent_per_sec" doc:"Bytes sent per second."`
	BytesRecvPerSec   number `json:"bytes_recv_per_sec" doc:"Bytes received per second."`
	PacketsSentPerSec number `json:"packets_sent_per_sec" doc:"Packets sent per second."`
	PacketsRecvPerSec number `json:"packets_recv_per_sec" doc:"Packets received per second."`
	ErrorsIn          number `json:"errors_in" doc:"Receive errors per second."`
	ErrorsOut         number `json:"errors_out" doc:"Transmit errors per second."`
	DropsIn           number `json:"drops_in" doc:"Received packets dropped per second."`
	DropsOut          number `json:"drops_out" doc:"Outgoing packets dropped per second."`
}

// CurrentInterface is one network interface.
type CurrentInterface struct {
	Name     string `json:"name" doc:"Kernel name."`
	Physical bool   `json:"physical" doc:"Whether it is backed by hardware."`
	Counted  bool   `json:"counted" doc:"Whether it counts toward the total."`
	NetworkIO
	SpeedBitsPerSec number `json:"speed_bits_per_sec" doc:"Link speed; null if unknown."`
}

// CurrentConnections counts sockets.
type CurrentConnections struct {
	TCPInUse    count             `json:"tcp_in_use" doc:"Open TCP sockets."`
	TCPTimeWait count             `json:"tcp_time_wait" doc:"TCP sockets in the state TIME_WAIT."`
	TCPOrphans  count             `json:"tcp_orphans" doc:"TCP sockets no longer attached to a process."`
	UDPInUse    count             `json:"udp_in_use" doc:"Open UDP sockets."`
	TCPStates   []ConnectionState `json:"tcp_states" nullable:"true" doc:"TCP sockets by state, counted every 10 seconds; null if they cannot be counted."`
}

// ConnectionState is the number of TCP sockets in one state.
type ConnectionState struct {
	State string `json:"state" doc:"State, as the kernel names it."`
	Count count  `json:"count" doc:"Number of sockets."`
}

// Pressure is the pressure stall information of one resource.
type Pressure struct {
	Resource string `json:"resource" doc:"Resource: cpu, memory, io or irq."`
	Some     Stall  `json:"some" doc:"Share of time with at least one task waiting."`
	Full     Stall  `json:"full" doc:"Share of time with all non-idle tasks waiting."`
}

// Stall is the share of time tasks waited, in percent.
type Stall struct {
	Percent number `json:"percent" doc:"During the last tick."`
	Avg10   number `json:"avg10" doc:"Kernel average over 10 seconds."`
	Avg60   number `json:"avg60" doc:"Kernel average over 60 seconds."`
	Avg300  number `json:"avg300" doc:"Kernel average over 300 seconds."`
}

// CurrentProcesses counts processes by state.
type CurrentProcesses struct {
	Total    count `json:"total" doc:"All processes."`
	Running  count `json:"running" doc:"Running or runnable."`
	Sleeping count `json:"sleeping" doc:"Waiting for an event."`
	Blocked  count `json:"blocked" doc:"In uninterruptible sleep, usually waiting for a disk."`
	Idle     count `json:"idle" doc:"Idle kernel threads."`
	Stopped  count `json:"stopped" doc:"Stopped by a signal or a debugger."`
	Zombies  count `json:"zombies" doc:"Exited but not yet reaped by their parent."`
}

// CurrentLimits are the limits of the agent's control group.
type CurrentLimits struct {
	Scope  string      `json:"scope" enum:"cgroup,none" doc:"cgroup: the limits are those of the agent's control group; none: no limit is known."`
	Path   string      `json:"path" doc:"Path of the control group; empty if there is none."`
	CPU    CPULimit    `json:"cpu" doc:"CPU time limit."`
	Memory MemoryLimit `json:"memory" doc:"Memory limit, in bytes."`
}

// CPULimit is a limit of CPU time.
type CPULimit struct {
	Cores        number `json:"cores" doc:"Number of processors the agent may use; null if unlimited."`
	UsagePercent number `json:"usage_percent" doc:"Share of that limit used during the last tick."`
}

// MemoryLimit is a limit of memory.
type MemoryLimit struct {
	Total   count  `json:"total" doc:"The limit; null if unlimited."`
	Used    count  `json:"used" doc:"Memory in use, without reclaimable cache."`
	Percent number `json:"percent" doc:"used as a share of total."`
}

// CurrentAgent is the agent's own resource usage.
type CurrentAgent struct {
	Version    string `json:"version" doc:"Version of the agent."`
	CPUSeconds number `json:"cpu_seconds" doc:"CPU seconds the agent has used since it started."`
	Memory     count  `json:"memory" doc:"Resident memory of the agent, in bytes."`
	Ticks      count  `json:"ticks" doc:"Number of ticks sampled."`
	Gaps       count  `json:"gaps" doc:"Readings missed since the agent started, for any reason."`
}

// currentOutput writes an encoded document.
type currentOutput struct{ Body func(huma.Context) }

// Current registers the operations of this file.
func (operations) Current(s *Server) {
	register(s, Operation{
		ID: "get-current", Method: http.MethodGet, Path: "/api/v1/metrics/current",
		Summary: "Get the newest reading",
		Description: "Everything measured at the newest tick. Rates cover that tick and are `null` until there are two readings. " +
			"A collector that is disabled, failed at this tick or is not supported on this machine keeps its fields, set to `null`. " +
			"The document is built once per tick, no matter how many clients ask for it.",
		Access:  Access{Role: Viewer, Cost: Cheap},
		Example: exampleCurrent(),
		Errors:  []int{http.StatusServiceUnavailable},
	}, func(context.Context, *struct{}) (*currentOutput, error) {
		reading, err := s.current.get()
		if err != nil {
			return nil, notYet(err)
		}
		return &currentOutput{reading.write}, nil
	})
}

// jsonType is allocated once.
var jsonType = []string{"application/json"}

// write writes the document.
func (e *encoded) write(ctx huma.Context) {
	_, w := humago.Unwrap(ctx)
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = e.length
	_, _ = w.Write(e.body) // The client may have disconnected.
}

// notYet converts errNoReading to a problem; other errors are returned unchanged.
func notYet(err error) error {
	if !errors.Is(err, errNoReading) {
		return err
	}
	return huma.ErrorWithHeaders(
		problem(http.StatusServiceUnavailable, "The agent has just started and has no complete reading yet; try again in a second."),
		http.Header{"Retry-After": {"1"}})
}

// encodeCurrent encodes the newest reading as the document of /current.
func (s *Server) encodeCurrent(seq uint64, at time.Time) ([]byte, error) {
	c := readCurrent(s.options.Machine, seq, at)
	c.Hostname, c.Agent.Version = s.options.Hostname, s.options.Version
	if system := sanitize.ValidUTF8(s.options.OS); system != "" {
		c.OS = &system
	}
	if s.options.Interval > 0 {
		c.IntervalSeconds = number(s.options.Interval.Seconds())
	}
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode the newest reading: %w", err)
	}
	return b, nil
}

// readingOf is the newest reading of a collector, nil if it has none.
func readingOf[T any](m Machine, collector string) *T {
	r, _ := m.Newest(collector)
	t, _ := any(r).(*T)
	return t
}

// readCurrent combines the newest readings of the collectors.
func readCurrent(m Machine, seq uint64, at time.Time) *Current {
	c := blank[Current]()
	c.Timestamp, c.Tick, c.Scope, c.Limits.Scope = at.UTC(), seq, "host", "none"
	if r := readingOf[instruments.CPU](m, "cpu"); r != nil {
		c.CPU.read(r)
	}
	if r := readingOf[instruments.Load](m, "load"); r != nil {
		c.CPU.LoadAverage = [3]number{number(r.One), number(r.Five), number(r.Fifteen)}
	}
	if r := readingOf[instruments.Memory](m, "memory"); r != nil {
		c.Memory.read(r)
	}
	if r := readingOf[instruments.Paging](m, "paging"); r != nil {
		c.Memory.Swap.read(r)
	}
	if r := readingOf[instruments.Disk](m, "disk"); r != nil {
		c.Disk.readDevices(r)
	}
	if r := readingOf[instruments.Filesystem](m, "filesystem"); r != nil {
		c.Disk.readFilesystems(r)
	}
	if r := readingOf[instruments.Network](m, "network"); r != nil {
		c.Network.read(r)
	}
	if r := readingOf[instruments.Pressure](m, "pressure"); r != nil {
		c.Pressure = readPressure(r)
	}
	if r := readingOf[instruments.Processes](m, "processes"); r != nil {
		c.Processes.read(r)
	}
	if r := readingOf[instruments.System](m, "system"); r != nil {
		c.UptimeSeconds = number(r.Uptime)
		if boot := r.Boot.UTC(); !boot.IsZero() {
			c.BootTime = &boot
		}
	}
	if r := readingOf[instruments.Cgroup](m, "cgroup"); r != nil && r.Limited() {
		c.Limits.read(r)
	}
	if r := readingOf[instruments.Agent](m, "agent"); r != nil {
		c.Agent.read(r)
	}
	return &c
}

// onLinux is whether the kernel has the Linux-only counters.
const onLinux = runtime.GOOS == "linux"

func megahertz(hertz float64) number { return number(hertz / 1e6) }

func (c *CurrentCPU) read(r *instruments.CPU) {
	c.UsagePercent = percentOf(r.Usage)
	c.Frequency = Frequency{megahertz(r.Frequency.Current), megahertz(r.Frequency.Min), megahertz(r.Frequency.Max)}
	if r.Logical > 0 {
		c.Count = count(r.Logical)
	}
	if r.Physical > 0 {
		c.Physical = count(r.Physical)
	}
	c.StatesPercent = StatesPercent{
		User: percentOf(r.States.User), Nice: percentOf(r.States.Nice), System: percentOf(r.States.System),
		Idle: percentOf(r.States.Idle), IOWait: percentOf(r.States.Wait), Interrupt: percentOf(r.States.Interrupt),
		SoftIRQ: percentOf(r.States.SoftIRQ), Steal: percentOf(r.States.Steal),
	}
	c.PerCore, c.Cores = make([]number, 0, len(r.Cores)), make([]CurrentCore, 0, len(r.Cores))
	for i := range r.Cores {
		core := &r.Cores[i]
		c.PerCore = append(c.PerCore, percentOf(core.Usage))
		c.Cores = append(c.Cores, CurrentCore{core.ID, percentOf(core.Usage), megahertz(core.Frequency)})
	}
}

func (m *CurrentMemory) read(r *instruments.Memory) {
	m.Total, m.Available, m.Used, m.Free = count(r.Total), count(r.Available), count(r.Used), count(r.Free)
	m.Percent = percentOf(r.Utilization)
	if onLinux {
		m.Buffers, m.Cached = count(r.Buffers), count(r.Cached)
		m.SlabReclaimable, m.SlabUnreclaimable = count(r.SlabReclaimable), count(r.SlabUnreclaimable)
	}
}

func (s *CurrentSwap) read(r *instruments.Paging) {
	s.Total, s.Used, s.Free, s.Percent = count(r.Total), count(r.Used), count(r.Free), percentOf(r.Utilization)
	s.Devices = make([]SwapDevice, 0, len(r.Devices))
	for _, d := range r.Devices {
		s.Devices = append(s.Devices, SwapDevice{d.Name, count(d.Used), count(d.Free)})
	}
}

func diskIO(r instruments.DiskRates) DiskIO {
	return DiskIO{number(r.ReadBytesPerSecond), number(r.WriteBytesPerSecond), number(r.ReadsPerSecond), number(r.WritesPerSecond)}
}

func (d *CurrentDisk) readDevices(r *instruments.Disk) {
	d.IO = diskIO(r.Total)
	d.Devices = make([]CurrentDevice, 0, len(r.Devices))
	for i := range r.Devices {
		from := &r.Devices[i]
		device := blank[CurrentDevice]()
		device.Name, device.Mapper, device.Physical, device.DiskIO = from.Name, from.Mapper, from.Physical, diskIO(from.DiskRates)
		if r.Detailed {
			device.BusyPercent, device.Queue = percentOf(from.Busy), number(from.Queue)
			device.ReadLatencyMS, device.WriteLatencyMS = number(from.ReadLatency*1000), number(from.WriteLatency*1000)
		}
		d.Devices = append(d.Devices, device)
	}
}

func networkIO(r instruments.NetworkRates) NetworkIO {
	return NetworkIO{
		BytesSentPerSec: number(r.BytesSentPerSecond), BytesRecvPerSec: number(r.BytesReceivedPerSecond),
		PacketsSentPerSec: number(r.PacketsSentPerSecond), PacketsRecvPerSec: number(r.PacketsReceivedPerSecond),
		ErrorsIn: number(r.ErrorsReceivedPerSecond), ErrorsOut: number(r.ErrorsSentPerSecond),
		DropsIn: number(r.DroppedReceivedPerSecond), DropsOut: number(r.DroppedSentPerSecond),
	}
}

func (n *CurrentNetwork) read(r *instruments.Network) {
	n.NetworkIO = networkIO(r.Total)
	n.Interfaces = make([]CurrentInterface, 0, len(r.Interfaces))
	for i := range r.Interfaces {
		from := &r.Interfaces[i]
		n.Interfaces = append(n.Interfaces, CurrentInterface{from.Name, from.Physical, from.Counted, networkIO(from.NetworkRates), number(from.Speed)})
	}
	if s := r.Sockets; s != nil {
		n.Connections.TCPInUse, n.Connections.TCPTimeWait = countOf(s.TCPInUse), countOf(s.TCPTimeWait)
		n.Connections.TCPOrphans, n.Connections.UDPInUse = countOf(s.TCPOrphans), countOf(s.UDPInUse)
	}
	for _, state := range r.TCP {
		n.Connections.TCPStates = append(n.Connections.TCPStates, ConnectionState{state.State, count(state.Count)})
	}
}

func readPressure(r *instruments.Pressure) []Pressure {
	stall := func(s *instruments.Stall) Stall {
		if s == nil {
			return blank[Stall]()
		}
		return Stall{percentOf(s.Utilization), percentOf(s.Avg10), percentOf(s.Avg60), percentOf(s.Avg300)}
	}
	all := make([]Pressure, 0, len(r.Resources))
	for i := range r.Resources {
		from := &r.Resources[i]
		all = append(all, Pressure{from.Resource, stall(from.Some), stall(from.Full)})
	}
	return all
}

func (p *CurrentProcesses) read(r *instruments.Processes) {
	if r.Hidden {
		return // They are unknown.
	}
	p.Total = count(r.Total)
	for _, state := range []struct {
		name string
		to   *count
	}{
		{"running", &p.Running},
		{"sleeping", &p.Sleeping},
		{"blocked", &p.Blocked},
		{"idle", &p.Idle},
		{"stopped", &p.Stopped},
		{"zombies", &p.Zombies},
	} {
		*state.to = count(r.Count[state.name])
	}
}

func (l *CurrentLimits) read(r *instruments.Cgroup) {
	l.Scope, l.Path = "cgroup", r.Path
	l.CPU = CPULimit{number(r.CPULimit), percentOf(r.CPUUsage)}
	if r.MemoryLimit > 0 {
		l.Memory = MemoryLimit{count(r.MemoryLimit), count(r.MemoryUsage), percentOf(r.MemoryUtilization)}
	}
}

func (a *CurrentAgent) read(r *instruments.Agent) {
	a.CPUSeconds, a.Ticks, a.Gaps = number(r.CPUSeconds), count(r.Ticks), 0
	if r.ResidentBytes > 0 {
		a.Memory = count(r.ResidentBytes)
	}
	for _, n := range r.Gaps {
		a.Gaps += count(n)
	}
}

// CurrentFilesystem is one file system.
type CurrentFilesystem struct {
	Device     string `json:"device" doc:"Mounted device or source."`
	Mountpoint string `json:"mountpoint" doc:"Mount point."`
	Type       string `json:"type" doc:"File system type."`
	Mode       string `json:"mode" doc:"rw or ro."`
	Total      count  `json:"total" doc:"Size in bytes."`
	Used       count  `json:"used" doc:"Bytes in use."`
	Free       count  `json:"free" doc:"Bytes available to unprivileged users."`
	Reserved   count  `json:"reserved" doc:"Bytes reserved for root."`
	Percent    number `json:"percent" doc:"used / (used + free), as df shows it."`
	Inodes     count  `json:"inodes" doc:"Number of inodes; null if the file system allocates them on demand."`
	InodesUsed count  `json:"inodes_used" doc:"Number of inodes in use."`
	Stuck      bool   `json:"stuck" doc:"Whether the server or program behind it is not responding."`
	Reason     string `json:"reason,omitempty" doc:"Why its numbers are missing; absent if they are known."`
}

func (d *CurrentDisk) readFilesystems(r *instruments.Filesystem) {
	if t := r.Total; t != nil {
		d.Total, d.Used, d.Free, d.Percent = count(t.Size), count(t.Used), count(t.Free), percentOf(t.Utilization)
	}
	d.Filesystems = make([]CurrentFilesystem, 0, len(r.Mounts))
	for i := range r.Mounts {
		from := &r.Mounts[i]
		f := blank[CurrentFilesystem]()
		f.Device, f.Mountpoint, f.Type, f.Mode = from.Device, from.Mountpoint, from.Type, from.Mode
		f.Stuck, f.Reason = from.Stuck, from.Reason
		if from.Measured {
			f.Total, f.Used, f.Free, f.Reserved = count(from.Size), count(from.Used), count(from.Free), count(from.Reserved)
			f.Percent = percentOf(from.Utilization)
			if from.Inodes > 0 {
				f.Inodes, f.InodesUsed = count(from.Inodes), count(from.InodesUsed)
			}
		}
		d.Filesystems = append(d.Filesystems, f)
	}
}
