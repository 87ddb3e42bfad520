package instruments

import "math"

// diskCounters are a device's counters since boot as they were read, times in
// milliseconds; unknownCount is one that could not be read.
type diskCounters struct {
	// device is its major and minor number, which another device of the name has not.
	device                                      uint64
	reads, readsMerged, readBytes, readTime     uint64
	writes, writesMerged, writeBytes, writeTime uint64
	pending, ioTime, weightedIOTime             uint64
	// more are at the places below.
	more [diskMore]uint64
}

// Places of the counters that only newer kernels have: discards since Linux 4.18 and
// flushes since 5.5. Nothing else is derived from them.
const (
	diskDiscards = iota
	diskDiscardsMerged
	diskDiscardedSectors
	diskDiscardTime
	diskFlushes
	diskFlushTime
	diskMore
)

// The places of counters in diskNumbers: those that are reset together, and the
// times, which the kernel keeps in 32 bits, so that each falls every 50 days by itself.
const (
	diskReads = iota
	diskReadsMerged
	diskReadBytes
	diskWrites
	diskWritesMerged
	diskWriteBytes
	diskReadTime
	diskWriteTime
	diskIOMillis
	diskWeightedMillis
	diskCounts

	diskTimes = diskReadTime
)

// diskNumbers are what is believed of a device's counters.
type diskNumbers struct {
	count   [diskCounts]uint64
	grown   [diskCounts]float64
	pending uint64
}

func (c *diskCounters) counts() [6]uint64 {
	return [6]uint64{c.reads, c.readsMerged, c.readBytes, c.writes, c.writesMerged, c.writeBytes}
}

func (c *diskCounters) times() [4]uint64 {
	return [4]uint64{c.readTime, c.writeTime, c.ioTime, c.weightedIOTime}
}

// miss notes that a reading lacked the device.
func (s *diskState) miss() {
	s.counts.miss()
	for i := range s.times {
		s.times[i].miss()
	}
	for i := range s.more {
		s.more[i].miss()
	}
}

// take takes the newest counters. It returns whether they are another device's.
func (s *diskState) take(c *diskCounters, replaced bool) bool {
	replaced = replaced && s.counts.begun
	counts, times := c.counts(), c.times()
	if replaced {
		s.counts.replace(counts)
		s.ceiling, s.witness = ceiling{}, witness{}
	} else {
		s.counts.next(counts)
	}
	for i := range counts {
		s.count[i], s.grown[i] = s.counts.count(i), s.counts.grown(i)
	}
	for i := range times {
		one := [1]uint64{times[i]}
		if replaced {
			s.times[i].replace(one)
		} else {
			s.times[i].next(one)
		}
		s.count[diskTimes+i], s.grown[diskTimes+i] = s.times[i].count(0), s.times[i].grown(0)
		if s.counts.compared == 0 {
			s.grown[diskTimes+i] = unknown // They may have been reset and grown past what they were.
		}
	}
	for i := range s.more {
		if replaced {
			s.more[i].replace([1]uint64{c.more[i]})
		} else {
			s.more[i].next([1]uint64{c.more[i]})
		}
	}
	// Where the kernel's own sum over processors is below 0, it is shown without a sign.
	s.pending = c.pending
	if s.pending > math.MaxInt32 {
		s.pending = unknownCount
	}
	return replaced
}

// carry takes what the device's parts counted for its own. The busy time is that of
// the busiest part: how those of several overlap is not known.
func (s *diskState) carry(parts []*diskState) {
	fresh := !s.carrying
	s.carrying, s.pending = true, 0
	s.grown = [diskCounts]float64{}
	if fresh {
		s.count = [diskCounts]uint64{}
	} else {
		s.count = s.carried
	}
	for _, p := range parts {
		if isCount(p.pending) {
			s.pending += p.pending
		}
		for i := range s.count {
			add := p.grown[i]
			switch {
			case math.IsNaN(add) && p.first:
				add = 0 // A path that has just come up.
			case i == diskIOMillis:
				s.grown[i] = math.Max(s.grown[i], add) // Unknown if one of them is.
			default:
				s.grown[i] += add
			}
			switch {
			case fresh && !isCount(p.count[i]):
			case fresh && i == diskIOMillis:
				s.count[i] = max(s.count[i], p.count[i])
			case fresh:
				s.count[i] += p.count[i]
			}
		}
	}
	for i := range s.count {
		if !fresh && !math.IsNaN(s.grown[i]) {
			s.count[i] += uint64(s.grown[i])
		}
		if s.first {
			s.grown[i] = unknown
		}
	}
	s.carried = s.count
}

// stuck is for how long an operation can have been under way before the kernel added
// its time to the busy time; what is more is no time.
const stuck = 600

// compare fills in what happened in so many seconds.
func (d *DiskDevice) compare(n *diskNumbers, limit *ceiling, seconds float64) {
	d.ReadBytesPerSecond, d.WriteBytesPerSecond = n.grown[diskReadBytes]/seconds, n.grown[diskWriteBytes]/seconds
	d.ReadsPerSecond = atMost(n.grown[diskReads]/seconds, mostOperations)
	d.WritesPerSecond = atMost(n.grown[diskWrites]/seconds, mostOperations)
	d.Busy, d.Queue, d.ReadLatency, d.WriteLatency = unknown, unknown, unknown, unknown
	if !limit.believes(max(d.ReadBytesPerSecond, d.WriteBytesPerSecond), unknown, usualDisk) {
		d.DiskRates = unknownDiskRates
	}
	if math.IsNaN(seconds) {
		return
	}
	if !math.IsNaN(d.ReadsPerSecond) {
		d.ReadLatency = ratio(n.grown[diskReadTime]/1000, n.grown[diskReads])
	}
	if !math.IsNaN(d.WritesPerSecond) {
		d.WriteLatency = ratio(n.grown[diskWriteTime]/1000, n.grown[diskWrites])
	}
	if !diskDetails {
		return
	}
	if busy := n.grown[diskIOMillis] / 1000; busy <= seconds+stuck {
		// The kernel adds to the busy time in steps, so a tick can hold more of it
		// than it lasted.
		d.Busy = min(busy/seconds, 1)
		d.Queue = n.grown[diskWeightedMillis] / 1000 / seconds
	}
}

var unknownDiskRates = DiskRates{ReadBytesPerSecond: unknown, WriteBytesPerSecond: unknown, ReadsPerSecond: unknown, WritesPerSecond: unknown}

func (r *DiskRates) parts() [4]*float64 {
	return [4]*float64{&r.ReadBytesPerSecond, &r.WriteBytesPerSecond, &r.ReadsPerSecond, &r.WritesPerSecond}
}

// known reports whether all rates are.
func (r *DiskRates) known() bool {
	return !math.IsNaN(r.ReadBytesPerSecond + r.WriteBytesPerSecond + r.ReadsPerSecond + r.WritesPerSecond)
}

// diskSum adds up the rates of devices.
type diskSum struct {
	sum     DiskRates
	members [4]int
}

// add takes one device into the sums. One that was reset makes them unknown: a sum
// without it would show a dip that never was. Where gone is set the sums that it has no
// rate for go on without it.
func (s *diskSum) add(r *DiskRates, gone bool) {
	sums := s.sum.parts()
	for i, rate := range r.parts() {
		if !gone || !math.IsNaN(*rate) {
			*sums[i] += *rate
			s.members[i]++
		}
	}
}

// rates are the sums; one without members is unknown.
func (s *diskSum) rates() DiskRates {
	for i, sum := range s.sum.parts() {
		if s.members[i] == 0 {
			*sum = unknown
		}
	}
	return s.sum
}
