package instruments

import "time"

// interfaceCounters are an interface's counters since it came up.
type interfaceCounters struct {
	receive, transmit trafficCounters
}

// trafficCounters are the counters of one direction.
type trafficCounters struct{ bytes, packets, errors, dropped uint64 }

func (c trafficCounters) wentBack(before trafficCounters) bool {
	return c.bytes < before.bytes || c.packets < before.packets || c.errors < before.errors || c.dropped < before.dropped
}

// wentBack reports whether the counters begin anew: the driver was loaded again,
// or another interface took the name.
func (c interfaceCounters) wentBack(before interfaceCounters) bool {
	return c.receive.wentBack(before.receive) || c.transmit.wentBack(before.transmit)
}

// rates compares the counters with those before. Nothing is known of an
// interface that is seen for the first time or whose counters went back.
func (s *interfaceState) rates(h *Host, c interfaceCounters, known bool, seconds float64, now time.Time) NetworkRates {
	if !known || c.wentBack(s.before) {
		seconds = unknown
	}
	in, out, inBefore, outBefore := &c.receive, &c.transmit, &s.before.receive, &s.before.transmit
	r := NetworkRates{
		BytesReceivedPerSecond: perSecond(in.bytes, inBefore.bytes, seconds), BytesSentPerSecond: perSecond(out.bytes, outBefore.bytes, seconds),
		PacketsReceivedPerSecond: perSecond(in.packets, inBefore.packets, seconds), PacketsSentPerSecond: perSecond(out.packets, outBefore.packets, seconds),
		ErrorsReceivedPerSecond: perSecond(in.errors, inBefore.errors, seconds), ErrorsSentPerSecond: perSecond(out.errors, outBefore.errors, seconds),
		DroppedReceivedPerSecond: perSecond(in.dropped, inBefore.dropped, seconds), DroppedSentPerSecond: perSecond(out.dropped, outBefore.dropped, seconds),
	}
	if !s.plausible(h, max(r.BytesReceivedPerSecond, r.BytesSentPerSecond), now) {
		return unknownRates
	}
	return r
}

// plausible reports whether the link can carry so many bytes a second. Only
// hardware is asked: the speed of tunnels and virtual pairs is made up.
func (s *interfaceState) plausible(h *Host, bytes float64, now time.Time) bool {
	above := func() bool { return s.kind == interfacePhysical && bytes*8 > s.speed*headroom }
	if !above() {
		s.inRow = 0
		return true
	}
	if s.inRow >= int(burst) {
		return true
	}
	if s.look(h, now); !above() {
		return true
	}
	s.inRow++
	s.implausible++
	return false
}

var unknownRates = NetworkRates{
	BytesReceivedPerSecond: unknown, BytesSentPerSecond: unknown,
	PacketsReceivedPerSecond: unknown, PacketsSentPerSecond: unknown,
	ErrorsReceivedPerSecond: unknown, ErrorsSentPerSecond: unknown,
	DroppedReceivedPerSecond: unknown, DroppedSentPerSecond: unknown,
}

// networkSum adds up the rates of interfaces.
type networkSum struct {
	sum               NetworkRates
	interfaces, known int
}

// add takes one interface into the sum. One that just appeared has no rate and
// is left out; one that was reset makes the sum unknown: a sum without it would
// show a false dip.
func (s *networkSum) add(r NetworkRates, known bool) {
	s.interfaces++
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
