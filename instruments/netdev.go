package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"time"

	"sysotel/instruments/pattern"
	"sysotel/instruments/sanitize"
)

// Netdev is a reading of what is known of the network interfaces beside their traffic.
type Netdev struct {
	misread

	Interfaces []NetdevInterface
}

// NetdevInterface is one interface; a number above 2^63-1 is unknown.
type NetdevInterface struct {
	Name string
	// Events are in the order of netdevEventNames.
	Events [netdevEventCount]uint64
	// NetdevDetails are read beside the tick.
	NetdevDetails
}

const netdevEventCount = 9

// netdevEventNames are the columns of /proc/net/dev that the collector network does not
// report, and what is in sysfs only.
var netdevEventNames = [netdevEventCount]struct {
	direction, name string
	column          int
}{
	{"receive", "fifo", 4},
	{"receive", "frame", 5},
	{"receive", "compressed", 6},
	{"receive", "multicast", 7},
	{"transmit", "fifo", 12},
	{"transmit", "collisions", 13},
	{"transmit", "carrier", 14},
	{"transmit", "compressed", 15},
	{"receive", "nohandler", -1},
}

// netdevNoHandler is the place of the events that are in sysfs only.
const netdevNoHandler = netdevEventCount - 1

// NetdevDetails are what /sys/class/net has of an interface. A number above 2^63-1 is
// unknown.
type NetdevDetails struct {
	// Operational is the state of the link: up, down, unknown, ...; Admin is up or down.
	Operational, Admin string
	// Address and Broadcast are those of the hardware, Alias is what an operator called
	// it, Duplex is full, half or unknown.
	Address, Broadcast, Alias, Duplex string
	// MTU is the largest packet in bytes, QueueLength how many packets can wait.
	MTU, QueueLength uint64
	// Speed is that of the link in bit/s, unknown where the driver does not tell it.
	Speed float64
	// CarrierChanges counts how often the link came and went, CarrierUp and CarrierDown
	// each of them.
	CarrierChanges, CarrierUp, CarrierDown uint64
	// Properties are in the order of netdevPropertyNames.
	Properties [netdevPropertyCount]uint64
	// noHandler counts packets that no protocol took.
	noHandler uint64
}

const netdevPropertyCount = 11

// netdevPropertyNames are properties as words of ours, with their files in
// /sys/class/net/NAME.
var netdevPropertyNames = [netdevPropertyCount]struct{ name, file string }{
	{"address_assign_type", "addr_assign_type"},
	{"carrier", "carrier"},
	{"device_id", "dev_id"},
	{"dormant", "dormant"},
	{"flags", "flags"},
	{"index", "ifindex"},
	{"link", "iflink"},
	{"link_mode", "link_mode"},
	{"name_assign_type", "name_assign_type"},
	{"group", "netdev_group"},
	{"type", "type"},
}

// netdevFlags is the place of the flags.
const netdevFlags = 4

var (
	netdevEvents = &Metric{
		Name: "sysotel.netdev.events", Unit: "{packet}", Kind: Counter, Integer: true,
		Keys: []Key{interfaceKey, networkDirectionKey, {Name: "event", Help: "fifo (overruns), frame (framing errors), compressed, multicast and nohandler (no protocol took it), received; fifo, collisions, carrier (losses of it) and compressed, sent"}},
		Help: "Packets with a particular fate on each interface.", Source: "/proc/1/net/dev; nohandler: /sys/class/net/NAME/statistics/rx_nohandler, read every 10 s",
	}
	netdevUp = &Metric{
		Name: "sysotel.netdev.up", Kind: Gauge, Integer: true, Keys: []Key{interfaceKey},
		Help: "1 where the link is up, else 0; read every 10 s.", Source: "/sys/class/net/NAME/operstate",
	}
	netdevMTU = &Metric{
		Name: "sysotel.netdev.mtu", Unit: "By", Kind: Gauge, Integer: true, Keys: []Key{interfaceKey},
		Help: "Largest packet of each interface.", Source: "/sys/class/net/NAME/mtu, read every 10 s",
	}
	netdevQueue = &Metric{
		Name: "sysotel.netdev.queue.limit", Unit: "{packet}", Kind: Gauge, Integer: true, Keys: []Key{interfaceKey},
		Help: "Packets that can wait to be sent on each interface.", Source: "/sys/class/net/NAME/tx_queue_len, read every 10 s",
	}
	netdevSpeed = &Metric{
		Name: "sysotel.netdev.speed", Unit: "bit/s", Kind: Gauge, Keys: []Key{interfaceKey},
		Help: "Speed of the link; not sent where the driver does not tell it.", Source: "/sys/class/net/NAME/speed, read every 10 s",
	}
	netdevCarrier = &Metric{
		Name: "sysotel.netdev.carrier.changes", Unit: "{change}", Kind: Counter, Integer: true,
		Keys: []Key{interfaceKey, {Name: "to", Help: "up or down; left out of the point that is both together"}},
		Help: "How often the link of each interface came and went.", Source: "/sys/class/net/NAME/carrier_changes, carrier_up_count and carrier_down_count, read every 10 s",
	}
	netdevProperty = &Metric{
		Name: "sysotel.netdev.property", Kind: Gauge, Integer: true,
		Keys: []Key{interfaceKey, {Name: "property", Help: "address_assign_type, carrier, device_id, dormant, flags, index, link, link_mode, name_assign_type, group, type"}},
		Help: "Properties of each interface as the kernel numbers them.", Source: "/sys/class/net/NAME, read every 10 s",
	}
	netdevInfo = &Metric{
		Name: "sysotel.netdev.info", Kind: Gauge, Integer: true,
		Keys: []Key{
			interfaceKey,
			{Name: "address", Help: "address of the hardware"}, {Name: "broadcast", Help: "its broadcast address"},
			{Name: "duplex", Help: "full, half, unknown"}, {Name: "operstate", Help: "up, down, unknown, ..."},
			{Name: "adminstate", Help: "up or down"}, {Name: "ifalias", Help: "what an operator called it"},
		},
		Help: "1; the attributes describe each interface.", Source: "/sys/class/net/NAME, read every 10 s",
	}
)

