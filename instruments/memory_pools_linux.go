package instruments

import (
	"bytes"
	"strings"
	"time"
)

// memoryPools reads memory that /proc/meminfo counts as used and no program uses: free
// huge pages, and what ZFS gives back of its cache.
type memoryPools struct {
	// looked is when the files below were looked for.
	looked time.Time
	arc    *file
	// huge are the files free_hugepages, where there are several sizes.
	huge []hugePool
	// shadowed is set where /proc/meminfo is not the machine's.
	shadowed bool
}

// hugePool is the huge pages of one size.
type hugePool struct {
	size uint64
	free *file
}

// poolsEvery is how often the files are looked for: a module can be loaded.
const poolsEvery = time.Minute

const arcStats = "proc/spl/kstat/zfs/arcstats"

// fill completes a reading.
func (p *memoryPools) fill(h *Host, m *meminfo, r *Memory) {
	if now := h.Now(); p.looked.IsZero() || now.Sub(p.looked) >= poolsEvery {
		p.looked = now
		p.look(h, m)
	}
	p.fillHuge(m, r)
	p.fillARC(r)
}

// look finds the files there are.
func (p *memoryPools) look(h *Host, m *meminfo) {
	p.arc, p.huge, p.shadowed = nil, nil, false
	if h.exists(arcStats) {
		p.arc, p.shadowed = h.open(arcStats), h.meminfoShadowed()
	}
	if m.hugeTotal == unknownCount || m.hugeAll != unknownCount && m.hugeAll == m.hugeTotal*m.hugeSize {
		return // No huge pages in this kernel, or of the usual size only.
	}
	const dir = "sys/kernel/mm/hugepages"
	for _, name := range h.list(dir) {
		kib, ok := strings.CutPrefix(name, "hugepages-")
		size, isSize := parseUint([]byte(strings.TrimSuffix(kib, "kB")))
		if ok && isSize && size > 0 && size <= maxMemory/1024 {
			p.huge = append(p.huge, hugePool{size * 1024, h.open(dir + "/" + name + "/free_hugepages")})
		}
	}
}

// fillHuge adds up the huge pages that no program has taken.
func (p *memoryPools) fillHuge(m *meminfo, r *Memory) {
	pages := func(n, size uint64) uint64 {
		if n == unknownCount || size == unknownCount || size == 0 || n > maxMemory/size {
			return 0
		}
		return n * size
	}
	free := pages(m.hugeFree, m.hugeSize)
	if len(p.huge) > 0 {
		free = 0
		for _, pool := range p.huge {
			n, err := pool.free.number()
			if err != nil {
				r.note("/"+pool.free.name, err.Error())
				continue
			}
			free += pages(n, pool.size)
		}
	}
	if free > 0 && r.Total != unknownCount && r.Available != unknownCount && free > saturatingSub(r.Total, r.Available) {
		r.hide("huge pages", "not visible from here: /proc/meminfo shows less memory in use than the machine has free huge pages")
		return
	}
	r.HugeFree = free
}

// fillARC counts ZFS's cache as available as far as ZFS gives it back: down to c_min.
// The kernel does not, since the cache is not among its pages of files.
func (p *memoryPools) fillARC(r *Memory) {
	if p.arc == nil {
		return
	}
	text, err := p.arc.read()
	if err != nil {
		r.lost("/"+arcStats, err)
		return
	}
	size, least, ok := parseARC(text)
	switch {
	case !ok:
		r.note("/"+arcStats, "size and c_min cannot be read")
	case p.shadowed, r.Total != unknownCount && r.Free != unknownCount && size > saturatingSub(r.Total, r.Free):
		r.hide("ZFS's cache", "not visible from here: it is the machine's, and /proc/meminfo is a container's")
	default:
		r.ARC = size
		if r.Available != unknownCount {
			r.Available += saturatingSub(size, least)
		}
	}
}

// parseARC reads the lines "size 4 123" and "c_min 4 123" of arcstats, in bytes
// (module/zfs/arc.c of OpenZFS).
func parseARC(text []byte) (size, least uint64, ok bool) {
	found := 0
	for found < 2 && len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, rest := cutWord(line)
		var to *uint64
		switch string(name) {
		case "size":
			to = &size
		case "c_min":
			to = &least
		default:
			continue
		}
		_, rest = cutWord(rest)
		word, _ := cutWord(rest)
		n, isNumber := parseUint(word)
		if !isNumber || n > maxMemory {
			return 0, 0, false
		}
		*to = n
		found++
	}
	return size, least, found == 2
}

// meminfoShadowed reports whether something is mounted over /proc/meminfo, as lxcfs
// does: it shows a container's share of memory.
func (h *Host) meminfoShadowed() bool {
	text, err := h.own.readFile("proc/self/mountinfo")
	return err == nil && bytes.Contains(text, []byte(" "+h.path("proc/meminfo")+" "))
}
