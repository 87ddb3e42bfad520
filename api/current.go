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
)

// Current is the answer of /current: one moment of the machine. Its names are
// the product's own and part of the contract: fields are added, never changed.
type Current struct {
	Timestamp       time.Time `json:"timestamp" doc:"Time of the tick at which the machine was read, in UTC."`
	Hostname        string    `json:"hostname" doc:"Name of the machine, as in host.name."`
	OS              *string   `json:"os" nullable:"true" doc:"Operating system with its version, as its makers call it."`
	Scope           string    `json:"scope" enum:"host" doc:"What the numbers are about: all but those in limits are of the whole host, in a container too."`
	Tick            uint64    `json:"tick" doc:"Number of the tick since the agent started."`
	IntervalSeconds number    `json:"interval_seconds" doc:"Time between two ticks."`

	CPU       CurrentCPU       `json:"cpu" doc:"The processors."`
	Memory    CurrentMemory    `json:"memory" doc:"The memory, in bytes."`
	Disk      CurrentDisk      `json:"disk" doc:"The file systems in all, and the traffic of the physical disks."`
	Network   CurrentNetwork   `json:"network" doc:"The traffic of the physical network interfaces in all."`
	Pressure  []Pressure       `json:"pressure" doc:"Pressure stall information: the time in which tasks waited for a resource; null where the kernel does not tell."`
	Processes CurrentProcesses `json:"processes" doc:"How many processes there are in each state."`

	UptimeSeconds number        `json:"uptime_seconds" doc:"How long the machine runs, time that it was suspended included."`
	BootTime      *time.Time    `json:"boot_time" doc:"When the machine started."`
	Limits        CurrentLimits `json:"limits" doc:"What the agent's own control group may use: the limits of the container it is in."`
	Agent         CurrentAgent  `json:"agent" doc:"What the measuring costs."`
}

// CurrentCPU is the processors' part of Current.
type CurrentCPU struct {
	UsagePercent  number        `json:"usage_percent" doc:"Share of all processors that was busy in the last tick: everything but idle and iowait."`
	PerCore       []number      `json:"per_core" doc:"The same for each logical processor, in the order of their numbers."`
	Frequency     Frequency     `json:"frequency" doc:"Clock rates in MHz."`
	LoadAverage   [3]number     `json:"load_average" nullable:"false" doc:"Mean number of threads that ran or waited over 1, 5 and 15 minutes."`
	Count         count         `json:"count" doc:"Number of logical processors that are online."`
	Physical      count         `json:"physical" doc:"Number of physical cores."`
	StatesPercent StatesPercent `json:"states_percent" doc:"Share of the time of all processors in each state; they add up to 100."`
	Cores         []CurrentCore `json:"cores" doc:"Each logical processor."`
}

// Frequency is a clock rate with its limits.
type Frequency struct {
	Current number `json:"current" doc:"Mean over all processors."`
	Min     number `json:"min" doc:"Least that the hardware allows."`
	Max     number `json:"max" doc:"Most that the hardware allows."`
}

// StatesPercent is the time of processors by state.
type StatesPercent struct {
	User      number `json:"user" doc:"Programs."`
	Nice      number `json:"nice" doc:"Programs of lowered priority."`
	System    number `json:"system" doc:"The kernel."`
	Idle      number `json:"idle" doc:"Nothing to do."`
	IOWait    number `json:"iowait" doc:"Nothing to do while a disk was waited for."`
	Interrupt number `json:"interrupt" doc:"Hardware interrupts."`
	SoftIRQ   number `json:"softirq" doc:"Software interrupts."`
	Steal     number `json:"steal" doc:"Time that the hypervisor gave to other machines."`
}

// CurrentCore is one logical processor.
type CurrentCore struct {
	ID           string `json:"id" doc:"The kernel's name."`
	UsagePercent number `json:"usage_percent" doc:"Share of the last tick in which it was busy."`
	Frequency    number `json:"frequency" doc:"Its clock rate in MHz."`
}

