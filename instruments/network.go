package instruments

import (
	"context"
	"time"

	"sysotel/instruments/pattern"
	"sysotel/instruments/sanitize"
)

// Network is a reading of the network interfaces and connections.
type Network struct {
	Interfaces []Interface
	// Total is the sum over the physical interfaces, those that Interfaces leaves
	// out by pattern included. In a container, which has none, it is the sum over
	// those that lead outside of it.
	Total NetworkRates
	// Connections are counted each tick (sockets) and every 10 s (states).
	Connections
}

// NetworkRates is the traffic of the last tick, per second.
type NetworkRates struct {
	BytesReceivedPerSecond, BytesSentPerSecond     float64
	PacketsReceivedPerSecond, PacketsSentPerSecond float64
	ErrorsReceivedPerSecond, ErrorsSentPerSecond   float64
	DroppedReceivedPerSecond, DroppedSentPerSecond float64
}

// Interface is one network interface. Counters count since it came up.
type Interface struct {
	Name string
	// Physical reports whether it has hardware, also a virtual machine's.
	Physical bool
	// Counted reports whether it is in the total.
	Counted bool

	BytesReceived, BytesSent     uint64
	PacketsReceived, PacketsSent uint64
	ErrorsReceived, ErrorsSent   uint64
	DroppedReceived, DroppedSent uint64
	// NetworkRates are those of this interface.
	NetworkRates
	// Speed is that of the link in bit/s, unknown if the system does not report it.
	Speed float64
	// Implausible counts the ticks in which more bytes were counted than the link
	// can carry; their rates are unknown.
	Implausible uint64

	kind interfaceKind
}

var (
	interfaceKey        = Key{Name: "device", Semconv: "network.interface.name", Help: "network interface: eth0"}
	interfacePacketsKey = Key{Name: "device", Semconv: "system.device", Help: "network interface: eth0"}
	interfaceSumKey     = Key{Name: "device", Semconv: "network.interface.name", Help: "network interface; left out of the point that is the sum over all physical interfaces"}
	networkDirectionKey = Key{Name: "direction", Semconv: "network.io.direction", Help: "receive or transmit"}

	networkIO = &Metric{
		Name: "system.network.io", Unit: "By", Kind: Counter, Integer: true, Keys: []Key{interfaceKey, networkDirectionKey},
		Help: "Bytes received and sent.", Source: "/proc/1/net/dev",
	}
	networkPackets = &Metric{
		Name: "system.network.packets", Semconv: "system.network.packet.count", Unit: "{packets}", SemconvUnit: "{packet}",
		Kind: Counter, Integer: true, Keys: []Key{interfacePacketsKey, networkDirectionKey},
		Help: "Packets received and sent.", Source: "/proc/1/net/dev",
	}
	networkErrors = &Metric{
		Name: "system.network.errors", Unit: "{errors}", SemconvUnit: "{error}", Kind: Counter, Integer: true, Keys: []Key{interfaceKey, networkDirectionKey},
		Help: "Packets that could not be received or sent because of an error.", Source: "/proc/1/net/dev",
	}
	networkDropped = &Metric{
		Name: "system.network.dropped", Semconv: "system.network.packet.dropped", Unit: "{packets}", SemconvUnit: "{packet}",
		Kind: Counter, Integer: true, Keys: []Key{interfaceKey, networkDirectionKey},
		Help: "Packets that were dropped although there was no error.", Source: "/proc/1/net/dev",
	}
	networkIORate = &Metric{
		Name: "sysotel.network.io.rate", Unit: "By/s", Kind: Gauge, Keys: []Key{networkDirectionKey, interfaceSumKey},
		Help: "Bytes received and sent per second in the last tick, by interface and (without device) over all physical interfaces.", Source: "difference of system.network.io over the time that passed",
	}
	networkPacketsRate = &Metric{
		Name: "sysotel.network.packets.rate", Unit: "{packet}/s", Kind: Gauge, Keys: []Key{networkDirectionKey, interfaceSumKey},
		Help: "Packets received and sent per second in the last tick, by interface and (without device) over all physical interfaces.", Source: "difference of system.network.packets over the time that passed",
	}
	networkErrorsRate = &Metric{
		Name: "sysotel.network.errors.rate", Unit: "{error}/s", Kind: Gauge, Keys: []Key{networkDirectionKey, interfaceSumKey},
		Help: "Errors per second in the last tick, by interface and (without device) over all physical interfaces.", Source: "difference of system.network.errors over the time that passed",
	}
	networkDroppedRate = &Metric{
		Name: "sysotel.network.dropped.rate", Unit: "{packet}/s", Kind: Gauge, Keys: []Key{networkDirectionKey, interfaceSumKey},
		Help: "Packets dropped per second in the last tick, by interface and (without device) over all physical interfaces.", Source: "difference of system.network.dropped over the time that passed",
	}
	networkImplausible = &Metric{
		Name: "sysotel.network.implausible", Unit: "{tick}", Kind: Counter, Integer: true, Start: SinceAgent, Keys: []Key{interfaceKey},
		Help: "Ticks whose rates were left out because a physical interface counted more bytes than 1.2 times what its link can carry.", Source: "system.network.io against /sys/class/net/NAME/speed",
	}
)