// netdev reads what is known of the interfaces. It takes the patterns of the collector
// network.
type netdev struct {
	filter     pattern.Filter
	dev        networkFile
	interfaces map[string]*netdevState
	details    beside[NetdevDetails]
	scan       uint64
}

// netdevState is what is kept of one interface between two reads.
type netdevState struct {
	name, label string
	shown       bool
	counts      ledger
	scan        uint64
}

// netdevCarriers are the places of the three counts of changes behind those of the events.
const netdevCarriers = netdevEventCount

func newNetdev(c Config) Collector {
	return &netdev{
		filter: c.Filter("network"), interfaces: map[string]*netdevState{},
		details: beside[NetdevDetails]{every: 10 * time.Second, read: func(h *Host, name string, _ NetdevDetails) NetdevDetails { return h.netdevDetails(name) }},
	}
}

func (*netdev) Name() string { return "netdev" }

// Configure implements Configurable.
func (n *netdev) Configure(c Config) {
	n.filter = c.Filter("network")
	for _, s := range n.interfaces {
		s.shown = n.filter.Keep(true, "device", s.label)
	}
}

func (*netdev) Metrics() []*Metric {
	return []*Metric{netdevEvents, netdevUp, netdevMTU, netdevQueue, netdevSpeed, netdevCarrier, netdevProperty, netdevInfo}
}

func (n *netdev) Read(_ context.Context, h *Host, _ Tick) (Reading, error) {
	if !linux {
		return nil, ErrUnsupported
	}
	text, err := n.dev.read(h, "dev")
	if errors.Is(err, fs.ErrNotExist) && !h.pidsOnly {
		return nil, ErrUnsupported // A kernel without a network.
	}
	if err != nil {
		return nil, err
	}
	r := &Netdev{Interfaces: make([]NetdevInterface, 0, len(n.interfaces))}
	n.scan++
	now := h.Now()
	good := false
	var wrong error
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, columns, err := parseNetdevColumns(line)
		if name == nil {
			continue // The titles, and what the collector network names.
		}
		s := n.interfaces[string(name)]
		if s == nil {
			s = &netdevState{name: string(name), label: sanitize.EscapeControl(string(name)), counts: make(ledger, netdevCarriers+3)}
			s.shown = n.filter.Keep(true, "device", s.label)
			n.interfaces[s.name] = s
		}
		if s.scan == n.scan {
			r.note("/proc/net/dev: "+s.label, "the interface is there twice")
			continue
		}
		s.scan = n.scan
		if err != nil {
			wrong = err
			r.note("/proc/net/dev: "+s.label, err.Error())
		}
		for _, c := range columns {
			good = good || isCount(c)
		}
		if s.shown {
			r.Interfaces = append(r.Interfaces, n.one(h, s, &columns, now))
		}
	}
	for name, s := range n.interfaces {
		if s.scan != n.scan {
			delete(n.interfaces, name)
			n.details.forget(name)
		}
	}
	if !good && wrong != nil {
		return nil, fmt.Errorf("parse /proc/net/dev: %w", wrong)
	}
	return r, nil
}