// CurrentMemory is the memory's part of Current.
type CurrentMemory struct {
	Total             count       `json:"total" doc:"Memory that the kernel can use."`
	Available         count       `json:"available" doc:"What programs can still get without swapping."`
	Used              count       `json:"used" doc:"total without available."`
	Percent           number      `json:"percent" doc:"used over total."`
	Swap              CurrentSwap `json:"swap" doc:"The swap space of all devices together."`
	Free              count       `json:"free" doc:"Memory that nobody uses for anything."`
	Buffers           count       `json:"buffers" doc:"Cache of raw block devices (Linux)."`
	Cached            count       `json:"cached" doc:"Cache of files, slab_reclaimable included (Linux)."`
	SlabReclaimable   count       `json:"slab_reclaimable" doc:"The kernel's objects that it can drop (Linux)."`
	SlabUnreclaimable count       `json:"slab_unreclaimable" doc:"The kernel's objects that it cannot drop (Linux)."`
}

// CurrentSwap is the swap space.
type CurrentSwap struct {
	Total   count        `json:"total" doc:"0 where no swap is configured."`
	Used    count        `json:"used" doc:"Swap space in use."`
	Percent number       `json:"percent" doc:"used over total; null without swap."`
	Free    count        `json:"free" doc:"Swap space not in use."`
	Devices []SwapDevice `json:"devices" doc:"Each partition and file that is swapped to."`
}

// SwapDevice is one partition or file that is swapped to.
type SwapDevice struct {
	Name string `json:"name" doc:"Its path."`
	Used count  `json:"used" doc:"Bytes in use."`
	Free count  `json:"free" doc:"Bytes not in use."`
}

// CurrentDisk is the disks' and file systems' part of Current.
type CurrentDisk struct {
	Total       count               `json:"total" doc:"Size of all local file systems, each counted once."`
	Used        count               `json:"used" doc:"Bytes in use."`
	Free        count               `json:"free" doc:"Bytes that users can still write."`
	Percent     number              `json:"percent" doc:"used over used and free, as df tells it."`
	IO          DiskIO              `json:"io" doc:"Traffic of all physical disks in the last tick."`
	Devices     []CurrentDevice     `json:"devices" doc:"Each disk."`
	Filesystems []CurrentFilesystem `json:"filesystems" doc:"Each file system."`
}

// DiskIO is the traffic of disks.
type DiskIO struct {
	ReadBytesPerSec  number `json:"read_bytes_per_sec" doc:"Bytes read."`
	WriteBytesPerSec number `json:"write_bytes_per_sec" doc:"Bytes written."`
	ReadCountPerSec  number `json:"read_count_per_sec" doc:"Operations that read."`
	WriteCountPerSec number `json:"write_count_per_sec" doc:"Operations that wrote."`
}

// CurrentDevice is one disk.
type CurrentDevice struct {
	Name     string `json:"name" doc:"The kernel's name."`
	Mapper   string `json:"mapper,omitempty" doc:"The name that the device mapper gave it (LVM, LUKS)."`
	Physical bool   `json:"physical" doc:"Whether it counts in io: what is built of other disks does not."`
	DiskIO
	BusyPercent    number `json:"busy_percent" doc:"Share of the last tick in which an operation was under way; a disk that serves many at once can take more at 100."`
	ReadLatencyMS  number `json:"read_latency_ms" doc:"Mean time of a read completed in the last tick, in milliseconds; null where there was none."`
	WriteLatencyMS number `json:"write_latency_ms" doc:"Mean time of a write completed in the last tick, in milliseconds; null where there was none."`
	Queue          number `json:"queue" doc:"Mean number of operations under way in the last tick."`
}

// CurrentNetwork is the network's part of Current.
type CurrentNetwork struct {
	NetworkIO
	Interfaces  []CurrentInterface `json:"interfaces" doc:"Each network interface."`
	Connections CurrentConnections `json:"connections" doc:"Sockets of the whole machine."`
}

// NetworkIO is the traffic of network interfaces, each number per second.
type NetworkIO struct {
	BytesSentPerSec   number `json:"bytes_sent_per_sec" doc:"Bytes sent."`
	BytesRecvPerSec   number `json:"bytes_recv_per_sec" doc:"Bytes received."`
	PacketsSentPerSec number `json:"packets_sent_per_sec" doc:"Packets sent."`
	PacketsRecvPerSec number `json:"packets_recv_per_sec" doc:"Packets received."`
	ErrorsIn          number `json:"errors_in" doc:"Packets per second that could not be received."`
	ErrorsOut         number `json:"errors_out" doc:"Packets per second that could not be sent."`
	DropsIn           number `json:"drops_in" doc:"Received packets per second that were dropped."`
	DropsOut          number `json:"drops_out" doc:"Packets to send per second that were dropped."`
}

