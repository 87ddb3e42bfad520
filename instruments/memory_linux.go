package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
)

// memory reads how memory is used, from /proc/meminfo.
func (h *Host) memory(_ context.Context, t Tick) (Memory, error) {
	m, err := h.meminfo.read(h, t)
	if err != nil {
		return Memory{}, err
	}
	available := m.available
	if !m.hasAvailable {
		zones, err := h.readFile("proc/zoneinfo")
		if err != nil {
			return Memory{}, fmt.Errorf("estimate the available memory, which this kernel does not report: %w", err)
		}
		available = m.estimateAvailable(lowWatermark(zones) * uint64(os.Getpagesize()))
	}
	return Memory{
		Total: m.total, Available: available, Free: m.free, Inactive: m.inactive,
		Buffers: m.buffers, Cached: m.cached + m.slabReclaimable,
		SlabReclaimable: m.slabReclaimable, SlabUnreclaimable: m.slabUnreclaimable,
	}, nil
}

// meminfoFile is /proc/meminfo as it was when the tick's first collector asked for it.
type meminfoFile struct {
	file *file
	tick uint64
	last *meminfo
}

func (f *meminfoFile) read(h *Host, t Tick) (*meminfo, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.last != nil && f.tick == t.Seq {
		return f.last, nil
	}
	if f.file == nil {
		f.file = h.open("proc/meminfo")
	}
	text, err := f.file.read()
	if err != nil {
		return nil, err
	}
	m, err := parseMeminfo(text)
	if err != nil {
		return nil, fmt.Errorf("parse /proc/meminfo: %w", err)
	}
	f.last, f.tick = m, t.Seq
	return m, nil
}

// meminfo is /proc/meminfo in bytes, proc_meminfo(5).
type meminfo struct {
	total, free, available             uint64
	buffers, cached, inactive          uint64
	activeFile, inactiveFile           uint64
	slabReclaimable, slabUnreclaimable uint64
	swapTotal, swapFree                uint64
	// hasAvailable is false for kernels before 3.14.
	hasAvailable bool
}

// parseMeminfo reads the text of /proc/meminfo. A line that some kernels lack
// leaves its field 0; without the total it is an error.
func parseMeminfo(text []byte) (*meminfo, error) {
	m := &meminfo{}
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, rest, _ := bytes.Cut(line, []byte{':'})
		var to *uint64
		switch string(name) {
		case "MemTotal":
			to = &m.total
		case "MemFree":
			to = &m.free
		case "MemAvailable":
			to, m.hasAvailable = &m.available, true
		case "Buffers":
			to = &m.buffers
		case "Cached":
			to = &m.cached
		case "Inactive":
			to = &m.inactive
		case "Active(file)":
			to = &m.activeFile
		case "Inactive(file)":
			to = &m.inactiveFile
		case "SReclaimable":
			to = &m.slabReclaimable
		case "SUnreclaim":
			to = &m.slabUnreclaimable
		case "SwapTotal":
			to = &m.swapTotal
		case "SwapFree":
			to = &m.swapFree
		default:
			continue
		}
		digits, _, _ := bytes.Cut(bytes.TrimLeft(rest, " \t"), []byte{' '})
		v, ok := parseUint(digits)
		if !ok || v > 1<<53 {
			return nil, fmt.Errorf("line %q: %q is not a number of kB", line, digits)
		}
		*to = v * 1024
	}
	if m.total == 0 {
		return nil, errors.New("no line MemTotal")
	}
	return m, nil
}

// estimateAvailable computes what newer kernels report as MemAvailable
// (si_mem_available in mm/show_mem.c): free memory above the low watermark, and
// of the file cache and the reclaimable slabs what exceeds half of them or the
// watermark. gopsutil does this in unsigned numbers, which wrap when memory is
// nearly used up: just when the number matters.
func (m *meminfo) estimateAvailable(low uint64) uint64 {
	if m.activeFile+m.inactiveFile == 0 {
		return m.free + m.cached // Before 2.6.28 the lists of files are missing.
	}
	files := m.activeFile + m.inactiveFile
	files -= min(files/2, low)
	slab := m.slabReclaimable - min(m.slabReclaimable/2, low)
	return saturatingSub(m.free+files+slab, low)
}

// lowWatermark adds the low watermarks of all zones in /proc/zoneinfo, in pages.
func lowWatermark(text []byte) uint64 {
	var pages uint64
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		if rest, ok := bytes.CutPrefix(bytes.TrimLeft(line, " "), []byte("low ")); ok {
			pages += firstNumber(rest)
		}
	}
	return pages
}
