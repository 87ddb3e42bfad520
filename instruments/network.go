package instruments

import (
	"context"
	"math"
	"time"

	"sysotel/instruments/pattern"
	"sysotel/instruments/sanitize"
)

// Network is a reading of the network interfaces and connections.
type Network struct {
	Interfaces []Interface
	// Total has each byte once that the machine exchanges with others: it is the sum
	// over the physical interfaces, those that Interfaces leaves out by pattern included.
	// In a container, which has none, it is the sum over those that lead outside of it. One
	// that stands on others (a bond) is in it only where those are not seen to count.
	Total NetworkRates
	// Connections are counted each tick (sockets) and every 10 s (states).
	Connections
	// Unnamed are those that have no name of their own in metrics, because there are too
	// many. Their sum is the last of Interfaces then.
	Unnamed []Interface
	// misread is what could not be read, and which interfaces the total goes on without.
	misread
}

// Folded implements Folder.
func (n *Network) Folded() (things int, full bool) { return len(n.Unnamed), len(n.Unnamed) > 0 }

// NetworkRates is the traffic of the last tick, per second.
type NetworkRates struct {
	BytesReceivedPerSecond, BytesSentPerSecond     float64
	PacketsReceivedPerSecond, PacketsSentPerSecond float64
	ErrorsReceivedPerSecond, ErrorsSentPerSecond   float64
	DroppedReceivedPerSecond, DroppedSentPerSecond float64
}

// Interface is one network interface. Counters count since it came up; one that could
// not be read is 2^64-1.
type Interface struct {
	Name string
	// Physical reports whether it has hardware, also a virtual machine's.
	Physical bool
	// Counted reports whether it is in the total.
	Counted bool
	// Sum is set on the sum over Network.Unnamed, whose counters count since the agent
	// started.
	Sum bool

	BytesReceived, BytesSent     uint64
	PacketsReceived, PacketsSent uint64
	ErrorsReceived, ErrorsSent   uint64
	DroppedReceived, DroppedSent uint64
	// NetworkRates are those of this interface.
	NetworkRates
	// Speed is that of the link in bit/s, unknown if the system does not report it.
	Speed float64
	// Implausible counts the ticks in which more bytes were counted than the link
	// can carry or, where its speed is not known, than twice the most before; their rates
	// are unknown.
	Implausible uint64

	kind interfaceKind
}

var (
	interfaceKey        = Key{Name: "device", Semconv: "network.interface.name", Help: "network interface: eth0; what is beyond instruments.network.names is others"}
	interfacePacketsKey = Key{Name: "device", Semconv: "system.device", Help: "network interface: eth0; what is beyond instruments.network.names is others"}
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
		Help: "Ticks whose rates were left out because a physical interface counted more bytes than 1.2 times what its link can carry or, where its speed is not known, than 1.2 Gbit/s and twice the most before.", Source: "system.network.io against /sys/class/net/NAME/speed",
	}
)

// network reads the network interfaces. How they are connected is in attachment.go.
type network struct {
	filter     pattern.Filter
	source     networkSource
	interfaces map[string]*interfaceState
	// order has the interfaces of the newest reading in the order of the file.
	order []*interfaceState
	// reported has those of its Interfaces.
	reported []*interfaceState
	// best is the best kind of interfaces there are.
	best interfaceKind
	// attachments and links ask beside the tick what can have changed.
	attachments beside[attachment]
	links       beside[linkInfo]
	changes     beside[string]
	scans       uint64
	span        span
	connections connections
	// roster chooses the interfaces with a name of their own, others is the sum over the
	// rest, once there were such.
	roster roster
	others *interfaceSum
}

// interfaceSum adds up interfaces without a name.
type interfaceSum struct{ counts [interfaceCounts]uint64 }

// interfaceState is what is kept of one interface between two reads.
type interfaceState struct {
	name, label string
	attachment
	// place is in the roster.
	place member
	link  linkInfo
	shown bool
	// sequence is its number, changes how often its link has come and gone.
	sequence sequence
	changes  string
	counts   trail[[interfaceCounts]uint64]
	ceiling  ceiling
	outage   outage
	// below are all interfaces that carry its bytes too, witness whether they count them.
	below   []*interfaceState
	witness witness
	// implausible counts all ticks above what the link can carry.
	implausible uint64
	// scan is the number of the newest read that saw the interface, first is set if there
	// was none before it.
	scan  uint64
	first bool
}

const (
	// linkEvery is how often it is asked again how an interface is connected and how fast.
	linkEvery = time.Minute
	// changesEvery is how often it is looked whether a link has come and gone.
	changesEvery = 10 * time.Second
)

