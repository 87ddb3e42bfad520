package instruments

import "math"

// diskCounters are a device's counters since boot, times in milliseconds.
type diskCounters struct {
	reads, readsMerged, readBytes, readTime     uint64
	writes, writesMerged, writeBytes, writeTime uint64
	pending, ioTime, weightedIOTime             uint64
}

// wentBack reports whether the counters begin anew: the device was replaced by
// another of its name. The times are left out, because the kernel keeps them in
// 32 bits and they wrap every 50 days without anything being reset.
func (c diskCounters) wentBack(before diskCounters) bool {
	return c.reads < before.reads || c.writes < before.writes ||
		c.readBytes < before.readBytes || c.writeBytes < before.writeBytes
}

// compare fills in what happened since before. Nothing is known of a device that
// is seen for the first time or whose counters went back.
func (d *DiskDevice) compare(c, before diskCounters, known bool, seconds float64) {
	if !known || c.wentBack(before) {
		seconds = unknown
	}
	d.ReadBytesPerSecond = perSecond(c.readBytes, before.readBytes, seconds)
	d.WriteBytesPerSecond = perSecond(c.writeBytes, before.writeBytes, seconds)
	d.ReadsPerSecond = perSecond(c.reads, before.reads, seconds)
	d.WritesPerSecond = perSecond(c.writes, before.writes, seconds)
	d.Busy, d.Queue, d.ReadLatency, d.WriteLatency = unknown, unknown, unknown, unknown
	if math.IsNaN(seconds) {
		return
	}
	d.ReadLatency = ratio(perSecond(c.readTime, before.readTime, 1000), float64(c.reads-before.reads))
	d.WriteLatency = ratio(perSecond(c.writeTime, before.writeTime, 1000), float64(c.writes-before.writes))
	if diskDetails {
		// The kernel adds to the busy time in steps, so a tick can hold more of it
		// than it lasted.
		d.Busy = min(perSecond(c.ioTime, before.ioTime, 1000)/seconds, 1)
		d.Queue = perSecond(c.weightedIOTime, before.weightedIOTime, 1000) / seconds
	}
}

// diskSum adds up the rates of devices.
type diskSum struct {
	sum            DiskRates
	devices, known int
}

// add takes one device into the sum. One that just appeared has no rate and is
// left out; one that was reset makes the sum unknown: a sum without it would
// show a dip that never was.
func (s *diskSum) add(r DiskRates, known bool) {
	s.devices++
	if !known {
		return
	}
	s.known++
	s.sum.ReadBytesPerSecond += r.ReadBytesPerSecond
	s.sum.WriteBytesPerSecond += r.WriteBytesPerSecond
	s.sum.ReadsPerSecond += r.ReadsPerSecond
	s.sum.WritesPerSecond += r.WritesPerSecond
}

func (s *diskSum) rates() DiskRates {
	if s.known == 0 {
		return DiskRates{ReadBytesPerSecond: unknown, WriteBytesPerSecond: unknown, ReadsPerSecond: unknown, WritesPerSecond: unknown}
	}
	return s.sum
}
