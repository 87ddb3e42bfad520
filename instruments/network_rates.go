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

func (r *NetworkRates) parts() [interfaceCounts]*float64 {
	return [interfaceCounts]*float64{
		&r.BytesReceivedPerSecond, &r.BytesSentPerSecond, &r.PacketsReceivedPerSecond, &r.PacketsSentPerSecond,
		&r.ErrorsReceivedPerSecond, &r.ErrorsSentPerSecond, &r.DroppedReceivedPerSecond, &r.DroppedSentPerSecond,
	}
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
	sum     NetworkRates
	members [interfaceCounts]int
}

// add takes one interface into the sums. One that was reset makes them unknown: a sum
// without it would show a dip that never was. Where gone is set the sums that it has no
// rate for go on without it.
func (s *networkSum) add(r *NetworkRates, gone bool) {
	sums := s.sum.parts()
	for i, rate := range r.parts() {
		if !gone || !math.IsNaN(*rate) {
			*sums[i] += *rate
			s.members[i]++
		}
	}
}

// rates are the sums; one without members is unknown.
func (s *networkSum) rates() NetworkRates {
	for i, sum := range s.sum.parts() {
		if s.members[i] == 0 {
			*sum = unknown
		}
	}
	return s.sum
}
