package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// VMStat is a reading of the events that the kernel's memory management counts, in the
// order of vmEvents; one above 2^63-1 is unknown.
type VMStat struct {
	misread

	Events [vmEventCount]uint64
}

const vmEventCount = 25

// vmEvents are the kernel's words in /proc/vmstat for what is reported: block and swap
// I/O, faults, reclaim, thrashing, compaction, and pages of another node.
var vmEvents = [vmEventCount]string{
	"pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault", "oom_kill",
	"pgscan_kswapd", "pgscan_direct", "pgsteal_kswapd", "pgsteal_direct", "pgrefill",
	"allocstall_dma32", "allocstall_normal", "allocstall_movable",
	"workingset_refault_anon", "workingset_refault_file",
	"compact_stall", "compact_fail", "thp_fault_alloc", "thp_collapse_alloc", "zswpin", "zswpout",
	"numa_miss", "numa_foreign",
}

// vmPlaces are the places of the words in vmEvents.
var vmPlaces = func() map[string]int {
	places := map[string]int{}
	for i, word := range vmEvents {
		places[word] = i
	}
	return places
}()

var vmstatEvents = &Metric{
	Name: "sysotel.vmstat.events", Unit: "{event}", Kind: Counter, Integer: true,
	Keys: []Key{{Name: "event", Help: "the kernel's word: pgpgin and pgpgout (block I/O in KiB), pswpin, pswpout, pgfault, pgmajfault, oom_kill, pgscan_direct, allocstall_normal, workingset_refault_file, ..."}},
	Help: "Events of the kernel's memory management: block and swap I/O, faults, reclaim, thrashing, compaction; each in the kernel's unit, mostly pages.", Source: "/proc/vmstat",
}

// vmstatFamily reads the events.
type vmstatFamily struct{ counts ledger }

func newVMStat() Collector { return &vmstatFamily{make(ledger, vmEventCount)} }

func (*vmstatFamily) Name() string { return "vmstat" }

func (*vmstatFamily) Metrics() []*Metric { return []*Metric{vmstatEvents} }

func (v *vmstatFamily) Read(_ context.Context, h *Host, t Tick) (Reading, error) {
	if !linux {
		return nil, ErrUnsupported
	}
	s, err := h.vmstat.read(h, t)
	if errors.Is(err, fs.ErrNotExist) && !h.pidsOnly {
		v.counts.miss()
		return nil, ErrUnsupported // Not everything that runs Linux programs is Linux.
	}
	if err != nil {
		v.counts.miss()
		return nil, err
	}
	r := &VMStat{misread: s.odd}
	for i, n := range s.events {
		r.Events[i] = v.counts.next(i, n)
	}
	return r, nil
}

// Report implements Reading.
func (v *VMStat) Report(o *Observer) {
	for i, n := range v.Events {
		o.Uint(vmstatEvents, n, vmEvents[i])
	}
}

// vmstatFile is /proc/vmstat as it was when the tick's first collector asked for it.
type vmstatFile struct {
	file *file
	tick uint64
	last *vmstat
}

func (f *vmstatFile) read(h *Host, t Tick) (*vmstat, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.last != nil && f.tick == t.Seq {
		return f.last, nil
	}
	if f.file == nil {
		f.file = h.open("proc/vmstat")
	}
	text, err := f.file.read()
	if err != nil {
		return nil, err
	}
	s, err := parseVMStat(text)
	if err != nil {
		return nil, fmt.Errorf("parse /proc/vmstat: %w", err)
	}
	f.last, f.tick = s, t.Seq
	return s, nil
}

// vmstat holds the counters of /proc/vmstat; unknownCount is what the kernel does not
// count and what cannot be read.
type vmstat struct {
	events [vmEventCount]uint64
	// odd is what could not be read.
	odd misread
}

// parseVMStat reads the lines of /proc/vmstat that are reported. It is an error only if
// no line can be read.
func parseVMStat(text []byte) (*vmstat, error) {
	v := &vmstat{}
	for i := range v.events {
		v.events[i] = unknownCount
	}
	good := false
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, value, _ := bytes.Cut(line, []byte{' '})
		at, listed := vmPlaces[string(name)]
		if !listed {
			_, ok := parseUint(value)
			good = good || ok
			continue
		}
		n, ok := countOf(value)
		if !ok {
			v.odd.note("/proc/vmstat: "+string(name), notNumber(value))
			continue
		}
		v.events[at], good = n, true
	}
	if !good {
		return nil, errors.New("no line can be read, pgfault as little as another")
	}
	return v, nil
}
