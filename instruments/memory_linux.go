package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// memory reads how memory is used, from /proc/meminfo.
func (h *Host) memory(_ context.Context, t Tick, pools *memoryPools) (Memory, error) {
	m, err := h.meminfo.read(h, t)
	if err != nil {
		return Memory{}, err
	}
	r := Memory{
		Total: m.total, Available: m.available, Free: m.free, Inactive: m.inactive,
		Buffers: m.buffers, Cached: m.cached, SlabReclaimable: m.slabReclaimable, SlabUnreclaimable: m.slabUnreclaimable,
		misread: m.odd,
	}
	if m.cached != unknownCount && m.slabReclaimable != unknownCount {
		if r.Cached += m.slabReclaimable; r.Cached > m.total {
			r.Cached = unknownCount
			r.note("/proc/meminfo: Cached", "and SReclaimable are more than MemTotal")
		}
	}
	switch {
	case m.available == unknownCount:
		// Without zones (WSL 1) nothing is known to be kept back.
		zones, err := h.readFile("proc/zoneinfo")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.note("the available memory", "is not reported by this kernel and cannot be estimated: "+err.Error())
			break
		}
		r.Available = m.estimateAvailable(lowWatermark(zones) * uint64(os.Getpagesize()))
	case m.total != unknownCount && m.available > m.total+m.total/64:
		// The view of a container that shows its own limit and the machine's rest.
		r.Available = unknownCount
		r.note("/proc/meminfo: MemAvailable", "is more than MemTotal")
	}
	pools.fill(h, m, &r)
	return r, nil
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
	var before []MemoryField
	if f.last != nil {
		before = f.last.fields
	}
	m, err := parseMeminfo(text, before)
	if err != nil {
		return nil, fmt.Errorf("parse /proc/meminfo: %w", err)
	}
	f.last, f.tick = m, t.Seq
	return m, nil
}

// meminfo is /proc/meminfo in bytes, proc_meminfo(5); unknownCount is what a kernel
// does not report and what cannot be.
type meminfo struct {
	total, free, available             uint64
	buffers, cached, inactive          uint64
	activeFile, inactiveFile           uint64
	slabReclaimable, slabUnreclaimable uint64
	swapTotal, swapFree                uint64
	hugeTotal, hugeFree, hugeSize      uint64 // The first two are pages.
	hugeAll                            uint64 // The huge pages of every size.
	hugeReserved, hugeSurplus          uint64 // Pages.
	// fields are all lines that report bytes, as they are.
	fields []MemoryField
	// odd is what of memory could not be read, oddSwap what of swap, oddFields what of any line.
	odd, oddSwap, oddFields misread
}

// maxMemory is more than a machine can address: 2^57 bytes (five-level paging).
const maxMemory = maxBytes

// maxMemoryFields bounds the lines; Linux 6.18 has 60.
const maxMemoryFields = 128

// parseMeminfo reads the text of /proc/meminfo. What cannot be read is unknown by
// itself; it is an error only if nothing can be read. Fields reuse the names of before, so
// that a tick makes no new strings.
func parseMeminfo(text []byte, before []MemoryField) (*meminfo, error) {
	m := &meminfo{
		total: unknownCount, free: unknownCount, available: unknownCount, buffers: unknownCount, cached: unknownCount,
		inactive: unknownCount, activeFile: unknownCount, inactiveFile: unknownCount,
		slabReclaimable: unknownCount, slabUnreclaimable: unknownCount, swapTotal: unknownCount, swapFree: unknownCount,
		hugeTotal: unknownCount, hugeFree: unknownCount, hugeSize: unknownCount, hugeAll: unknownCount,
		hugeReserved: unknownCount, hugeSurplus: unknownCount,
		fields: make([]MemoryField, 0, len(before)),
	}
	good := false
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, rest, _ := bytes.Cut(line, []byte{':'})
		m.addField(name, rest, before)
		to, unit, odd := (*uint64)(nil), uint64(1024), &m.odd
		switch string(name) {
		case "MemTotal":
			to = &m.total
		case "MemFree":
			to = &m.free
		case "MemAvailable":
			to = &m.available
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
			to, odd = &m.swapTotal, &m.oddSwap
		case "SwapFree":
			to, odd = &m.swapFree, &m.oddSwap
		case "HugePages_Total":
			to, unit = &m.hugeTotal, 1
		case "HugePages_Free":
			to, unit = &m.hugeFree, 1
		case "HugePages_Rsvd":
			to, unit, odd = &m.hugeReserved, 1, &m.oddFields
		case "HugePages_Surp":
			to, unit, odd = &m.hugeSurplus, 1, &m.oddFields
		case "Hugepagesize":
			to = &m.hugeSize
		case "Hugetlb":
			to = &m.hugeAll
		default:
			continue
		}
		digits, _ := cutWord(rest)
		v, ok := parseUint(digits)
		switch {
		case !ok, v > maxMemory/unit && to != &m.swapFree:
			*to = unknownCount
			odd.note("/proc/meminfo: "+string(name), notNumber(digits))
		case v > maxMemory/unit:
			// A container's free swap is its limit less what others use (lxc/lxcfs#695,
			// #412): too large, it stands for all.
			*to, good = maxMemory, true
		default:
			*to, good = v*unit, true
		}
	}
	if !good {
		return nil, errors.New("no line can be read, MemTotal as little as another")
	}
	if m.total == 0 {
		m.total = unknownCount
		m.odd.note("/proc/meminfo: MemTotal", "is 0")
	}
	for _, part := range [...]struct {
		name  string
		bytes *uint64
	}{
		{"MemFree", &m.free}, {"Buffers", &m.buffers}, {"Cached", &m.cached}, {"Inactive", &m.inactive},
		{"Active(file)", &m.activeFile}, {"Inactive(file)", &m.inactiveFile},
		{"SReclaimable", &m.slabReclaimable}, {"SUnreclaim", &m.slabUnreclaimable},
	} {
		if *part.bytes != unknownCount && *part.bytes > m.total {
			*part.bytes = unknownCount
			m.odd.note("/proc/meminfo: "+part.name, "is more than MemTotal")
		}
	}
	return m, nil
}