func newNetwork(c Config) Collector {
	return &network{
		filter: c.Filter("network"), roster: roster{most: c.names("network")}, interfaces: map[string]*interfaceState{},
		attachments: beside[attachment]{every: linkEvery, read: func(h *Host, name string, _ attachment) attachment { return h.attachment(name) }},
		links:       beside[linkInfo]{every: linkEvery, read: func(h *Host, name string, _ linkInfo) linkInfo { return h.linkInfo(name) }},
		changes: beside[string]{every: changesEvery, read: func(h *Host, name, _ string) string {
			return h.readText("sys/class/net/" + name + "/carrier_changes")
		}},
	}
}

func (*network) Name() string { return "network" }

// Configure implements Configurable.
func (n *network) Configure(c Config) {
	n.filter, n.roster.most = c.Filter("network"), c.names("network")
	for _, s := range n.interfaces {
		if s.shown = n.filter.Keep(true, "device", s.label); !s.shown {
			n.roster.release(&s.place)
		}
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
	seconds, begun, changed := unknown, false, false
	now := h.Now()
	begin := func() {
		if !begun {
			// Only now is it sure that there are new counters to compare.
			n.scans++
			now = h.Now()
			seconds, begun = n.span.next(now, t.Interval), true
			n.order = n.order[:0]
		}
	}
	err := n.source.each(ctx, h, &r.misread, func(name []byte, c *interfaceCounters) {
		begin()
		s := n.interfaces[string(name)]
		switch {
		case s == nil:
			s = &interfaceState{name: string(name), label: sanitize.EscapeControl(string(name))}
			s.place.name = s.label
			s.shown = n.filter.Keep(true, "device", s.label)
			s.attachment, s.link.speed = h.attachment(s.name), unknown
			n.interfaces[s.name] = s
			changed = true
		case s.scan == n.scans:
			r.note("/proc/net/dev: "+s.label, "the interface is there twice")
			return
		}
		s.first = s.scan == 0
		if s.scan != n.scans-1 {
			s.counts.miss()
		}
		s.scan = n.scans
		n.order = append(n.order, s)
		if n.isReplaced(h, s) && !s.first {
			n.forget(s.name)
			s.counts.replace(c.counts())
			s.attachment, s.link, s.ceiling, s.witness = h.attachment(s.name), linkInfo{speed: unknown}, ceiling{}, witness{}
			changed = true
		} else {
			s.counts.next(c.counts())
		}
		changed = n.look(h, s, now) || changed
	})
	if err != nil {
		return n.withoutInterfaces(ctx, h, now, r, err)
	}
	begin()
	for name, s := range n.interfaces {
		if s.scan != n.scans {
			delete(n.interfaces, name)
			n.roster.release(&s.place)
			n.forget(name)
			changed = true
		}
	}
	if changed {
		n.connect()
	}
	n.compare(h, r, seconds, now)
	n.fold(r, seconds, t.Halved)
	r.Connections = n.connections.read(ctx, h, now)
	return r, nil
}

// withoutInterfaces is a reading of the connections alone: they do not come from the file
// that could not be read. It is an error if there are none either.
func (n *network) withoutInterfaces(ctx context.Context, h *Host, now time.Time, r *Network, err error) (Reading, error) {
	if ctx.Err() != nil {
		return nil, err
	}
	if r.Connections = n.connections.read(ctx, h, now); r.Sockets == nil && r.TCP == nil {
		return nil, err
	}
	r.Interfaces, r.Unnamed, r.Total = nil, nil, unknownRates
	r.lost("/proc/net/dev", err)
	return r, nil
}

// matters reports whether anything about an interface is reported: one that is left
// out and carries what others carry too costs its line in the file and nothing else.
func (s *interfaceState) matters() bool {
	return s.kind >= interfaceVirtual || s.shown || len(s.below) > 0
}

// isReplaced reports whether another interface has the name now.
func (n *network) isReplaced(h *Host, s *interfaceState) bool {
	place, count := len(n.order), len(n.interfaces)
	return s.name != "lo" && s.matters() && turn(place, count, n.scans) && s.sequence.changed(h, "sys/class/net", s.name, "ifindex", count <= sequenceTurn)
}

// look takes the answers that came beside the tick, and reports whether they
// differ from what was known.
func (n *network) look(h *Host, s *interfaceState, now time.Time) (changed bool) {
	if s.name == "lo" || !s.matters() {
		return false
	}
	if a, ok := n.attachments.get(h, s.name, now); ok && !a.equal(&s.attachment) {
		s.attachment, changed = a, true
	}
	if s.kind != interfacePhysical {
		return changed
	}
	if changes, ok := n.changes.get(h, s.name, now); ok && changes != s.changes {
		if s.changes != "" {
			n.links.again(h, s.name, now)
		}
		s.changes = changes
	}
	before := s.link
	link, ok := n.links.get(h, s.name, now)
	if !ok {
		link = linkInfo{speed: unknown, network: before.network, port: before.port}
	}
	s.link = link
	return changed || before.network != link.network || before.port != link.port
}

// forget drops what was asked beside the tick.
func (n *network) forget(name string) {
	n.attachments.forget(name)
	n.links.forget(name)
	n.changes.forget(name)
}

// compare fills in the interfaces that are shown, and the total.
func (n *network) compare(h *Host, r *Network, seconds float64, now time.Time) {
	var sum networkSum
	n.reported = n.reported[:0]
	for _, s := range n.order {
		s.see()
		counted := s.isCounted(n.best)
		if !counted && !s.shown {
			continue
		}
		rates, believed := s.rates(seconds)
		if !believed {
			n.links.again(h, s.name, now)
		}
		switch {
		case !counted, s.first: // At first sight there is no rate yet.
		case math.IsNaN(seconds):
			sum.add(&rates, false)
		case rates.known():
			s.outage.ends()
			sum.add(&rates, false)
		default:
			gone := s.outage.fails(now)
			if gone {
				r.note(s.label, lacksRate+leftOut)
			}
			sum.add(&rates, gone)
		}
		if s.shown {
			one := Interface{Name: s.label, Counted: counted, kind: s.kind, NetworkRates: rates, Speed: s.link.speed, Implausible: s.implausible}
			one.count(&s.counts)
			r.Interfaces = append(r.Interfaces, one)
			n.reported = append(n.reported, s)
		}
	}
	r.Total = sum.rates()
}

// fold adds up the interfaces that have no name of their own. First those have one that are in
// the total, then those with most traffic.
func (n *network) fold(r *Network, seconds float64, halved int) {
	if math.IsNaN(seconds) {
		seconds = 0
	}
	n.roster.begin()
	for k := range r.Interfaces {
		i := &r.Interfaces[k]
		share := (orZero(i.BytesReceivedPerSecond) + orZero(i.BytesSentPerSecond)) / usualLink
		if i.Counted {
			share++
		}
		n.roster.see(&n.reported[k].place, true, share, seconds)
	}
	if n.roster.choose(seconds, halved) > 0 && n.others == nil {
		n.others = &interfaceSum{}
	}
	if n.others == nil {
		return
	}
	var rates networkSum
	named := r.Interfaces[:0]
	for k := range r.Interfaces {
		i, s := r.Interfaces[k], n.reported[k]
		if !s.place.named || !s.place.was {
			n.others.add(s)
		}
		if s.place.named {
			named = append(named, i)
			continue
		}
		rates.add(&i.NetworkRates, true)
		r.Unnamed = append(r.Unnamed, i)
	}
	sum := Interface{Name: otherNames, Sum: true, Speed: unknown, NetworkRates: rates.rates()}
	n.others.fill(&sum)
	r.Interfaces = append(named, sum)
}

// add adds what an interface has counted since the reading before.
func (o *interfaceSum) add(s *interfaceState) {
	for i := range o.counts {
		if grown := s.counts.grown(i); grown > 0 {
			o.counts[i] += uint64(grown)
		}
	}
}

// fill fills in the counters.
func (o *interfaceSum) fill(i *Interface) {
	c := &o.counts
	i.BytesReceived, i.BytesSent = c[bytesReceived], c[bytesSent]
	i.PacketsReceived, i.PacketsSent = c[packetsReceived], c[packetsSent]
	i.ErrorsReceived, i.ErrorsSent = c[errorsReceived], c[errorsSent]
	i.DroppedReceived, i.DroppedSent = c[droppedReceived], c[droppedSent]
}

// count fills in the counters.
func (i *Interface) count(c *trail[[interfaceCounts]uint64]) {
	i.Physical = i.kind == interfacePhysical
	i.BytesReceived, i.BytesSent = c.count(bytesReceived), c.count(bytesSent)
	i.PacketsReceived, i.PacketsSent = c.count(packetsReceived), c.count(packetsSent)
	i.ErrorsReceived, i.ErrorsSent = c.count(errorsReceived), c.count(errorsSent)
	i.DroppedReceived, i.DroppedSent = c.count(droppedReceived), c.count(droppedSent)
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
