package instruments

import "math"

// interfaceCounters are an interface's counters since it came up as they were read;
// unknownCount is one that could not be read.
type interfaceCounters struct {
	receive, transmit trafficCounters
}

// trafficCounters are the counters of one direction.
type trafficCounters struct{ bytes, packets, errors, dropped uint64 }

// The places of counters in a trail.
const (
	bytesReceived = iota
	bytesSent
	packetsReceived
	packetsSent
	errorsReceived
	errorsSent
	droppedReceived
	droppedSent
	interfaceCounts
)

func (c *interfaceCounters) counts() [interfaceCounts]uint64 {
	in, out := &c.receive, &c.transmit
	return [interfaceCounts]uint64{in.bytes, out.bytes, in.packets, out.packets, in.errors, out.errors, in.dropped, out.dropped}
}

// rates compares the counters with those before, and reports whether the link can have
// carried so much. The speed of tunnels and virtual pairs is made up and says nothing.
func (s *interfaceState) rates(seconds float64) (r NetworkRates, believed bool) {
	of := func(i int) float64 { return s.counts.grown(i) / seconds }
	packets := func(i int) float64 { return atMost(of(i), mostPackets) }
	r = NetworkRates{
		BytesReceivedPerSecond: of(bytesReceived), BytesSentPerSecond: of(bytesSent),
		PacketsReceivedPerSecond: packets(packetsReceived), PacketsSentPerSecond: packets(packetsSent),
		ErrorsReceivedPerSecond: packets(errorsReceived), ErrorsSentPerSecond: packets(errorsSent),
		DroppedReceivedPerSecond: packets(droppedReceived), DroppedSentPerSecond: packets(droppedSent),
	}
	capacity := unknown
	if s.kind == interfacePhysical {
		capacity = s.link.speed / 8
	}
	most := max(orZero(r.BytesReceivedPerSecond), orZero(r.BytesSentPerSecond))
	if math.IsNaN(r.BytesReceivedPerSecond) && math.IsNaN(r.BytesSentPerSecond) {
		most = unknown
	}
	if !s.ceiling.believes(most, capacity, usualLink) {
		s.implausible++
		return unknownRates, false
	}
	return r, true
}

// known reports whether all rates are.
func (r *NetworkRates) known() bool {
	return !math.IsNaN(r.BytesReceivedPerSecond + r.BytesSentPerSecond + r.PacketsReceivedPerSecond + r.PacketsSentPerSecond +
		r.ErrorsReceivedPerSecond + r.ErrorsSentPerSecond + r.DroppedReceivedPerSecond + r.DroppedSentPerSecond)
}

var unknownRates = NetworkRates{
	BytesReceivedPerSecond: unknown, BytesSentPerSecond: unknown,
	PacketsReceivedPerSecond: unknown, PacketsSentPerSecond: unknown,
	ErrorsReceivedPerSecond: unknown, ErrorsSentPerSecond: unknown,
	DroppedReceivedPerSecond: unknown, DroppedSentPerSecond: unknown,
}

// networkSum adds up the rates of interfaces.
type networkSum struct {
	sum   NetworkRates
	known int
}

// add takes one interface into the sum. One that just appeared has no rate and is
// left out; one that was reset makes the sum unknown: a sum without it would
// show a false dip.
func (s *networkSum) add(r NetworkRates, known bool) {
	if !known {
		return
	}
	s.known++
	s.sum.BytesReceivedPerSecond += r.BytesReceivedPerSecond
	s.sum.BytesSentPerSecond += r.BytesSentPerSecond
	s.sum.PacketsReceivedPerSecond += r.PacketsReceivedPerSecond
	s.sum.PacketsSentPerSecond += r.PacketsSentPerSecond
	s.sum.ErrorsReceivedPerSecond += r.ErrorsReceivedPerSecond
	s.sum.ErrorsSentPerSecond += r.ErrorsSentPerSecond
	s.sum.DroppedReceivedPerSecond += r.DroppedReceivedPerSecond
	s.sum.DroppedSentPerSecond += r.DroppedSentPerSecond
}

func (s *networkSum) rates() NetworkRates {
	if s.known == 0 {
		return unknownRates
	}
	return s.sum
}