// addField adds a line that reports bytes. A name that is there already, or is no name, is
// left out.
func (m *meminfo) addField(name, rest []byte, before []MemoryField) {
	digits, unit := cutWord(rest)
	if unit, _ = cutWord(unit); string(unit) != "kB" {
		return
	}
	if len(name) == 0 || len(name) > 64 || len(m.fields) >= maxMemoryFields || bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		m.oddFields.note("/proc/meminfo", quoted(name)+" is not the name of a line")
		return
	}
	n, ok := parseUint(digits)
	if !ok || n > maxMemory/1024 {
		m.oddFields.note("/proc/meminfo: "+string(name), notNumber(digits))
		return
	}
	f := MemoryField{Bytes: n * 1024}
	if i := len(m.fields); i < len(before) && before[i].Name == string(name) {
		f.Name = before[i].Name
	} else {
		f.Name = string(name)
	}
	if m.hasField(name) {
		m.oddFields.note("/proc/meminfo: "+f.Name, "is listed twice")
		return
	}
	m.fields = append(m.fields, f)
}

func (m *meminfo) hasField(name []byte) bool {
	for i := range m.fields {
		if m.fields[i].Name == string(name) {
			return true
		}
	}
	return false
}

// estimateAvailable computes what newer kernels report as MemAvailable
// (si_mem_available in mm/show_mem.c): free memory above the low watermark, and
// of the file cache and the reclaimable slabs what exceeds half of them or the
// watermark. gopsutil does this in unsigned numbers, which wrap when memory is
// nearly used up: just when the number matters.
func (m *meminfo) estimateAvailable(low uint64) uint64 {
	if m.free == unknownCount {
		return unknownCount
	}
	if m.activeFile == unknownCount || m.inactiveFile == unknownCount || m.activeFile+m.inactiveFile == 0 {
		if m.cached == unknownCount {
			return unknownCount
		}
		return m.free + m.cached // Before 2.6.28 the lists of files are missing.
	}
	files := m.activeFile + m.inactiveFile
	files -= min(files/2, low)
	slab := uint64(0)
	if m.slabReclaimable != unknownCount {
		slab = m.slabReclaimable - min(m.slabReclaimable/2, low)
	}
	return saturatingSub(m.free+files+slab, low)
}

// lowWatermark adds the low watermarks of all zones in /proc/zoneinfo, in pages.
func lowWatermark(text []byte) uint64 {
	var pages uint64
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		if rest, ok := bytes.CutPrefix(bytes.TrimLeft(line, " "), []byte("low ")); ok {
			if n := firstNumber(rest); n < maxMemory>>12 {
				pages += n
			}
		}
	}
	return pages
}

// totalMemory is what the machine has, maxBytes where that is not known.
func (h *Host) totalMemory(t Tick) uint64 {
	if m, err := h.meminfo.read(h, t); err == nil && m.total != unknownCount {
		return m.total
	}
	return maxBytes
}
