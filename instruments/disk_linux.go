package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
)

// diskDetails: Linux counts merges, waiting and busy time.
const diskDetails = true

// diskSource is /proc/diskstats. It is read here and not by gopsutil, which
// (v3) looks for the udev serial number and the label of every device at each
// call: several files opened a second for every disk, partition and loop device.
type diskSource struct{ stats *file }

// each calls visit for every line; the name is valid during the call only.
func (s *diskSource) each(_ context.Context, h *Host, visit func(name []byte, c diskCounters)) error {
	if s.stats == nil {
		s.stats = h.open("proc/diskstats")
	}
	text, err := s.stats.read()
	if errors.Is(err, fs.ErrNotExist) {
		return ErrUnsupported // A kernel without block devices, and some containers.
	}
	if err != nil {
		return err
	}
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, c, err := parseDiskstat(line)
		if err != nil {
			return fmt.Errorf("parse /proc/diskstats: line %q: %w", line, err)
		}
		if name != nil {
			visit(name, c)
		}
	}
	return nil
}

// sectorSize is the unit of /proc/diskstats whatever the device's own sectors are.
const sectorSize = 512

// parseDiskstat reads one line of /proc/diskstats, as the kernel's
// Documentation/admin-guide/iostats.rst describes it. The name is nil for an empty line and
// for a line with fewer counters, which kernels before 2.6.25 have for partitions.
func parseDiskstat(line []byte) (name []byte, c diskCounters, err error) {
	_, rest := cutWord(line)
	_, rest = cutWord(rest)
	name, rest = cutWord(rest)
	for _, to := range [...]*uint64{
		&c.reads, &c.readsMerged, &c.readBytes, &c.readTime,
		&c.writes, &c.writesMerged, &c.writeBytes, &c.writeTime,
		&c.pending, &c.ioTime, &c.weightedIOTime,
	} {
		var word []byte
		word, rest = cutWord(rest)
		if len(word) == 0 {
			return nil, diskCounters{}, nil
		}
		n, ok := parseUint(word)
		if !ok {
			return nil, diskCounters{}, fmt.Errorf("%q is not a number", word)
		}
		*to = n
	}
	if max(c.readBytes, c.writeBytes) > math.MaxUint64/sectorSize {
		return nil, diskCounters{}, fmt.Errorf("%d sectors are more than can be", max(c.readBytes, c.writeBytes))
	}
	c.readBytes *= sectorSize
	c.writeBytes *= sectorSize
	return name, c, nil
}

// diskKind looks up in /sys what a device is, and what the device mapper calls it.
func (h *Host) diskKind(name string) (kind diskKind, mapper string) {
	// The empty drive, the image, the device in memory: what is read from them
	// was or will be read from somewhere else, or is not a disk's work at all.
	for _, prefix := range [...]string{"loop", "ram", "zram", "sr", "fd"} {
		if isNumbered(name, prefix) {
			return diskSkipped, ""
		}
	}
	if !h.exists("sys/block") {
		return diskKindByName(name), ""
	}
	// The kernel writes the slash of "cciss/c0d0" as an exclamation mark in /sys.
	dir := "sys/block/" + strings.ReplaceAll(name, "/", "!")
	switch {
	case !h.exists(dir):
		return diskSkipped, "" // A partition: those are below their disk.
	case h.readText(dir+"/hidden") == "1":
		return diskSkipped, "" // One path of an NVMe disk that is listed under its own name too.
	case isNumbered(name, "nbd") && h.readText(dir+"/size") == "0":
		return diskSkipped, ""
	case diskKindByName(name) == diskStacked, len(h.list(dir+"/slaves")) > 0:
		return diskStacked, h.readText(dir + "/dm/name")
	case h.exists(dir + "/device"):
		return diskPhysical, ""
	}
	return diskVirtual, ""
}

// diskKindByName guesses by name alone, where /sys cannot be seen.
func diskKindByName(name string) diskKind {
	for _, prefix := range [...]string{"dm-", "md", "drbd", "bcache", "zd"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
			return diskStacked
		}
	}
	for _, prefix := range [...]string{"sd", "hd", "vd", "xvd"} {
		letters, ok := strings.CutPrefix(name, prefix)
		if ok && letters != "" && strings.Trim(letters, "abcdefghijklmnopqrstuvwxyz") == "" {
			return diskPhysical
		}
	}
	if rest, ok := strings.CutPrefix(name, "nvme"); ok {
		controller, namespace, _ := strings.Cut(rest, "n")
		if isNumbered(controller, "") && isNumbered(namespace, "") {
			return diskPhysical
		}
	}
	if isNumbered(name, "mmcblk") {
		return diskPhysical
	}
	return diskSkipped
}