// interfaceKind is how an interface is connected to the network.
type interfaceKind uint8

const (
	// interfaceLoopback leads nowhere.
	interfaceLoopback interfaceKind = iota
	// interfaceInner carries what another interface carries too: bridges, tunnels
	// and the machine's ends of containers and virtual machines.
	interfaceInner
	// interfaceVirtual has no hardware and could be the way outside: a container's eth0.
	interfaceVirtual
	// interfacePhysical has hardware.
	interfacePhysical
)

// network reads the network interfaces.
type network struct {
	filter      pattern.Filter
	source      networkSource
	interfaces  map[string]*interfaceState
	scans       uint64
	span        span
	connections connections
}

// interfaceState is what is kept of one interface between two reads.
type interfaceState struct {
	name, label string
	kind        interfaceKind
	shown       bool
	// speed is that of the link in bit/s, as looked up at the time looked.
	speed  float64
	looked time.Time
	// implausible counts all ticks above the speed, inRow the newest without a break.
	implausible uint64
	inRow       int
	before      interfaceCounters
	// scan is the number of the newest read that saw the interface.
	scan uint64
}

// linkEvery is how often an interface's speed and place are looked up again: a
// cable can be plugged into a faster switch, and a driver's answer costs more
// than a counter.
const linkEvery = time.Minute

func newNetwork(c Config) Collector {
	return &network{filter: c.Filter("network"), interfaces: map[string]*interfaceState{}}
}

func (*network) Name() string { return "network" }

// Configure implements Configurable.
func (n *network) Configure(c Config) {
	n.filter = c.Filter("network")
	for _, s := range n.interfaces {
		s.shown = n.filter.Keep(true, "device", s.label)
	}
}

func (*network) Metrics() []*Metric {
	return []*Metric{
		networkIO, networkPackets, networkErrors, networkDropped,
		networkIORate, networkPacketsRate, networkErrorsRate, networkDroppedRate, networkImplausible,
		networkConnections, networkSockets,
	}
}