// CurrentInterface is one network interface.
type CurrentInterface struct {
	Name     string `json:"name" doc:"The kernel's name."`
	Physical bool   `json:"physical" doc:"Whether there is hardware behind it."`
	Counted  bool   `json:"counted" doc:"Whether it is in the total."`
	NetworkIO
	SpeedBitsPerSec number `json:"speed_bits_per_sec" doc:"Speed of the link; null where it is not told."`
}

// CurrentConnections counts sockets.
type CurrentConnections struct {
	TCPInUse    count             `json:"tcp_in_use" doc:"Open TCP sockets."`
	TCPTimeWait count             `json:"tcp_time_wait" doc:"TCP sockets that wait for stray packets after their end."`
	TCPOrphans  count             `json:"tcp_orphans" doc:"TCP sockets that no process knows any more."`
	UDPInUse    count             `json:"udp_in_use" doc:"Open UDP sockets."`
	TCPStates   []ConnectionState `json:"tcp_states" doc:"TCP sockets by state, counted every 10 seconds; null where they cannot be counted."`
}

// ConnectionState is the number of TCP sockets in one state.
type ConnectionState struct {
	State string `json:"state" doc:"The kernel's word for the state."`
	Count count  `json:"count" doc:"Number of sockets."`
}

// Pressure is how much tasks waited for one resource.
type Pressure struct {
	Resource string `json:"resource" doc:"cpu, memory, io or irq."`
	Some     Stall  `json:"some" doc:"Time in which at least one task waited."`
	Full     Stall  `json:"full" doc:"Time in which all tasks that had work waited."`
}

// Stall is a share of time in percent.
type Stall struct {
	Percent number `json:"percent" doc:"In the last tick."`
	Avg10   number `json:"avg10" doc:"The kernel's mean over 10 seconds."`
	Avg60   number `json:"avg60" doc:"The kernel's mean over 60 seconds."`
	Avg300  number `json:"avg300" doc:"The kernel's mean over 300 seconds."`
}

// CurrentProcesses counts processes by state.
type CurrentProcesses struct {
	Total    count `json:"total" doc:"All processes."`
	Running  count `json:"running" doc:"Running or ready to run."`
	Sleeping count `json:"sleeping" doc:"Waiting for something."`
	Blocked  count `json:"blocked" doc:"Waiting for a disk, and not to be woken."`
	Idle     count `json:"idle" doc:"Threads of the kernel with nothing to do."`
	Stopped  count `json:"stopped" doc:"Stopped by a signal or a debugger."`
	Zombies  count `json:"zombies" doc:"Ended, and nobody asked how."`
}

// CurrentLimits is what the agent's control group may use.
type CurrentLimits struct {
	Scope  string      `json:"scope" enum:"cgroup,none" doc:"cgroup where these numbers are of the agent's control group, none where nothing is known to limit it."`
	Path   string      `json:"path" doc:"The control group, empty without one."`
	CPU    CPULimit    `json:"cpu" doc:"Its processor time."`
	Memory MemoryLimit `json:"memory" doc:"Its memory, in bytes."`
}

// CPULimit is a limit of processor time.
type CPULimit struct {
	Cores        number `json:"cores" doc:"How many processors it may use; null where nothing limits it."`
	UsagePercent number `json:"usage_percent" doc:"Share of that limit used in the last tick."`
}

// MemoryLimit is a limit of memory.
type MemoryLimit struct {
	Total   count  `json:"total" doc:"The limit; null where nothing limits it."`
	Used    count  `json:"used" doc:"What is used of it, without cache that can be dropped."`
	Percent number `json:"percent" doc:"used over total."`
}

// CurrentAgent is the agent itself.
type CurrentAgent struct {
	Version    string `json:"version" doc:"Version of the agent."`
	CPUSeconds number `json:"cpu_seconds" doc:"Processor time that the agent has used since it started."`
	Memory     count  `json:"memory" doc:"Resident memory of the agent, in bytes."`
	Ticks      count  `json:"ticks" doc:"Ticks at which the machine was read."`
	Gaps       count  `json:"gaps" doc:"Readings that are missing since the agent started, for any cause."`
}

