package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// space reads all but the share of swap in use. The totals are read from
// /proc/meminfo: sysinfo(2), which gopsutil uses, answers for the machine the
// agent runs on, which need not be the one at the host's root.
func (p *paging) space(_ context.Context, h *Host, t Tick) (*Paging, error) {
	if p.swaps == nil {
		p.swaps, p.vmstat = h.open("proc/swaps"), h.open("proc/vmstat")
	}
	m, err := h.meminfo.read(h, t)
	if err != nil {
		return nil, err
	}
	r := &Paging{Total: m.swapTotal, Free: min(m.swapFree, m.swapTotal)}
	r.Used = r.Total - r.Free

	text, err := p.vmstat.read()
	if err != nil {
		return nil, err
	}
	c, err := parseVMStat(text)
	if err != nil {
		return nil, fmt.Errorf("parse /proc/vmstat: %w", err)
	}
	r.Counted, r.SwapIn, r.SwapOut = true, c.swapIn, c.swapOut
	r.OOMKills, r.OOMCounted = c.oomKills, c.oomCounted
	r.MajorFaults, r.MinorFaults = c.majorFaults, saturatingSub(c.faults, c.majorFaults)

	text, err = p.swaps.read()
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil // A kernel built without swap.
	}
	if err != nil {
		return nil, err
	}
	if r.Devices, err = parseSwaps(text); err != nil {
		return nil, fmt.Errorf("parse /proc/swaps: %w", err)
	}
	return r, nil
}

// parseSwaps reads /proc/swaps, proc_swaps(5): a line of titles, then path,
// kind, size and use in kB of each device.
func parseSwaps(text []byte) ([]SwapDevice, error) {
	var devices []SwapDevice
	_, text, _ = bytes.Cut(text, []byte{'\n'})
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		fields := bytes.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 4 {
			return nil, fmt.Errorf("line %q has %d fields, at least 4 are needed", line, len(fields))
		}
		size, ok1 := parseUint(fields[2])
		used, ok2 := parseUint(fields[3])
		if !ok1 || !ok2 || size > 1<<53 {
			return nil, fmt.Errorf("line %q: size and use are not numbers of kB", line)
		}
		used = min(used, size)
		devices = append(devices, SwapDevice{Name: unescapeOctal(fields[0]), Used: used * 1024, Free: (size - used) * 1024})
	}
	return devices, nil
}

// vmstat holds the counters of /proc/vmstat that are reported.
type vmstat struct {
	swapIn, swapOut, faults, majorFaults, oomKills uint64
	oomCounted                                     bool
}

// parseVMStat reads five of the some 200 lines of /proc/vmstat and stops at the last.
func parseVMStat(text []byte) (vmstat, error) {
	var v vmstat
	found, faults := 0, false
	for found < 5 && len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		if len(line) == 0 || line[0] != 'p' && line[0] != 'o' {
			continue
		}
		name, value, _ := bytes.Cut(line, []byte{' '})
		var to *uint64
		switch string(name) {
		case "pswpin":
			to = &v.swapIn
		case "pswpout":
			to = &v.swapOut
		case "pgfault":
			to = &v.faults
		case "pgmajfault":
			to = &v.majorFaults
		case "oom_kill":
			to, v.oomCounted = &v.oomKills, true
		default:
			continue
		}
		n, ok := parseUint(value)
		if !ok {
			return vmstat{}, fmt.Errorf("line %q: %q is not a number", line, value)
		}
		*to = n
		found++
		faults = faults || to == &v.faults
	}
	// A kernel built without swap lacks the two swap lines: it never swaps.
	if !faults {
		return vmstat{}, errors.New("no lines pgfault and pgmajfault")
	}
	return v, nil
}