func (n *network) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	r := &Network{Interfaces: make([]Interface, 0, len(n.interfaces))}
	// One sum for each kind; the total is that of the best kind there is.
	var sums [interfacePhysical + 1]networkSum
	seconds, begun := unknown, false
	now := h.Now()
	err := n.source.each(ctx, h, func(name []byte, c interfaceCounters) {
		if !begun {
			// Only now is it sure that there are new counters to compare.
			n.scans++
			now = h.Now()
			seconds, begun = n.span.next(now, t.Interval), true
		}
		s, known := n.interfaces[string(name)]
		if !known {
			s = &interfaceState{name: string(name), label: sanitize.EscapeControl(string(name))}
			s.shown = n.filter.Keep(true, "device", s.label)
			s.look(h, now)
			n.interfaces[s.name] = s
		} else if now.Sub(s.looked) >= linkEvery {
			s.look(h, now)
		}
		known = known && s.scan == n.scans-1
		rates := s.rates(h, c, known, seconds, now)
		s.before, s.scan = c, n.scans
		sums[s.kind].add(rates, known)
		if s.shown {
			one := Interface{Name: s.label, kind: s.kind, NetworkRates: rates, Speed: s.speed, Implausible: s.implausible}
			one.count(c)
			r.Interfaces = append(r.Interfaces, one)
		}
	})
	if err != nil {
		return nil, err
	}
	for name, s := range n.interfaces {
		if s.scan != n.scans || !begun {
			delete(n.interfaces, name)
		}
	}
	best := interfacePhysical
	for best > interfaceInner && sums[best].interfaces == 0 {
		best--
	}
	r.Total = sums[best].rates()
	for i := range r.Interfaces {
		r.Interfaces[i].Counted = r.Interfaces[i].kind == best
	}
	r.Connections = n.connections.read(ctx, h, now)
	return r, nil
}

// look finds out how the interface is connected.
func (s *interfaceState) look(h *Host, now time.Time) {
	s.kind, s.speed, s.looked = h.interfaceKind(s.name), h.linkSpeed(s.name), now
}

// count fills in the counters.
func (i *Interface) count(c interfaceCounters) {
	i.Physical = i.kind == interfacePhysical
	i.BytesReceived, i.BytesSent = c.receive.bytes, c.transmit.bytes
	i.PacketsReceived, i.PacketsSent = c.receive.packets, c.transmit.packets
	i.ErrorsReceived, i.ErrorsSent = c.receive.errors, c.transmit.errors
	i.DroppedReceived, i.DroppedSent = c.receive.dropped, c.transmit.dropped
}

// Report implements Reading.
func (n *Network) Report(o *Observer) {
	for k := range n.Interfaces {
		i := &n.Interfaces[k]
		o.Uint(networkIO, i.BytesReceived, i.Name, "receive")
		o.Uint(networkIO, i.BytesSent, i.Name, "transmit")
		o.Uint(networkPackets, i.PacketsReceived, i.Name, "receive")
		o.Uint(networkPackets, i.PacketsSent, i.Name, "transmit")
		o.Uint(networkErrors, i.ErrorsReceived, i.Name, "receive")
		o.Uint(networkErrors, i.ErrorsSent, i.Name, "transmit")
		o.Uint(networkDropped, i.DroppedReceived, i.Name, "receive")
		o.Uint(networkDropped, i.DroppedSent, i.Name, "transmit")
		i.report(o, i.Name)
		if i.Physical {
			o.Uint(networkImplausible, i.Implausible, i.Name)
		}
	}
	n.Total.report(o, "")
	n.reportConnections(o)
}

func (r *NetworkRates) report(o *Observer, device string) {
	o.Float(networkIORate, r.BytesReceivedPerSecond, "receive", device)
	o.Float(networkIORate, r.BytesSentPerSecond, "transmit", device)
	o.Float(networkPacketsRate, r.PacketsReceivedPerSecond, "receive", device)
	o.Float(networkPacketsRate, r.PacketsSentPerSecond, "transmit", device)
	o.Float(networkErrorsRate, r.ErrorsReceivedPerSecond, "receive", device)
	o.Float(networkErrorsRate, r.ErrorsSentPerSecond, "transmit", device)
	o.Float(networkDroppedRate, r.DroppedReceivedPerSecond, "receive", device)
	o.Float(networkDroppedRate, r.DroppedSentPerSecond, "transmit", device)
}