// currentOutput answers with bytes that are ready.
type currentOutput struct{ Body func(huma.Context) }

func (s *Server) registerCurrent() {
	register(s, Operation{
		ID: "get-current", Method: http.MethodGet, Path: "/api/v1/metrics/current",
		Summary: "The newest reading",
		Description: "Everything that was measured at the newest tick. Rates are over that tick; they are `null` until there are two readings. " +
			"A part that is switched off, failed at this tick or does not exist on this machine keeps its fields, and they are `null`. " +
			"The answer is made once a tick, however many ask.",
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

// jsonType is made once, so that setting it costs no memory.
var jsonType = []string{"application/json"}

// write answers with the ready bytes.
func (e *encoded) write(ctx huma.Context) {
	_, w := humago.Unwrap(ctx)
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = e.length
	_, _ = w.Write(e.body) // Who is gone needs no answer.
}

// notYet says that there is no reading yet; other errors stay what they are.
func notYet(err error) error {
	if !errors.Is(err, errNoReading) {
		return err
	}
	return huma.ErrorWithHeaders(
		problem(http.StatusServiceUnavailable, "The agent has just started and has no complete reading yet; ask again in a second."),
		http.Header{"Retry-After": {"1"}})
}

// encodeCurrent encodes the newest reading as the document of /current.
func (s *Server) encodeCurrent(seq uint64, at time.Time) ([]byte, error) {
	c := readCurrent(s.options.Machine, seq, at)
	c.Hostname, c.Agent.Version = s.options.Hostname, s.options.Version
	if system := printable(s.options.OS); system != "" {
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

// readingOf is a family's newest reading, nil where it has none.
func readingOf[T any](m Machine, family string) *T {
	r, _ := m.Newest(family)
	t, _ := any(r).(*T)
	return t
}

// readCurrent puts the families' newest readings together.
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
		boot := r.Boot.UTC()
		c.UptimeSeconds, c.BootTime = number(r.Uptime), &boot
	}
	if r := readingOf[instruments.Cgroup](m, "cgroup"); r != nil {
		c.Limits.read(r)
	}
	if r := readingOf[instruments.Agent](m, "agent"); r != nil {
		c.Agent.read(r)
	}
	return &c
}

// onLinux tells whether the kernel counts what other systems do not.
const onLinux = runtime.GOOS == "linux"

func megahertz(hertz float64) number { return number(hertz / 1e6) }

func (c *CurrentCPU) read(r *instruments.CPU) {
	c.UsagePercent = percentOf(r.Usage)
	c.Frequency = Frequency{megahertz(r.Frequency.Current), megahertz(r.Frequency.Min), megahertz(r.Frequency.Max)}
	c.Count = count(r.Logical)
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
		n.Connections.TCPInUse, n.Connections.TCPTimeWait = count(s.TCPInUse), count(s.TCPTimeWait)
		n.Connections.TCPOrphans, n.Connections.UDPInUse = count(s.TCPOrphans), count(s.UDPInUse)
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
	Device     string `json:"device" doc:"What is mounted."`
	Mountpoint string `json:"mountpoint" doc:"Where it is mounted."`
	Type       string `json:"type" doc:"Type of file system."`
	Mode       string `json:"mode" doc:"rw or ro."`
	Total      count  `json:"total" doc:"Its size, in bytes."`
	Used       count  `json:"used" doc:"Bytes in use."`
	Free       count  `json:"free" doc:"Bytes that users can still write."`
	Reserved   count  `json:"reserved" doc:"Bytes that only root can still write."`
	Percent    number `json:"percent" doc:"used over used and free, as df tells it."`
	Inodes     count  `json:"inodes" doc:"How many files it can hold; null where it makes room for them as it goes."`
	InodesUsed count  `json:"inodes_used" doc:"How many files it holds."`
	Stuck      bool   `json:"stuck" doc:"Whether the server or program behind it does not answer."`
	Reason     string `json:"reason,omitempty" doc:"Why its numbers are not known; absent where they are."`
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
