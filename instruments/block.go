package instruments

import "slices"

// block is what a block device is and what it stands on: the one description for
// disks and for the file systems on them. It is looked up by Host.block.
type block struct {
	kind blockKind
	// mapper is what the device mapper calls it, "" for others.
	mapper string
	// on names the whole devices below a stacked one that do its work.
	on []string
	// of names the whole device of which it is a part: the disk of a partition, the
	// disk that a hidden path leads to.
	of string
	// path is set for a hidden path.
	path bool
	// swaps is set where the medium can change without another device: its counters go on.
	swaps bool
}

// blockKind says what a block device is.
type blockKind uint8

const (
	// blockUnknown cannot be told from its name, and /sys cannot be seen.
	blockUnknown blockKind = iota
	// blockMemory keeps its data in memory; what it writes to a disk the disk counts.
	blockMemory
	// blockEmpty is not connected yet: network block devices are listed before.
	blockEmpty
	// blockPart is a part of another device, or a path to it.
	blockPart
	// blockImage is a file: a loop device. Its file system's disk does the work.
	blockImage
	// blockStacked is built on other devices.
	blockStacked
	// blockVirtual has no hardware of this machine and stands on no device of it: a network
	// block device.
	blockVirtual
	// blockDrive takes media that come and go: CD and floppy. Most are empty.
	blockDrive
	// blockPhysical is a whole disk.
	blockPhysical
)

// usual reports whether such devices are shown if no pattern says otherwise.
func (k blockKind) usual() bool { return k == blockStacked || k == blockVirtual || k == blockPhysical }

// bottom reports whether such a device does its work itself.
func (k blockKind) bottom() bool { return k == blockVirtual || k == blockDrive || k == blockPhysical }

func (b *block) equal(o *block) bool {
	return b.kind == o.kind && b.mapper == o.mapper && b.of == o.of && b.path == o.path && b.swaps == o.swaps && slices.Equal(b.on, o.on)
}

// relations are the devices of the reading that count the same operations as one of them.
type relations struct {
	// whole is the device of a part, nil where that is not listed.
	whole *diskState
	// partitions and paths are the parts of a whole device.
	partitions, paths []*diskState
	// below are all devices below a stacked one, down to the disks.
	below []*diskState
	// witness is about a whole device with parts itself: does it count? For a stacked
	// one it is about those below it.
	witness witness
	// carried is what a whole device reports for its parts.
	carried [diskCounts]uint64
}

// deepest bounds how many devices stand on each other: md on dm on md and so on.
const deepest = 16

// link finds the relations of all devices.
func link(devices map[string]*diskState, order []*diskState) {
	for _, s := range order {
		s.whole, s.partitions, s.paths, s.below = nil, nil, nil, nil
	}
	for _, s := range order {
		if s.kind != blockPart {
			continue
		}
		whole := devices[s.of]
		if whole == nil || whole == s || whole.kind == blockPart {
			continue
		}
		s.whole = whole
		if s.path {
			whole.paths = append(whole.paths, s)
		} else {
			whole.partitions = append(whole.partitions, s)
		}
	}
	for _, s := range order {
		if s.kind == blockStacked {
			s.below = descend(devices, s, s, nil, deepest)
		}
	}
}

// descend adds what is below a device, each once.
func descend(devices map[string]*diskState, top, s *diskState, below []*diskState, depth int) []*diskState {
	for _, name := range s.on {
		b := devices[name]
		if b == nil || b == top || depth == 0 || slices.Contains(below, b) {
			continue
		}
		below = descend(devices, top, b, append(below, b), depth-1)
	}
	return below
}

// parts are the devices that count the operations of a whole one again: its paths, where it has
// any, else its partitions.
func (s *diskState) parts() []*diskState {
	if len(s.paths) > 0 {
		return s.paths
	}
	return s.partitions
}

// operations are those that were counted since the reading before.
func (s *diskState) operations() float64 { return s.grown[diskReads] + s.grown[diskWrites] }

// ever are all that were counted.
func (s *diskState) ever() uint64 {
	sum := uint64(0)
	for _, i := range [...]int{diskReads, diskWrites} {
		if isCount(s.count[i]) {
			sum += s.count[i]
		}
	}
	return sum
}

// settle lets the witnesses see the newest numbers and gives a whole device that keeps
// no counts those of its parts. It reports whether any device that does its work itself
// counts.
func settle(order []*diskState) (someCount bool) {
	for _, s := range order {
		if parts := s.parts(); len(parts) > 0 {
			ever, did := uint64(0), 0.0
			for _, p := range parts {
				ever += p.ever()
				did += p.operations()
			}
			if s.first {
				did = float64(ever) // Since boot.
			}
			s.witness.see(s.ever(), s.operations(), did)
			if s.witness.silent {
				s.carry(parts)
			} else {
				s.carrying = false
			}
		}
	}
	for _, s := range order {
		someCount = someCount || s.kind.bottom() && s.ever() > 0
		if len(s.below) == 0 {
			continue
		}
		ever, counted, did := uint64(0), 0.0, s.operations()
		for _, b := range s.below {
			ever += b.ever()
			counted += b.operations()
		}
		if s.first {
			counted, did = unknown, float64(s.ever())
		}
		s.witness.see(ever, counted, did)
	}
	return someCount
}

// isCounted reports whether the total has the device: if it does its work itself,
// or if none that does it for the device is seen to count.
func (s *diskState) isCounted(someCount bool) bool {
	switch {
	case s.kind.bottom():
		return true
	case s.kind == blockPart:
		return s.whole == nil
	case s.kind == blockStacked && len(s.below) > 0:
		return s.witness.silent
	}
	return (s.kind == blockStacked || s.kind == blockImage) && !someCount
}