// one makes the reading of an interface.
func (n *netdev) one(h *Host, s *netdevState, columns *[netdevColumns]uint64, now time.Time) NetdevInterface {
	one := NetdevInterface{Name: s.label, NetdevDetails: noNetdevDetails()}
	// What is below /sys is of the agent's own network namespace.
	if h.ownNetwork {
		if d, ok := n.details.get(h, s.name, now); ok {
			one.NetdevDetails = d
		}
	}
	for i, event := range netdevEventNames {
		count := one.noHandler
		if event.column >= 0 {
			count = columns[event.column]
		}
		one.Events[i] = s.counts.next(i, count)
	}
	one.CarrierChanges = s.counts.next(netdevCarriers, one.CarrierChanges)
	one.CarrierUp = s.counts.next(netdevCarriers+1, one.CarrierUp)
	one.CarrierDown = s.counts.next(netdevCarriers+2, one.CarrierDown)
	return one
}

const netdevColumns = 16

// parseNetdevColumns reads all columns of a line of /proc/net/dev; see parseNetDev.
func parseNetdevColumns(line []byte) (name []byte, columns [netdevColumns]uint64, err error) {
	colon := bytes.LastIndexByte(line, ':')
	if colon < 0 {
		return nil, columns, nil
	}
	if name = bytes.TrimLeft(line[:colon], " "); len(name) == 0 {
		return nil, columns, nil
	}
	rest := line[colon+1:]
	for i := range columns {
		var word []byte
		word, rest = cutWord(rest)
		n, ok := countOf(word)
		if columns[i] = n; !ok && err == nil {
			err = fmt.Errorf("column %d: %s", i+1, notNumber(word))
		}
	}
	return name, columns, err
}

// noNetdevDetails are those of which nothing is known.
func noNetdevDetails() NetdevDetails {
	d := NetdevDetails{
		MTU: unknownCount, QueueLength: unknownCount, Speed: unknown,
		CarrierChanges: unknownCount, CarrierUp: unknownCount, CarrierDown: unknownCount, noHandler: unknownCount,
	}
	for i := range d.Properties {
		d.Properties[i] = unknownCount
	}
	return d
}

// netdevDetails reads /sys/class/net/NAME (Documentation/ABI/testing/sysfs-class-net).
// Some files cannot be read while an interface is down.
func (h *Host) netdevDetails(name string) NetdevDetails {
	d := noNetdevDetails()
	dir := "sys/class/net/" + name + "/"
	number := func(file string) uint64 {
		text := h.readText(dir + file)
		n, err := strconv.ParseUint(text, 0, 64) // Some are hexadecimal, with 0x.
		if err != nil || !isCount(n) {
			return unknownCount
		}
		return n
	}
	text := func(file string) string { return sanitize.EscapeControl(h.readText(dir + file)) }
	d.Operational, d.Duplex = text("operstate"), text("duplex")
	d.Address, d.Broadcast, d.Alias = text("address"), text("broadcast"), text("ifalias")
	d.MTU, d.QueueLength = number("mtu"), number("tx_queue_len")
	if speed := number("speed"); speed <= math.MaxInt32 { // In Mbit/s; some drivers write -1, others 2^32-1.
		d.Speed = float64(speed) * 1e6
	}
	d.CarrierChanges, d.CarrierUp, d.CarrierDown = number("carrier_changes"), number("carrier_up_count"), number("carrier_down_count")
	d.noHandler = number("statistics/rx_nohandler")
	for i, p := range netdevPropertyNames {
		d.Properties[i] = number(p.file)
	}
	if flags := d.Properties[netdevFlags]; isCount(flags) {
		const up = 1 // IFF_UP.
		if d.Admin = "down"; flags&up != 0 {
			d.Admin = "up"
		}
	}
	return d
}

// Report implements Reading.
func (n *Netdev) Report(o *Observer) {
	for k := range n.Interfaces {
		i := &n.Interfaces[k]
		for e, count := range i.Events {
			o.Uint(netdevEvents, count, i.Name, netdevEventNames[e].direction, netdevEventNames[e].name)
		}
		if i.Operational != "" {
			o.Int(netdevUp, oneIf(i.Operational == "up"), i.Name)
			o.Int(netdevInfo, 1, i.Name, i.Address, i.Broadcast, i.Duplex, i.Operational, i.Admin, i.Alias)
		}
		o.Uint(netdevMTU, i.MTU, i.Name)
		o.Uint(netdevQueue, i.QueueLength, i.Name)
		o.Float(netdevSpeed, i.Speed, i.Name)
		o.Uint(netdevCarrier, i.CarrierChanges, i.Name, "")
		o.Uint(netdevCarrier, i.CarrierUp, i.Name, "up")
		o.Uint(netdevCarrier, i.CarrierDown, i.Name, "down")
		for p, v := range i.Properties {
			o.Uint(netdevProperty, v, i.Name, netdevPropertyNames[p].name)
		}
	}
}
