package instruments

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"

	"sysotel/instruments/sanitize"
)

// diskDetails: Linux counts merges, waiting and busy time.
const diskDetails = true

// diskSource is /proc/diskstats. It is read here and not by gopsutil, which
// (v3) looks for the udev serial number and the label of every device at each
// call: several files opened a second for every disk, partition and loop device.
type diskSource struct {
	stats *file
	// newest is that of the line that is visited.
	newest diskCounters
}

// each calls visit for every line that names a device; the name is valid during the
// call only. What cannot be read is unknown by itself, and named in bad; only a file
// without a good line is an error.
func (s *diskSource) each(_ context.Context, h *Host, bad *misread, visit func(name []byte, c *diskCounters)) error {
	if s.stats == nil {
		s.stats = h.open("proc/diskstats")
	}
	text, err := s.stats.read()
	if errors.Is(err, fs.ErrNotExist) && !h.pidsOnly {
		return ErrUnsupported // A kernel without block devices, and some containers.
	}
	if err != nil {
		return err
	}
	good := false
	var wrong error
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, c, err := parseDiskstat(line)
		switch {
		case err == nil:
		case name == nil:
			wrong = cmp.Or(wrong, err)
			bad.note("/proc/diskstats", err.Error())
		default:
			wrong = cmp.Or(wrong, err)
			bad.note("/proc/diskstats: "+sanitize.EscapeControl(string(name)), err.Error())
		}
		if name != nil {
			good = good || c.anyTold()
			s.newest = c
			visit(name, &s.newest)
		}
	}
	if !good && wrong != nil {
		return fmt.Errorf("parse /proc/diskstats: %w", wrong)
	}
	return nil
}

// anyTold reports whether any of the counters could be read.
func (c *diskCounters) anyTold() bool {
	for _, n := range c.counts() {
		if isCount(n) {
			return true
		}
	}
	return false
}

// sectorSize is the unit of /proc/diskstats whatever the device's own sectors are.
const sectorSize = 512

// parseDiskstat reads one line of /proc/diskstats, as the kernel's
// Documentation/admin-guide/iostats.rst describes it. The name is nil for an empty line and
// for one of four counters, which kernels before 2.6.25 have for partitions. A counter
// that cannot be read is unknownCount, and the error says of the first why.
func parseDiskstat(line []byte) (name []byte, c diskCounters, err error) {
	major, rest := cutWord(line)
	minor, rest := cutWord(rest)
	name, rest = cutWord(rest)
	if len(name) == 0 {
		if len(major) == 0 {
			return nil, diskCounters{}, nil
		}
		return nil, diskCounters{}, fmt.Errorf("line %s has no name of a device", quoted(line))
	}
	high, ok1 := parseUint(major)
	low, ok2 := parseUint(minor)
	if ok1 && ok2 && high < 1<<32 && low < 1<<32 {
		c.device = high<<32 | low
	}
	for i := range c.more {
		c.more[i] = unknownCount
	}
	counters := [...]*uint64{
		&c.reads, &c.readsMerged, &c.readBytes, &c.readTime,
		&c.writes, &c.writesMerged, &c.writeBytes, &c.writeTime,
		&c.pending, &c.ioTime, &c.weightedIOTime,
	}
	for i, to := range counters {
		var word []byte
		word, rest = cutWord(rest)
		if len(word) == 0 && i == 4 && err == nil {
			return nil, diskCounters{}, nil
		}
		n, ok := parseUint(word)
		if to == &c.readBytes || to == &c.writeBytes {
			ok = ok && n <= math.MaxInt64/sectorSize
			n *= sectorSize
		}
		if *to = n; !ok || !isCount(n) {
			*to = unknownCount
			if err == nil {
				err = fmt.Errorf("counter %d of %d: %s", i+1, len(counters), notNumber(word))
			}
		}
	}
	for i := range c.more {
		var word []byte
		if word, rest = cutWord(rest); len(word) == 0 {
			break // An older kernel.
		}
		n, ok := countOf(word)
		if c.more[i] = n; !ok && err == nil {
			err = fmt.Errorf("counter %d: %s", len(counters)+i+1, notNumber(word))
		}
	}
	return name, c, err
}
