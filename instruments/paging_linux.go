package instruments

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"

	"sysotel/instruments/sanitize"
)

// space reads all but the share of swap in use. The totals are read from
// /proc/meminfo, and where that cannot be from the list of devices: sysinfo(2), which
// gopsutil uses, answers for the machine the agent runs on, which need not be the one at
// the host's root.
func (p *paging) space(_ context.Context, h *Host, t Tick) (*Paging, error) {
	if p.swaps == nil {
		p.swaps = h.open("proc/swaps")
	}
	r := &Paging{Total: unknownCount, Free: unknownCount, Used: unknownCount}
	m, err := h.meminfo.read(h, t)
	if err == nil {
		r.Total, r.Free, r.misread = m.swapTotal, m.swapFree, m.oddSwap
	}
	p.count(h, t, r)
	listed := p.list(r)
	switch {
	case err != nil && !r.Counted && !listed:
		return nil, err
	case err != nil:
		r.lost("/proc/meminfo", err)
	case listed && (r.Total == unknownCount || len(r.Devices) == 0 && r.Total/maxSwapShare > m.total):
		r.note("/proc/meminfo: SwapTotal", "is more than can be; /proc/swaps is taken")
		r.Total = unknownCount
	}
	if listed && r.Total == unknownCount {
		p.total(r)
	}
	if r.Total != unknownCount && r.Free != unknownCount {
		r.Free = min(r.Free, r.Total)
		r.Used = r.Total - r.Free
	}
	return r, nil
}

// count reads the counters. They are those of the machine where meminfo is a
// container's, and stand without it as it does without them.
func (p *paging) count(h *Host, t Tick, r *Paging) {
	v, err := h.vmstat.read(h, t)
	if err != nil {
		p.counts.miss()
		r.lost("/proc/vmstat", err)
		return
	}
	r.noteAll(v.odd)
	at := func(event string) uint64 { return v.events[vmPlaces[event]] }
	p.counts.next([5]uint64{at("pswpin"), at("pswpout"), at("oom_kill"), at("pgmajfault"), at("pgfault")})
	r.Counted, r.SwapIn, r.SwapOut = true, p.counts.count(0), p.counts.count(1)
	r.OOMKills = p.counts.count(2)
	r.OOMCounted = r.OOMKills != unknownCount
	r.MajorFaults, r.MinorFaults = p.counts.count(3), unknownCount
	if faults := p.counts.count(4); faults != unknownCount && r.MajorFaults != unknownCount {
		r.MinorFaults = saturatingSub(faults, r.MajorFaults)
	}
}

// list reads the devices, and reports whether the list is there.
func (p *paging) list(r *Paging) bool {
	text, err := p.swaps.read()
	if errors.Is(err, fs.ErrNotExist) {
		return false // A kernel built without swap.
	}
	if err != nil {
		r.lost("/proc/swaps", err)
		return false
	}
	r.Devices = parseSwaps(text, &r.misread)
	return true
}

// maxSwapShare is how many times the memory a container's swap can be where no device
// is listed; without a limit lxcfs shows exabytes (lxc/lxcfs#170).
const maxSwapShare = 64

// total adds up the devices, where meminfo's total cannot be.
func (p *paging) total(r *Paging) {
	r.Total, r.Free = 0, 0
	for _, d := range r.Devices {
		if d.Used == unknownCount {
			r.Total, r.Free = unknownCount, unknownCount
			return
		}
		r.Total += d.Used + d.Free
		r.Free += d.Free
	}
}

// parseSwaps reads /proc/swaps, proc_swaps(5): a line of titles, then path,
// kind, size and use in kB of each device.
func parseSwaps(text []byte, odd *misread) []SwapDevice {
	var devices []SwapDevice
	_, text, _ = bytes.Cut(text, []byte{'\n'})
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		fields := bytes.Fields(line)
		if len(fields) == 0 {
			continue
		}
		d := SwapDevice{Name: sanitize.EscapeControl(unescapeOctal(fields[0])), Used: unknownCount, Free: unknownCount}
		if slices.ContainsFunc(devices, func(o SwapDevice) bool { return o.Name == d.Name }) {
			odd.note("/proc/swaps: "+quoted(fields[0]), "is listed twice")
			continue
		}
		if len(devices) >= maxSwaps {
			odd.note("/proc/swaps", "has more lines than there can be devices")
			break
		}
		if len(fields) < 4 {
			odd.note("/proc/swaps: "+quoted(fields[0]), "has no size and use")
			continue
		}
		size, ok1 := parseUint(fields[2])
		used, ok2 := parseUint(fields[3])
		if ok1 && ok2 && size <= maxMemory/1024 && used <= maxMemory/1024 {
			used = min(used, size)
			d.Used, d.Free = used*1024, (size-used)*1024
		} else {
			odd.note("/proc/swaps: "+quoted(fields[0]), quoted(fields[2])+" and "+quoted(fields[3])+" are not a size and a use that can be")
		}
		devices = append(devices, d)
	}
	return devices
}

// maxSwaps bounds the devices; Linux has 29 at most (MAX_SWAPFILES).
const maxSwaps = 64
